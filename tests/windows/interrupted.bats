#!/usr/bin/env bats
# What ends a run from outside: a kill, a file that is cut, a full disk.
load ../cli/helper

# begin COUNT ARGUMENTS...: compresses to T/a.lort until COUNT tensors are done. The process then stands still; its number is in $pid.
begin() {
    local count=$1 line
    shift
    rm -f "$T/pipe"
    mkfifo "$T/pipe"
    "$LORT" compress "$@" -o "$T/a.lort" -v -T 1 2>"$T/pipe" >/dev/null </dev/null 3>&- &
    pid=$!
    exec 9<"$T/pipe"
    : >"$T/err"
    while [ "$count" -gt 0 ] && IFS= read -r line <&9; do
        printf '%s\n' "$line" >>"$T/err"
        [[ $line =~ ^[a-z_]+[a-z0-9._]*\ +(F16|F32|BF16|U8)\  ]] && count=$((count - 1))
    done
    kill -STOP "$pid"
}
# ends CODE: it goes on, and ends with CODE.
ends() {
    local got=0
    kill -CONT "$pid" 2>/dev/null || true
    cat <&9 >>"$T/err"
    exec 9<&-
    wait "$pid" || got=$?
    [ "$got" -eq "$1" ] || { echo "exit $got, wanted $1"; cat "$T/err"; return 1; }
}

# A mebibyte each, that no coder makes smaller.
parts() { # FILE COUNT
    python3 - "$@" <<'END'
import json, random, struct, sys
count = int(sys.argv[2])
head = {f"blk.{i}.part": {"dtype": "U8", "shape": [1 << 20], "data_offsets": [i << 20, (i + 1) << 20]} for i in range(count)}
text = json.dumps(head).encode()
open(sys.argv[1], "wb").write(struct.pack("<Q", len(text)) + text + random.Random(1).randbytes(count << 20))
END
}

@test "a killed run is resumed to the same bytes, in either mode" {
    expect 0 "$LORT" compress "$GGUF" -o "$T/whole.lort" -q
    for mode in full stream; do
        rm -f "$T"/a.lort*
        begin 5 "$GGUF" --mode $mode
        kill -KILL "$pid"
        ends 137
        absent "$T/a.lort"
        [ -s "$T/a.lort.part" ] && [ -s "$T/a.lort.part.journal" ]
        expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" --resume --json "$T/r.json"
        said 'resuming .*[1-9][0-9]* of [0-9]+ tensors'
        [ "$(value "$T/r.json" 'd["output"]["resumed_tensors"]')" -gt 0 ]
        cmp "$T/whole.lort" "$T/a.lort"
        no_partial
    done
}

@test "a run that Windows ended (TerminateProcess) is resumed to the same bytes" {
    expect 0 "$LORT" compress "$GGUF" -o "$T/whole.lort" -q
    wine=$(sed -n 's/^exec \(.*\) .*lort\.exe .*/\1/p' "$LORT")
    exe=$(sed -n 's/^exec .* \(.*lort\.exe\) .*/\1/p' "$LORT")
    cp "$exe" "$T/ended-$$.exe" # taskkill takes a name
    printf '#!/bin/sh\nexec %s %s "$@"\n' "$wine" "$T/ended-$$.exe" >"$T/lort"
    chmod +x "$T/lort"
    LORT=$T/lort begin 5 "$GGUF"
    "$wine" taskkill /f /im "ended-$$.exe" >/dev/null 2>&1 </dev/null
    kill -CONT "$pid"
    ends 0 # the code that taskkill of Wine gives
    absent "$T/a.lort"
    [ -s "$T/a.lort.part" ]
    expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" --resume --json "$T/r.json"
    [ "$(value "$T/r.json" 'd["output"]["resumed_tensors"]')" -gt 0 ]
    cmp "$T/whole.lort" "$T/a.lort"
}

@test "Ctrl-C, as which SIGINT arrives under Wine, stops at a checkpoint with 75" {
    expect 0 "$LORT" compress "$GGUF" -o "$T/whole.lort" -q
    begin 5 "$GGUF"
    kill -INT "$pid"
    ends 75
    said 'stopped by signal 2'
    said 'a\.lort\.part holds [1-9][0-9]* of [0-9]+ tensors; the same command resumes this run'
    absent "$T/a.lort"
    expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" --resume --json "$T/r.json"
    [ "$(value "$T/r.json" 'd["output"]["resumed_tensors"]')" -gt 0 ]
    cmp "$T/whole.lort" "$T/a.lort"
}

@test "a run that a system began the other one resumes" {
    LINUX=build/release/lort
    [ -x "$LINUX" ] || skip "$LINUX is not here: make builds it"
    export OPENBLAS_CORETYPE=Haswell
    expect 0 "$LORT" compress "$GGUF" -o "$T/whole.lort" -q
    begin 5 "$GGUF"
    kill -KILL "$pid"
    ends 137
    expect 0 "$LINUX" compress "$GGUF" -o "$T/a.lort" --resume --json "$T/r.json"
    cmp "$T/whole.lort" "$T/a.lort"
}

@test "a time limit is a checkpoint: 75, and the same command goes on" {
    expect 0 "$LORT" compress "$GGUF" -o "$T/whole.lort" --size 40% -q
    code=75
    for ms in 050 100 200 300 500 800; do
        code=0
        "$LORT" compress "$GGUF" -o "$T/a.lort" --size 40% -T 1 --time-limit "0.$ms" --resume 2>"$T/err" </dev/null || code=$?
        [ "$code" -eq 75 ] || break
        absent "$T/a.lort"
    done
    [ "$code" -eq 0 ] || expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" --size 40% --resume
    cmp "$T/whole.lort" "$T/a.lort"
    no_partial
}

@test "a file that is cut while it is mapped: exit 4, and no output" {
    parts "$T/source.safetensors" 40
    for mode in stream full; do
        for size in $((3 << 20)) 100 0; do
            rm -f "$T"/a.lort*
            cp "$T/source.safetensors" "$T/m.safetensors"
            begin 1 "$T/m.safetensors" --lossless --mode $mode
            truncate -s $size "$T/m.safetensors"
            ends 4
            said 'm\.safetensors'
            said 'shrank|changed|was modified'
            absent "$T/a.lort"
        done
    done
}

@test "a container that is cut while it is restored or verified: exit 4" {
    parts "$T/source.safetensors" 40
    expect 0 "$LORT" compress "$T/source.safetensors" -o "$T/c.lort" --lossless -q
    for command in "restore $T/d.lort -o $T/o.safetensors" "verify $T/d.lort"; do
        for size in $((3 << 20)) 0; do
            cp "$T/c.lort" "$T/d.lort"
            code=0
            # shellcheck disable=SC2086
            timeout -k 2 60 tests/cli/paused.py "truncate -s $size $T/d.lort" "$LORT" $command >"$T/out" 2>"$T/err" </dev/null || code=$?
            [ "$code" -eq 4 ] || { echo "exit $code: $command, $size"; cat "$T/err"; return 1; }
            absent "$T/o.safetensors"
        done
    done
}

@test "a full disk: exit 5, what is finished stays, and the same bytes once there is room" {
    mkdir "$T/small"
    mount -t tmpfs -o size=3m none "$T/small" 2>/dev/null || skip "cannot mount a small tmpfs: needs root"
    parts "$T/m.safetensors" 6
    code=0
    expect 5 "$LORT" compress "$T/m.safetensors" -o "$T/small/a.lort" --lossless || code=$?
    cp "$T/small"/* "$T/small"/.[a-z]* "$T/" 2>/dev/null || true
    umount "$T/small"
    [ "$code" -eq 0 ]
    said 'a\.lort'
    absent "$T/a.lort"
    expect 0 "$LORT" compress "$T/m.safetensors" -o "$T/a.lort" --lossless --resume
    said 'resuming '
    expect 0 "$LORT" compress "$T/m.safetensors" -o "$T/b.lort" --lossless -q
    cmp "$T/a.lort" "$T/b.lort"
}
