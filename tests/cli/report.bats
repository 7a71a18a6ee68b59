#!/usr/bin/env bats
# The place of a JSON report: it destroys nothing, hangs nowhere, and a fault is found before the work.
load helper

# refused CODE FILE COMMAND...: the command ends so with --json FILE, and what stands in $T stays as it is.
refused() {
    local code=$1 json=$2
    picture >"$BATS_TEST_TMPDIR/before"
    shift 2
    expect "$code" timeout -k 1 20 "$@" --json "$json"
    cp "$T/err" "$BATS_TEST_TMPDIR/err"
    picture | diff "$BATS_TEST_TMPDIR/before" - || { echo "changed by --json $json"; return 1; }
}
picture() { (cd "$T" && find . ! -name out ! -name err ! -path . -printf '%p %y %n %i %s %l\n' | sort && find . -type f ! -name out ! -name err -exec sha256sum {} + | sort); }

@test "a report is none of the names that compress reads or writes, however it is spelt" {
    mkdir "$T/d" "$T/other"
    cp "$GGUF" "$T/d/m.gguf"
    imatrix "$T/d/m.gguf" "$T/d/i.dat"
    rm "$T/inspected.json"
    ln -s d "$T/link"
    ln "$T/d/m.gguf" "$T/other/hard"
    ln -s ../d/o.lort.part "$T/other/soft"
    for name in o.lort o.lort.part o.lort.part.journal .o.lort.lort-partial .o.lort.lort-lock m.gguf i.dat; do
        for place in "$T/d" "$T/link" "$T/other/../d" "$T/d/."; do
            refused 2 "$place/$name" "$LORT" compress "$T/d/m.gguf" --imatrix "$T/d/i.dat" -o "$T/link/o.lort" -q
            said "--json '.*': the report would replace what the command reads or writes"
        done
        (cd "$T/d" && refused 2 "./$name" "$LORT" compress m.gguf --imatrix i.dat -o "$T/d/o.lort" -q)
    done
    refused 2 "$T/other/hard" "$LORT" compress "$T/d/m.gguf" -o "$T/d/o.lort" -q
    on_windows || refused 2 "$T/other/soft" "$LORT" compress "$T/d/m.gguf" -o "$T/d/o.lort" -q # Wine does not show a link that leads nowhere
    refused 2 "$T/d/r.json" "$LORT" compress "$T/d/m.gguf" -o "$T/d/.r.json.lort-partial" -q # the report's own partial file
    echo left >"$T/d/o.lort.part"
    ln "$T/d/o.lort.part" "$T/other/left"
    refused 2 "$T/other/left" "$LORT" compress "$T/d/m.gguf" -o "$T/d/o.lort" -q
    ! on_windows || return 0 # Wine does not tell which file standard output is
    for name in o.lort.part m.gguf; do # standard output is such a file
        for json in - /dev/stdout; do
            before=$(hashes "$T/d/$name")
            code=0
            "$LORT" compress "$T/d/m.gguf" -o "$T/d/o.lort" -q --json "$json" >>"$T/d/$name" 2>"$T/err" || code=$?
            [ "$code" -eq 2 ]
            [ "$(hashes "$T/d/$name")" = "$before" ]
        done
    done
}

@test "a report is no file of a model: no shard, no side file, no index" {
    cp -r "$HF" "$T/hf"
    for file in "$T"/hf/*; do
        refused 2 "$file" "$LORT" inspect "$T/hf"
        refused 2 "$file" "$LORT" plan "$T/hf/./"
        refused 2 "$file" "$LORT" compare "$GGUF" "$T/hf"
    done
    for file in "$T"/hf/*.safetensors; do
        refused 2 "$file" "$LORT" inspect "$T/hf/model.safetensors.index.json"
    done
    expect 0 "$LORT" inspect "$T/hf" --json "$T/hf/new.json" # a new name replaces nothing
}

@test "a report does not lie inside the output of a restore, nor on the container" {
    expect 0 "$LORT" compress "$ONE_HF" -o "$T/a.lort" --lossless -q
    ln "$T/a.lort" "$T/b.lort"
    ln -s . "$T/link"
    for json in new/r.json link/new/deep/r.json .new.lort-partial/r.json ./new .new.lort-lock; do
        refused 2 "$T/$json" "$LORT" restore "$T/a.lort" -o "$T/new"
        refused 2 "$T/$json" "$LORT" restore "$T/a.lort" -o "$T/link/new/"
    done
    for command in inspect verify "restore -o $T/new" "compare $ONE_HF"; do
        # shellcheck disable=SC2086
        refused 2 "$T/b.lort" "$LORT" $command "$T/a.lort"
    done
    expect 0 "$LORT" restore "$T/a.lort" -o "$T/new" --json "$T/new.json"
    same "$ONE_HF" "$T/new"
}

@test "a report replaces an earlier report or an empty file, and nothing else" {
    cp "$ONE_GGUF" "$T/m.gguf"
    : >"$T/empty.json"
    for json in r.json r.json empty.json; do
        expect 0 "$LORT" inspect "$T/m.gguf" --json "$T/$json"
        [ "$(value "$T/$json" 'd["command"]')" = inspect ]
    done
    ln -s r.json "$T/soft.json"
    ln "$T/empty.json" "$T/hard.json"
    ln -s nowhere "$T/dangling.json"
    echo notes >"$T/notes.json"
    echo '{"lort": "0.1.0", "command": "mine"}' >"$T/mine.json"
    on_windows && rm "$T/soft.json" "$T/dangling.json" # Wine does not show links as links
    for json in "$T"/soft.json "$T"/hard.json "$T"/dangling.json "$T"/notes.json "$T"/mine.json; do
        json=${json##*/}
        [ -L "$T/$json" ] || [ -e "$T/$json" ] || continue
        for command in inspect plan "compress --force -o $T/o.lort"; do
            # shellcheck disable=SC2086
            refused 9 "$T/$json" "$LORT" $command "$T/m.gguf"
            said "$json' exists and is .*LoRT replaces its own reports only"
        done
    done
}

@test "a place that cannot be written is found before the work" {
    cp "$ONE_GGUF" "$T/m.gguf"
    mkdir "$T/directory"
    python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$T/socket"
    for json in directory nowhere/r.json socket; do
        refused 5 "$T/$json" "$LORT" compress "$T/m.gguf" -o "$T/o.lort" -q
        said "$json"
    done
    expect 3 "$LORT" inspect "$T/none.gguf" --json "$T/r.json" # a command that fails writes a report too
    [ "$(value "$T/r.json" 'd["error"]["code"]')" = 3 ]
    rm "$T/r.json"
    no_partial
    exec 5>"$T/fd.json"
    expect 0 "$LORT" inspect "$T/m.gguf" --json /dev/fd/5
    exec 5>&-
    value "$T/fd.json" 'd["command"]'
    expect 0 "$LORT" compress "$T/m.gguf" -o "$T/o.lort" -q --json /dev/stdout
    value "$T/out" 'd["command"]'
    expect 0 "$LORT" inspect "$T/m.gguf" --json /dev/null
    [ -c /dev/null ]
}

@test "a FIFO without a reader is refused at once, with one it takes the report" {
    cp "$ONE_GGUF" "$T/m.gguf"
    mkfifo "$T/f"
    for command in inspect plan "compress -o $T/o.lort"; do
        # shellcheck disable=SC2086
        refused 5 "$T/f" "$LORT" $command "$T/m.gguf"
        said "f' is a FIFO that no process reads; start its reader first"
    done
    for command in inspect plan "compress -o $T/o.lort"; do
        (sleep 0.3; cat) <"$T/f" >"$T/r.json" &
        reader=$!
        sleep 0.1
        # shellcheck disable=SC2086
        expect 0 timeout 20 "$LORT" $command "$T/m.gguf" --json "$T/f"
        wait "$reader"
        [ "$(value "$T/r.json" 'd["command"]')" = "${command%% *}" ]
    done
    [ -p "$T/f" ]
}

@test "a signal ends the wait for a reader that reads nothing" {
    expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" --lossless -q
    python3 - "$LORT" "$(realpath "$GGUF")" "$T" <<'END'
import fcntl, os, signal, subprocess, sys, time
lort, model, place = sys.argv[1:]
os.chdir(place)
os.mkfifo("f")

def hear_signals():
    """nohup and background jobs ignore some signals, and LoRT keeps that in force."""
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)

def stuck(args, stream, number):
    """The stream of the command is a pipe of 4 KiB that nobody reads."""
    if stream == "fifo":
        reader, writer = os.open("f", os.O_RDONLY | os.O_NONBLOCK), None
        args = args + ["--json", "f"]
    else:
        reader, writer = os.pipe()
    fcntl.fcntl(reader, 1031, 4096)  # F_SETPIPE_SZ
    with open("said", "w+b") as said:
        streams = {"stdout": subprocess.DEVNULL, "stderr": said, **({stream: writer} if writer else {})}
        run = subprocess.Popen([lort, *args], preexec_fn=hear_signals, **streams)
        if writer:
            os.close(writer)
        time.sleep(1.5)
        assert run.poll() is None, f"{args}: ended with {run.returncode} although nobody reads"
        run.send_signal(number)
        try:
            code = run.wait(8)
        except subprocess.TimeoutExpired:
            run.kill()
            raise AssertionError(f"{args}: signal {number} does not end the wait for {stream}")
        assert code == 128 + number, f"{args} {stream}: exit {code}"
    os.close(reader)

for command in (["inspect", model], ["plan", model], ["verify", "a.lort"]):
    stuck(command, "fifo", signal.SIGTERM)
stuck(["inspect", model], "stdout", signal.SIGINT)
stuck(["inspect", model, "--json", "-"], "stdout", signal.SIGTERM)
stuck(["compress", model, "-o", "b.lort", "--lossless", "-q"], "fifo", signal.SIGHUP)
END
    expect 0 "$LORT" verify -q "$T/b.lort"
}

@test "a report tells options, versions, kinds, layers, bits, phases, times and memory" {
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --bpw 5 --exclude '*attn_q*' --exclude 'x*' -q --json "$T/r.json"
    value "$T/r.json" 'd["options"]' >"$T/have"
    echo "{'output': '$T/a.lort', 'bpw': '5', 'exclude': ['*attn_q*', 'x*'], 'quiet': True, 'json': '$T/r.json'}" | diff - "$T/have"
    [ "$(value "$T/r.json" 'd["versions"]["lort"] == d["lort"] and d["versions"]["algorithm"] >= 7 and all(d["versions"].values())')" = True ]
    python3 - "$T/r.json" <<'END'
import datetime, json, math, sys
d = json.load(open(sys.argv[1]))
start, end = (datetime.datetime.strptime(d[k], "%Y-%m-%dT%H:%M:%SZ") for k in ("started", "ended"))
assert abs((datetime.datetime.utcnow() - start).total_seconds()) < 300 and 0 <= (end - start).total_seconds() < 300
assert {"measuring", "writing"} <= {p["phase"] for p in d["phases"]}
assert abs(sum(p["seconds"] for p in d["phases"]) - d["seconds"]) < 0.1 + 0.1 * d["seconds"]
times = [s["seconds"] for s in d["samples"]]
assert 1 < len(times) <= 200 and times == sorted(times) and all(s["anon_bytes"] > 0 for s in d["samples"])
assert max(s["anon_bytes"] for s in d["samples"]) <= d["memory"]["peak_anon_bytes"]
for t in d["tensors"]:
    assert t["kind"] and t["layer"] == (0 if t["name"].startswith("blk.0.") else None), t
    assert abs(t["bits"] - 8 * t["bytes_out"] / math.prod(t["shape"])) < 1e-6, t
for k in d["kinds"]:
    own = [t for t in d["tensors"] if t["kind"] == k["kind"]]
    assert k["tensors"] == len(own) > 0 and k["bytes_out"] == sum(t["bytes_out"] for t in own)
    assert abs(k["bits"] - 8 * k["bytes_out"] / k["elements"]) < 1e-6
assert sum(k["tensors"] for k in d["kinds"]) == len(d["tensors"])
END
    # options stand in the report of a refused command line too
    expect 2 "$LORT" compress "$ONE_GGUF" -o "$T/b.lort" --rank x --json "$T/r2.json"
    [ "$(value "$T/r2.json" 'd["options"]["rank"]')" = x ]
    # many options in one word
    expect 0 "$LORT" verify "$T/a.lort" -qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq --json "$T/r3.json"
    [ "$(value "$T/r3.json" 'd["options"]["quiet"]')" = True ]
    expect 2 "$LORT" verify "$T/a.lort" --memory $'\e\xff' --json "$T/r4.json"
    [ "$(value "$T/r4.json" 'd["options"]["memory"]')" = '\x1B\xFF' ]
}

@test "spectra are near the singular values of numpy, and change no byte" {
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --bpw 5 -q --spectra --json "$T/r.json"
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/b.lort" --bpw 5 -q --json "$T/none.json"
    cmp "$T/a.lort" "$T/b.lort"
    [ "$(value "$T/none.json" 'sum("spectrum" in t for t in d["tensors"])')" -eq 0 ]
    [ "$(value "$T/r.json" 'sum("spectrum" in t for t in d["tensors"])')" -ge 5 ]
    [ "$(value "$T/r.json" 'all("spectrum" not in t for t in d["tensors"] if len(t["shape"]) < 2)')" = True ]
    expect 0 "$LORT" report "$T/r.json" -o "$T/r.html"
    grep -q '"spectrum":\[0\.' "$T/r.html"
    [ "$MODE" = release ] || return 0 # python is not sanitised
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/c.lort" --rank 8 -q --spectra --json "$T/r8.json"
    PYTHONPATH=compress/python LORT_LIBRARY=$(dirname "$LORT")/liblort.so.0 /usr/bin/python3 - "$ONE_GGUF" "$T/r.json" "$T/r8.json" <<'END'
import json, sys
import lort, numpy
with lort.open(sys.argv[1]) as model:
    # a sketch stays below the true values: by little for factors, by more where it only shows that none pay
    for path, near in ((sys.argv[2], 0.9), (sys.argv[3], 0.998)):
        for t in json.load(open(path))["tensors"]:
            if "spectrum" not in t:
                continue
            w = numpy.asarray(model[t["name"]], dtype=numpy.float64)
            true = numpy.linalg.svd(w, compute_uv=False) / numpy.linalg.norm(w)
            have = numpy.array(t["spectrum"])
            assert 0 < len(have) <= 16 and (numpy.diff(have) <= 0).all()
            assert (have <= true[:len(have)] * 1.0001).all() and (have[:4] > true[:4] * near).all(), (t["name"], have, true[:16])
END
}

@test "spectra of an adapter are those of the updates" {
    cp -r "$ONE_HF" "$T/base" && cp -r "$T/base" "$T/tuned"
    python3 tests/examples/nudge.py "$T/tuned"
    expect 0 "$LORT" extract-lora "$T/tuned" --base "$T/base" -o "$T/adapter" -q --drop-unsupported --max-rank 8 --spectra --json "$T/r.json"
    [ "$(value "$T/r.json" 'all(0 < len(t["spectrum"]) <= 16 and t["spectrum"] == sorted(t["spectrum"], reverse=True) and sum(s * s for s in t["spectrum"]) <= 1.001 for t in d["tensors"] if t["rank"])')" = True ]
    [ "$(value "$T/r.json" 'sum("spectrum" in t for t in d["tensors"])')" -ge 1 ]
}
