#!/usr/bin/env bats
# Unfinished work: what is left, what resumes it, and what is refused. tests/fault/kill.py kills at random instants.
load helper
GGUF=$ONE_GGUF HF=$ONE_HF

# stop_after FILE COUNT ARGUMENTS...: compresses to FILE, and stops the process (SIGSTOP) once COUNT tensors are done; its number is in $pid.
stop_after() {
    local out=$1 count=$2 line
    shift 2
    rm -f "$T/pipe"
    mkfifo "$T/pipe"
    : >"$T/err"
    # nohup ignores SIGHUP, and LoRT keeps that in force
    env --default-signal "$LORT" compress "$@" -o "$out" -v -T 1 2>"$T/pipe" 3>&- &
    pid=$!
    exec 9<"$T/pipe"
    while [ "$count" -gt 0 ] && IFS= read -r line <&9; do
        printf '%s\n' "$line" >>"$T/err"
        [[ $line =~ ^[a-z_]+[a-z0-9._]*\ +(F16|F32|BF16)\  ]] && count=$((count - 1))
    done
    kill -STOP "$pid"
}

# ends CODE: lets it go on; it ends with CODE.
ends() {
    kill -CONT "$pid" 2>/dev/null || true
    cat <&9 >>"$T/err"
    exec 9<&-
    local got=0
    wait "$pid" || got=$?
    [ "$got" -eq "$1" ] || { echo "exit $got, wanted $1"; cat "$T/err"; return 1; }
}

# unfinished FILE ARGUMENTS...: a run that was killed after some tensors.
unfinished() {
    stop_after "$1" 5 "${@:2}"
    kill -KILL "$pid"
    ends 137
    [ -s "$1.part" ] && [ -s "$1.part.journal" ] && absent "$1"
}

@test "a killed run is resumed, in either mode, to the same bytes" {
    "$LORT" compress "$GGUF" -o "$T/whole.lort" -q 2>/dev/null
    for mode in full stream; do
        unfinished "$T/$mode.lort" "$GGUF" --mode "$mode"
        expect 0 "$LORT" compress "$GGUF" -o "$T/$mode.lort" --resume -T 1 --mode stream --json "$T/r.json"
        said 'resuming .*[1-9][0-9]* of [0-9]+ tensors'
        [ "$(value "$T/r.json" 'd["output"]["resumed_tensors"]')" -ge 5 ]
        cmp "$T/whole.lort" "$T/$mode.lort"
        no_partial
    done
}

@test "it is resumed without being asked to" {
    "$LORT" compress "$GGUF" -o "$T/whole.lort" -q 2>/dev/null
    unfinished "$T/a.lort" "$GGUF"
    expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort"
    said 'resuming '
    cmp "$T/whole.lort" "$T/a.lort"
}

@test "the first reading under a size is not lost either" {
    "$LORT" compress "$GGUF" -o "$T/whole.lort" --size 40% -q 2>/dev/null
    code=75
    for ms in 020 030 040 050 060 080 100 130 170 220 300 400 600 800; do
        "$LORT" compress "$GGUF" -o "$T/a.lort" --size 40% -T 1 --time-limit "0.$ms" --resume 2>"$T/err" && code=0 && break
        [ "$?" -eq 75 ]
        absent "$T/a.lort"
    done
    [ "$code" -eq 0 ] || expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" --size 40% --resume
    cmp "$T/whole.lort" "$T/a.lort"
    no_partial
}

@test "figures of a run in two parts are those of one" {
    imatrix "$GGUF" "$T/i.dat"
    "$LORT" compress "$GGUF" -o "$T/whole.lort" --imatrix "$T/i.dat" -q --json "$T/one.json" 2>/dev/null
    unfinished "$T/a.lort" "$GGUF" --imatrix "$T/i.dat"
    expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" --imatrix "$T/i.dat" --resume --json "$T/two.json"
    cmp "$T/whole.lort" "$T/a.lort"
    python3 - "$T/one.json" "$T/two.json" <<'END'
import json, sys
one, two = (json.load(open(f)) for f in sys.argv[1:])
for key in "worst_error mean_error worst_weighted_error mean_weighted_error".split():
    assert one[key] == two[key], (key, one[key], two[key])
for a, b in zip(one["tensors"], two["tensors"]):
    for key in a:
        assert key in ("seconds", "passes", "detail") or a[key] == b[key], (a["name"], key, a[key], b[key])
END
}

@test "SIGTERM and SIGHUP stop at a checkpoint with 75" {
    "$LORT" compress "$GGUF" -o "$T/whole.lort" -q 2>/dev/null
    for signal in TERM HUP; do
        stop_after "$T/$signal.lort" 3 "$GGUF"
        kill -"$signal" "$pid"
        ends 75
        said 'stopped by signal'
        said "$signal.lort.part holds [1-9][0-9]* of [0-9]+ tensors; the same command resumes this run"
        absent "$T/$signal.lort"
        expect 0 "$LORT" compress "$GGUF" -o "$T/$signal.lort" --resume
        cmp "$T/whole.lort" "$T/$signal.lort"
    done
}

@test "SIGINT does too, and a second one ends it at once, and what is finished stays" {
    "$LORT" compress "$GGUF" -o "$T/whole.lort" -q 2>/dev/null
    python3 - "$LORT" "$GGUF" "$T/a.lort" <<'END'
import signal, subprocess, sys
lort, model, out = sys.argv[1:]
def begin():
    process = subprocess.Popen([lort, "compress", model, "-o", out, "-v", "-T", "1"], stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if " F16 " in line or " F32 " in line:
            break
    process.send_signal(signal.SIGSTOP)
    return process
process = begin()
process.send_signal(signal.SIGINT)
process.send_signal(signal.SIGCONT)
process.stderr.read()
assert process.wait() == 75, process.returncode
process = begin()
process.send_signal(signal.SIGINT)   # both are pending: each is delivered once
process.send_signal(signal.SIGTERM)
process.send_signal(signal.SIGCONT)
process.stderr.read()
assert process.wait() in (-signal.SIGTERM, -signal.SIGINT), process.returncode
END
    expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" --resume
    said 'resuming .* [1-9][0-9]* of'
    cmp "$T/whole.lort" "$T/a.lort"
}

@test "SIGUSR1 says how far it is, however often it comes" {
    stop_after "$T/a.lort" 2 "$GGUF"
    python3 -c '
import os, signal, sys
for i in range(10000):
    os.kill(int(sys.argv[1]), signal.SIGUSR1)
    if i == 0:
        os.kill(int(sys.argv[1]), signal.SIGCONT)' "$pid" 2>/dev/null || true
    ends 0
    said '^  so far +[a-z ]*[0-9]+/[0-9]+ '
    [ "$(grep -c 'so far' "$T/err")" -lt 100 ]
    expect 0 "$LORT" verify -q "$T/a.lort"
}

@test "a time limit is a checkpoint too" {
    expect 75 "$LORT" compress "$GGUF" -o "$T/a.lort" --time-limit 0.001s --json "$T/r.json"
    said 'time limit'
    python3 -m json.tool "$T/r.json" >/dev/null
    absent "$T/a.lort"
    for bad in 0 -1 x 1y 1e3 "" nan 1h30; do
        expect 2 "$LORT" compress "$GGUF" -o "$T/a.lort" --time-limit "$bad"
        said 'time-limit'
    done
}

@test "what differs is named, and nothing is touched" {
    cp "$GGUF" "$T/m.gguf"
    unfinished "$T/a.lort" "$T/m.gguf" --rank 24
    before=$(sha256sum "$T/a.lort.part" "$T/a.lort.part.journal")
    while IFS='|' read -r words options; do
        # shellcheck disable=SC2086
        expect 2 "$LORT" compress "$T/m.gguf" -o "$T/a.lort" --resume $options
        said "$words"
        said 'a.lort.part is unfinished work of another command, or of other inputs; only these resume it'
    done <<END
rank=24 there, rank=25 here|--rank 25
rank=24 there, energy=0.5 here|--energy 0.5
seed=0 there, seed=3 here|--rank 24 --seed 3
zstd-level=1 there, zstd-level=4 here|--rank 24 --zstd-level 4
min-dim=32 there, min-dim=64 here|--rank 24 --min-dim 64
another option: nothing there, .* here|--rank 24 --exclude x
END
    printf 'x' >>"$T/m.gguf"
    expect 4 "$LORT" compress "$T/m.gguf" -o "$T/a.lort" --resume --rank 24
    said 'size of m.gguf'
    cp "$GGUF" "$T/m.gguf"
    python3 - "$T/m.gguf" <<'END'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
at = data.index(b"kjv")
data[at:at + 3] = b"KJV"
open(sys.argv[1], "wb").write(data)
END
    expect 4 "$LORT" compress "$T/m.gguf" -o "$T/a.lort" --resume --rank 24
    said 'header of m.gguf'
    [ "$before" = "$(sha256sum "$T/a.lort.part" "$T/a.lort.part.journal")" ]
    cp "$GGUF" "$T/m.gguf"
    expect 0 "$LORT" compress "$T/m.gguf" -o "$T/a.lort" --resume --rank 24
    said 'resuming '
}

@test "without --resume what differs is begun again, with a warning" {
    unfinished "$T/a.lort" "$GGUF" --rank 24
    expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" --rank 8
    said 'warning: .*rank=24 there, rank=8 here; begun again'
    "$LORT" compress "$GGUF" -o "$T/b.lort" --rank 8 -q 2>/dev/null
    cmp "$T/a.lort" "$T/b.lort"
    no_partial
}

@test "where only a time differs finished tensors are compared with the input" {
    cp "$GGUF" "$T/m.gguf"
    "$LORT" compress "$T/m.gguf" -o "$T/whole.lort" -q 2>/dev/null
    unfinished "$T/a.lort" "$T/m.gguf"
    touch -d '2001-01-01' "$T/m.gguf"
    expect 0 "$LORT" compress "$T/m.gguf" -o "$T/a.lort" --resume
    said 'resuming .* [1-9][0-9]* of'
    cmp "$T/whole.lort" "$T/a.lort"

    unfinished "$T/b.lort" "$T/m.gguf"
    at=$(value <("$LORT" inspect "$T/m.gguf" --json -) 'd["tensors"][0]["offset"]')
    flip "$T/m.gguf" "$((at + 100))"
    expect 4 "$LORT" compress "$T/m.gguf" -o "$T/b.lort" --resume
    said 'tensor .* in m.gguf changed since b.lort.part was begun'
    "$LORT" compress "$T/m.gguf" -o "$T/new.lort" -q 2>/dev/null
    expect 0 "$LORT" compress "$T/m.gguf" -o "$T/b.lort"
    cmp "$T/new.lort" "$T/b.lort"
}

@test "torn, flipped and missing: the valid part is used, the rest made again" {
    [ "$MODE" = release ] || skip "slow under a sanitizer; test_resume.c does as much"
    "$LORT" compress "$GGUF" -o "$T/whole.lort" -q 2>/dev/null
    unfinished "$T/a.lort" "$GGUF"
    cp "$T/a.lort.part" "$T/part"
    cp "$T/a.lort.part.journal" "$T/journal"
    size=$(stat -c %s "$T/part")
    half=$((size / 2))
    for damage in "truncate -s $half a.lort.part" "truncate -s 10 a.lort.part" "truncate -s 0 a.lort.part" "rm a.lort.part" \
        "truncate -s 30 a.lort.part.journal" "rm a.lort.part.journal" "truncate -s -5 a.lort.part.journal" "flip a.lort.part $half" "flip a.lort.part 3" \
        "flip a.lort.part 150" "flip a.lort.part.journal 40" "cp whole.lort a.lort.part" "cp part more; cat journal >>more; mv more a.lort.part"; do
        cp "$T/part" "$T/a.lort.part"
        cp "$T/journal" "$T/a.lort.part.journal"
        (cd "$T" && eval "$damage")
        expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" --resume
        cmp "$T/whole.lort" "$T/a.lort" || { echo "$damage"; return 1; }
        no_partial
        rm "$T/a.lort"
    done
}

@test "two writers: the second is told who has it" {
    stop_after "$T/a.lort" 2 "$GGUF"
    expect 9 "$LORT" compress "$GGUF" -o "$T/a.lort"
    said "$(on_windows && echo 'written by another LoRT' || echo "process $pid on this host|another host")" # Windows does not say who holds a lock
    expect 9 "$LORT" compress "$GGUF" -o "$T/a.lort" --resume --force
    ends 0
    expect 0 "$LORT" verify -q "$T/a.lort"
    no_partial
}

@test "a full disk keeps what is finished" {
    "$LORT" compress "$GGUF" -o "$T/whole.lort" --lossless -q 2>/dev/null
    expect 5 bash -c 'ulimit -f 600; exec "$@"' - "$LORT" compress "$GGUF" -o "$T/a.lort" --lossless
    said 'a.lort.part holds [1-9]'
    absent "$T/a.lort"
    expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" --lossless --resume
    said 'resuming '
    cmp "$T/whole.lort" "$T/a.lort"
}

@test "an output that came to be meanwhile is not replaced, nor is the work lost" {
    stop_after "$T/a.lort" 5 "$GGUF"
    echo precious >"$T/a.lort"
    ends 9
    [ "$(cat "$T/a.lort")" = precious ]
    rm "$T/a.lort"
    expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" --resume
    said 'resuming .*(12 of 12|[1-9][0-9]* of)'
    expect 0 "$LORT" verify -q "$T/a.lort"
}

@test "an old output survives an unfinished --force" {
    echo precious >"$T/a.lort"
    stop_after "$T/a.lort" 3 "$GGUF" --force
    kill -INT "$pid"
    ends 75
    [ "$(cat "$T/a.lort")" = precious ]
    expect 9 "$LORT" compress "$GGUF" -o "$T/a.lort" --resume
    expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" --resume --force
    expect 0 "$LORT" verify -q "$T/a.lort"
}

@test "an output in the directory of its model does not become a part of it" {
    cp -r "$HF" "$T/m"
    "$LORT" compress "$T/m" -o "$T/whole.lort" -q 2>/dev/null
    unfinished "$T/m/a.lort" "$T/m"
    expect 0 "$LORT" compress "$T/m" -o "$T/m/a.lort" --resume
    lacks "$T/err" 'left out' # its own files are no files of the model
    said 'resuming .* [1-9][0-9]* of'
    cmp "$T/whole.lort" "$T/m/a.lort"
}

@test "a model that has the name of the partial file is refused and stays" {
    cp "$GGUF" "$T/m.part"
    expect 2 "$LORT" compress "$T/m.part" -o "$T/m"
    said 'partial file is one of the input files'
    cmp "$GGUF" "$T/m.part"
}

@test "--resume with nothing to resume starts from the beginning" {
    expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" --rank 8 --resume
    said 'nothing to resume'
    expect 0 "$LORT" verify -q "$T/a.lort"
}
