#!/usr/bin/env bats
# Two writers of one output, where locks lie or are missing: the heartbeat OUT.part.writer.
load helper

lies() { env LD_PRELOAD="$FAULT" LORT_FAULT="$1" "${@:2}"; }
need_fault() { [ -e "${FAULT:-}" ] || skip "FAULT names no library of faults"; }
clean() { ls "$T"; [ -z "$(find "$T" -name '*.part*')" ]; }

# killed OUT: unfinished work of a killed run, with its heartbeat.
killed() {
    expect 137 tests/cli/paused.py 'kill -KILL $PID' "$LORT" compress "$ONE_GGUF" -o "$1" --rank 8 -T 1 -v
    [ -s "$1.part.writer" ]
}
# of_host OUT HOST: the heartbeat is that of another host.
of_host() { sed -i "s/^host .*/host $2/" "$1.part.writer"; }

@test "locks that lie: of two writers one ends with 0 and one with 9" {
    need_fault
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/right.lort" --rank 8
    # the second has other options: without a heartbeat they destroyed each other's work
    second='timeout 60 "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --rank 4 2>"$T/second"; echo $? >"$T/code"'
    export LORT T ONE_GGUF LD_PRELOAD=$FAULT LORT_FAULT=lock-lies
    expect 0 tests/cli/paused.py "$second" "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --rank 8 -T 1 -v
    unset LD_PRELOAD LORT_FAULT
    [ "$(cat "$T/code")" = 9 ] || { cat "$T/second"; false; }
    grep -q "another LoRT is writing this output (process [0-9]* on host" "$T/second"
    same "$T/a.lort" "$T/right.lort"
    clean
}

@test "a killed run is resumed at once, whatever locks say" {
    need_fault
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/right.lort" --rank 8
    killed "$T/a.lort"
    begin=$(date +%s)
    LD_PRELOAD=$FAULT LORT_FAULT=lock-lies expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --rank 8 --resume
    [ $(($(date +%s) - begin)) -lt 25 ]
    lacks "$T/err" "watches"
    same "$T/a.lort" "$T/right.lort"
    clean
}

@test "a heartbeat of another host that moves: exit 9; one that stands still is taken over" {
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/right.lort" --rank 8
    killed "$T/a.lort"
    of_host "$T/a.lort" far
    (sleep 2; sed -i 's/^beat .*/beat 00000000000000000099/' "$T/a.lort.part.writer") &
    expect 9 "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --rank 8 --resume
    wait
    said "watches for 30 s whether that writer lives"
    said "process [0-9]+ on host far"
    [ -s "$T/a.lort.part" ] && [ -s "$T/a.lort.part.journal" ] && [ -s "$T/a.lort.part.writer" ]
    begin=$(date +%s)
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --rank 8 --resume
    [ $(($(date +%s) - begin)) -ge 29 ]
    same "$T/a.lort" "$T/right.lort"
    clean
}

@test "a writer whose work was taken over ends with 9 and touches nothing" {
    steal='sed -i "s/^host .*/host far/" "$T/a.lort.part.writer"; sha256sum "$T/a.lort.part.journal" >"$T/sums"'
    export T
    expect 9 tests/cli/paused.py "$steal" "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --rank 8 -T 1 -v
    said "another LoRT has taken this output over \(process [0-9]+ on host far\)"
    absent "$T/a.lort"
    [ -s "$T/a.lort.part" ]
    sha256sum -c "$T/sums"
    grep -q '^host far$' "$T/a.lort.part.writer"
}

@test "a disk without locks: the heartbeat alone, with a warning" {
    need_fault
    for error in ENOLCK ENOSYS EINVAL; do
        expect 0 lies "lock:1+:$error" "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --rank 8 --force
        said "has no locks; the heartbeat in NAME.part.writer alone"
    done
    second='timeout 60 "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --rank 8 --force 2>"$T/second"; echo $? >"$T/code"'
    export LORT T ONE_GGUF LD_PRELOAD=$FAULT LORT_FAULT=lock:1+:ENOLCK
    expect 0 tests/cli/paused.py "$second" "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --rank 8 -T 1 -v --force
    unset LD_PRELOAD LORT_FAULT
    [ "$(cat "$T/code")" = 9 ]
    expect 0 lies lock:1+:ENOLCK "$LORT" restore "$T/a.lort" -o "$T/r.gguf"
    said "has no locks; start no second run"
    clean
}

@test "two writers of one file of a task: exits 0 and 9, and the bytes of one process" {
    need_fault
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/right.lort" --rank 8
    second='timeout 60 "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --rank 8 --task 0/2 2>"$T/second"; echo $? >"$T/code"'
    export LORT T ONE_GGUF LD_PRELOAD=$FAULT LORT_FAULT=lock-lies
    expect 0 tests/cli/paused.py "$second" "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --rank 8 --task 0/2 -T 1 -v
    unset LD_PRELOAD LORT_FAULT
    [ "$(cat "$T/code")" = 9 ]
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --rank 8 --task 1/2
    expect 0 "$LORT" merge "$T/a.lort"
    same "$T/a.lort" "$T/right.lort"
    clean
}
