#!/usr/bin/env bats
# Manners: messages that help, warnings that stand once, reports of failed runs, quiet ends.
load helper

# refuse PATTERN ARGUMENTS...: exit 2, nothing on stdout, the pattern on stderr.
refuse() {
    local pattern=$1
    shift
    expect 2 "$LORT" "$@" && said "$pattern" && [ ! -s "$T/out" ]
}
# once FILE PATTERN: one line of the file has it.
once() { [ "$(grep -cE -- "$2" "$1")" -eq 1 ] || { echo "not one line with '$2' in $1:"; cat "$1"; return 1; }; }
# failed FILE CODE NAME: the error of a report.
failed() { [ "$(value "$1" '"{code} {name}".format(**d["error"])')" = "$2 $3" ] || { value "$1" 'd["error"]'; return 1; }; }

# small FILE [MATRICES]: a model of a few F32 matrices of 96 x 96, and a vector.
small() {
    f32_model "$1" <<END
import random
random.seed(7)
tensors = {f"layers.{i}.w.weight": [96, 96] for i in range(${2:-2})} | {"norm.weight": [96]}
values = [random.gauss(0, 0.02) for _ in range(${2:-2} * 96 * 96 + 96)]
END
}
# damaged FROM TO: a container with a flipped byte in a payload.
damaged() {
    cp "$1" "$2"
    flip "$2" $(($(stat -c %s "$2") / 3))
}

@test "a slip of the pen gets the name that was meant" {
    refuse "^lort: unknown command 'compres' \(did you mean compress\?\); see 'lort --help'" compres model -o x
    refuse 'did you mean verify' verfiy x
    refuse 'did you mean version' versoin
    refuse 'did you mean inspect' help inspct
    refuse "unknown option '--max-eror' \(did you mean --max-error\?\)" compress model -o x --max-eror 0.1
    refuse "unknown option '--max-eror=0.1' \(did you mean --max-error\?\)" compress model -o x --max-eror=0.1
    refuse 'did you mean --threads' verify x --thraeds 2
    refuse "option '--m' is ambiguous: it may be --max-error, --max-rank, .*--memory" compress model -o x --m 1
    refuse "unknown option '--wholly-unlike'; see" compress model -o x --wholly-unlike
    refuse "unknown command 'zzz'; see" zzz
    expect 0 "$LORT" --version
    cp "$T/out" "$T/version"
    for word in -V version; do
        expect 0 "$LORT" "$word"
        cmp "$T/out" "$T/version"
    done
}

@test "a stream is no model and no container: - is refused" {
    small "$T/m.safetensors"
    cd "$T"
    refuse 'a container cannot go to standard output' compress m.safetensors -o -
    refuse 'a container cannot go to standard output' compress m.safetensors -o - --json r.json
    failed r.json 2 usage
    refuse 'cannot read standard input' compress - -o a.lort
    refuse 'cannot read standard input' compress -o a.lort m.safetensors --imatrix -
    for command in plan inspect verify 'restore -o r' 'compare m.safetensors'; do
        # shellcheck disable=SC2086
        refuse 'cannot read standard input' $command -
        # shellcheck disable=SC2086
        refuse 'cannot read standard input' $command -- -
    done
    expect 0 "$LORT" compress m.safetensors -o a.lort -q
    absent -
    expect 0 "$LORT" compress m.safetensors -o ./- -q # a file may have the name
    [ -s ./- ]
    expect 0 "$LORT" verify ./-
    expect 0 "$LORT" inspect a.lort --json -
    [ "$(value out 'd["error"]')" = None ]
}

@test "a reader that has enough of a table ends it without a word" {
    count=3000
    on_windows && count=1000 # Wine asks its server fifty times for each tensor
    f32_model "$T/m.safetensors" <<END
tensors = {f"layers.{i}.a_rather_long_name_of_a_tensor.weight": [2] for i in range($count)}
values = [0.5] * (2 * $count)
END
    gone() { # the reader takes one line of what the command prints
        { code=0; "$LORT" "$@" 2>"$T/err" || code=$?; echo "$code" >"$T/code"; } | head -n 1 >"$T/first"
        [ ! -s "$T/err" ] || { cat "$T/err"; return 1; }
        [ "$(cat "$T/code")" -eq 0 ]
        [ "$(wc -l <"$T/first")" -eq 1 ]
    }
    gone inspect "$T/m.safetensors"
    gone help
    gone help compress
    gone plan "$T/m.safetensors" -v
    "$LORT" compress "$T/m.safetensors" -o "$T/a.lort" -q
    { code=0; "$LORT" compare "$T/m.safetensors" "$T/a.lort" -v 2>/dev/null || code=$?; echo "$code" >"$T/code"; } | head -n 1 >"$T/first"
    [ "$(cat "$T/code")" -eq 0 ]
    { sleep 0.5; code=0; "$LORT" verify "$T/a.lort" 2>"$T/err" || code=$?; echo "$code" >"$T/code"; } | true
    [ "$(cat "$T/code")" -eq 0 ]
    lacks "$T/err" 'pipe|standard output'
    { code=0; "$LORT" inspect "$T/m.safetensors" --json - 2>"$T/err" || code=$?; echo "$code" >"$T/code"; } | head -c 1 >/dev/null
    [ "$(cat "$T/code")" -eq 5 ] # a lost report is a failure
    said 'Broken pipe|Pipe not connected'
}

@test "a failed run writes its report, with the error" {
    small "$T/m.safetensors"
    cd "$T"
    expect 0 "$LORT" inspect m.safetensors --json ok.json
    [ "$(value ok.json 'd["error"]')" = None ]
    expect 3 "$LORT" inspect none.gguf --json r.json
    failed r.json 3 input
    [ "$(value r.json 'd["error"]["file"]')" = none.gguf ]
    [ "$(value r.json 'd["command"], d["tensors"], d["output"]["bpw"]')" = "('inspect', [], None)" ]
    mkdir d
    head -c 100 m.safetensors >d/model.safetensors
    expect 3 "$LORT" plan d --json r.json
    [ "$(value r.json 'd["error"]["file"]')" = d/model.safetensors ]
    [ "lort: $(value r.json 'd["error"]["message"]')" = "$(cat err)" ]
    echo x >there.lort
    expect 9 "$LORT" compress m.safetensors -o there.lort -q --json r.json
    failed r.json 9 exists
    [ "$(value r.json 'd["error"]["file"], len(d["tensors"])')" = "('there.lort', 3)" ] # known until then
    expect 7 "$LORT" compress m.safetensors -o a.lort -q --rank 1 --fail-above 0.01 --json r.json
    failed r.json 7 numeric
    value r.json 'd["error"]["tensor"]' | grep -q '^layers\.[01]\.w\.weight$'
    expect 0 "$LORT" compress m.safetensors -o a.lort -q
    damaged a.lort bad.lort
    expect 8 "$LORT" verify bad.lort --json r.json
    failed r.json 8 damaged
    [ "$(value r.json 'd["error"]["file"]')" = bad.lort ]
    value r.json 'd["error"]["tensor"]' | grep -q '^layers\.[01]\.w\.weight$'
    expect 8 "$LORT" restore bad.lort -o r.safetensors --json r.json
    failed r.json 8 damaged
    expect 3 "$LORT" compare a.lort none --json r.json
    [ "$(value r.json 'd["error"]["file"]')" = none ]
    expect 2 "$LORT" restore a.lort -o r.safetensors --tensor nope --json r.json
    [ "$(value r.json 'd["error"]["tensor"]')" = nope ]
    expect 3 "$LORT" inspect none.gguf --json -
    failed out 3 input
}

@test "a refused command line writes its report too, wherever --json stands in it" {
    cd "$T"
    for line in 'inspect --json r.json --rank 3 m' 'compress m -o x --bpw 1000 --json r.json' 'plan m --frob --json r.json' \
        'compare a --json r.json' 'restore a --json r.json' 'verify --json r.json' 'plan m --residual none --bpw 4 --json r.json'; do
        rm -f r.json
        # shellcheck disable=SC2086
        expect 2 "$LORT" $line
        failed r.json 2 usage
        [ "$(value r.json 'd["command"]')" = "${line%% *}" ]
        grep -qF -- "$(value r.json 'd["error"]["message"]')" err
        once err .
    done
    # where the report may not stand, the first fault is told, and no file is touched
    echo precious >x
    refuse 'must be a number' compress m -o x --bpw 1000 --json x
    [ "$(cat x)" = precious ]
    refuse 'unknown option' inspect x --frob --json x
    [ "$(cat x)" = precious ]
    refuse 'the report would replace' inspect x --json x
    [ "$(cat x)" = precious ]
}

# stopped OPTIONS: sends SIGINT to a compress once it has noted its work. Its exit code is in $T/code.
stopped() {
    rm -f "$T"/a.lort* "$T/r.json"
    python3 - "$LORT" "$T" "$@" <<'END'
import os, signal, subprocess, sys, time
lort, place, *options = sys.argv[1:]
os.chdir(place)
with open("err", "wb") as err:
    run = subprocess.Popen([lort, "compress", "m.safetensors", "-o", "a.lort", "-T", "1", "--json", "r.json", *options],
                           stderr=err, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    while run.poll() is None and not (os.path.exists("a.lort.part") and os.path.getsize("a.lort.part") > 1 << 16):
        time.sleep(0.01)
    if run.poll() is None:
        run.send_signal(signal.SIGINT)
    print(run.wait(60), file=open("code", "w"))
END
}

@test "a first run that Ctrl-C stops says that the same command resumes it" {
    small "$T/m.safetensors" 300
    stopped --zstd-level 1
    [ "$(cat "$T/code")" -eq 75 ]
    failed "$T/r.json" 75 stopped
    said 'a\.lort\.part holds [0-9]+ of 301 tensors; the same command resumes this run'
    lacks "$T/err" 'earlier|another|--resume'
    [ "$(value "$T/r.json" 'd["output"]["partial_path"]')" = a.lort.part ]
    cd "$T"
    expect 0 "$LORT" compress m.safetensors -o a.lort --json r.json
    [ "$(value r.json 'd["output"]["resumed_tensors"] > 0, d["error"]')" = '(True, None)' ]
}

@test "work of another command is called so" {
    small "$T/m.safetensors" 300
    stopped --zstd-level 1
    [ "$(cat "$T/code")" -eq 75 ]
    cd "$T"
    expect 2 "$LORT" compress m.safetensors -o a.lort --rank 3 --resume --json r.json
    said 'a.lort.part is unfinished work of another command, or of other inputs; only these resume it'
    failed r.json 2 usage
    expect 0 "$LORT" compress m.safetensors -o a.lort
}

@test "patterns that match nothing are warned of, once" {
    small "$T/m.safetensors"
    cd "$T"
    for command in 'compress -o a.lort --force' plan; do
        # shellcheck disable=SC2086
        expect 0 "$LORT" $command m.safetensors --include 'nosuch*' --exclude 'norm.*' --exclude '*.bias' --json r.json
        once err 'warning: .*--include nosuch\* matches no tensor'
        once err 'warning: .*--exclude \*\.bias matches no tensor'
        lacks err 'norm.*matches'
        [ "$(value r.json 'len(d["warnings"]), sum("nosuch" in w for w in d["warnings"])')" = '(2, 1)' ]
    done
}

@test "warnings stand once on the screen, and an error comes before them" {
    mkdir "$T/d"
    small "$T/d/model.safetensors"
    cd "$T"
    printf x >"d/config.json"
    printf x >d/pytorch_model.bin # a copy of the weights is left out, with a warning
    truncate -s 80M d/pytorch_model.bin
    for command in inspect plan 'compress -o a.lort --force' 'compress -q -o a.lort --force' 'inspect -q'; do
        # shellcheck disable=SC2086
        expect 0 "$LORT" $command d --json r.json
        n=$(value r.json 'len(d["warnings"])')
        [ "$n" -ge 1 ]
        [ "$(grep -c 'warning:' err)" -eq "$n" ] || { cat err; return 1; }
    done
    expect 9 "$LORT" compress d -o a.lort --json r.json -q
    [ "$(grep -c warning: err)" -eq "$(value r.json 'len(d["warnings"])')" ]
    expect 6 "$LORT" compress d -o b.lort --memory 1M --json r.json
    head -n 1 err | grep -q '^lort: .*memory'
    [ "$(grep -c warning: err)" -ge 1 ]
}

@test "an error names the path once" {
    small "$T/m.safetensors"
    cd "$T"
    mkdir empty
    expect 0 "$LORT" compress m.safetensors -o a.lort -q
    damaged a.lort bad.lort
    head -c 300 a.lort >cut.lort
    told() { # code, path, command...
        local code=$1 path=$2
        shift 2
        expect "$code" "$LORT" "$@"
        [ "$(grep '^lort: ' err | grep -o -- "$path" | wc -l)" -eq 1 ] || { cat err; return 1; }
    }
    for command in inspect plan verify 'restore -o x' 'compare m.safetensors' 'compress -o x'; do
        # shellcheck disable=SC2086
        told 3 none $command none
        # shellcheck disable=SC2086
        told 3 empty $command empty
    done
    told 8 cut.lort verify cut.lort
    told 8 bad.lort verify bad.lort
    told 8 bad.lort restore bad.lort -o x
    told 9 a.lort compress m.safetensors -o a.lort
    told 5 nowhere/a.lort compress m.safetensors -o nowhere/a.lort
}

@test "every command has -q and -v" {
    small "$T/m.safetensors"
    cd "$T"
    expect 0 "$LORT" compress m.safetensors -o a.lort -q
    for line in 'plan m.safetensors' 'inspect m.safetensors' 'inspect a.lort' 'verify a.lort' 'restore a.lort --force -o r.safetensors' \
        'compare m.safetensors a.lort' 'compress m.safetensors --force -o b.lort'; do
        # shellcheck disable=SC2086
        expect 0 "$LORT" $line -q
        [ ! -s out ] && [ ! -s err ] || { echo "$line -q:"; cat out err; return 1; }
        # shellcheck disable=SC2086
        expect 0 "$LORT" $line -v
        cat out err | grep -q 'layers\.1\.w\.weight' || { echo "$line -v names no tensor"; return 1; }
    done
    expect 0 "$LORT" inspect a.lort -v
    printed 'norm\.weight .*fewer than two dimensions'
    expect 3 "$LORT" inspect none -q
    said none
}

@test "a model of several files is not restored to the name of one" {
    expect 0 "$LORT" compress "$ONE_HF" -o "$T/a.lort" --lossless -q
    cd "$T"
    for name in r.gguf r.safetensors R.GGUF; do
        refuse "'$name'.*several files, give a directory" restore a.lort -o "$name"
        absent "$name"
        refuse 'several files, give a directory' restore a.lort -o "$name" --force --json r.json
        [ "$(value r.json 'd["error"]["file"]')" = "$name" ]
    done
    no_partial
    expect 0 "$LORT" restore a.lort -o r.gguf/ # a directory may have the name
    [ -d r.gguf ]
    expect 0 "$LORT" restore a.lort -o r1
    expect 9 "$LORT" restore a.lort -o r1
    "$LORT" inspect a.lort --json i.json >out
    expect 0 "$LORT" restore a.lort --tensor "$(value i.json 'd["tensors"][0]["name"]')" -o t.bin # one tensor is one file
    [ -f t.bin ]
}

@test "restore --tensor counts one tensor and its bytes" {
    small "$T/m.safetensors" 5
    cd "$T"
    expect 0 "$LORT" compress m.safetensors -o a.lort -q
    for name in layers.0.w.weight layers.3.w.weight norm.weight; do
        expect 0 "$LORT" restore a.lort --tensor "$name" -o t.bin --force --json r.json
        said '^ +input .* 1 tensor$'
        said ' 1/1 .* 100 %'
        said '^ +output +t\.bin, .* 1 tensor$'
        lacks err '6 tensors|/6'
        [ "$(value r.json '[t["name"] for t in d["tensors"]]')" = "['$name']" ]
        [ "$(value r.json 'd["output"]["bytes"]')" = "$(stat -c %s t.bin)" ]
    done
    [ "$(value r.json 'd["worst_error"]')" = None ] # the vector is kept
    [ "$(value r.json 'd["output"]["bytes"]')" = 384 ]
}

@test "verify checks every container that is named, and the first failure decides" {
    small "$T/m.safetensors"
    cd "$T"
    expect 0 "$LORT" compress m.safetensors -o a.lort -q
    cp a.lort b.lort
    damaged a.lort bad.lort
    expect 0 "$LORT" verify a.lort b.lort
    once out '^a\.lort: ok'
    once out '^b\.lort: ok'
    expect 8 "$LORT" verify a.lort bad.lort none b.lort --json r.json
    once out '^a\.lort: ok'
    once out '^b\.lort: ok'
    once err '^lort: .*bad\.lort'
    once err "^lort: .*'none'"
    [ "$(value r.json '[(r["input"]["path"], (r["error"] or {}).get("code")) for r in d["results"]]')" = \
        "[('a.lort', None), ('bad.lort', 8), ('none', 3), ('b.lort', None)]" ]
    failed r.json 8 damaged
    [ "$(value r.json 'd["results"][0]["verified"], d["results"][1]["verified"]')" = "('all', None)" ]
    expect 3 "$LORT" verify none bad.lort -q
    expect 0 "$LORT" verify a.lort b.lort --quick --json - -q
    [ "$(value out '[r["verified"] for r in d["results"]]')" = "['records', 'records']" ]
    expect 0 "$LORT" verify a.lort --json r.json # one file: the report itself
    [ "$(value r.json 'd["verified"], "results" in d')" = "('all', False)" ]
}

@test "compare prints a summary, and rows with -v" {
    small "$T/m.safetensors" 12
    cd "$T"
    expect 0 "$LORT" compress m.safetensors -o a.lort -q
    expect 0 "$LORT" compare m.safetensors a.lort
    once out '^13 tensors compared, worst error 0\.0[0-9]+, mean error 0\.0'
    once out '^ +equal tensors +1$'
    once out '^ +worst error +0\.0[0-9]+ \(layers\.'
    once out '^ +lowest cosine +0\.99[0-9]* \(layers\.'
    once out '^ +largest difference +0\.0'
    [ "$(wc -l <out)" -lt 8 ]
    expect 0 "$LORT" compare m.safetensors a.lort -v
    [ "$(grep -c '^layers\.[0-9]*\.w\.weight ' out)" -eq 12 ]
    once out '^13 tensors compared'
    expect 0 "$LORT" compare m.safetensors m.safetensors
    once out '^ +equal tensors +13$'
    expect 7 "$LORT" compare m.safetensors a.lort --fail-above 0.001
    once out '^13 tensors compared'
}
