#!/usr/bin/env bats
# What LoRT did not make stays as it is: files, links and directories under the names of its outputs and partial outputs.
load helper
GGUF=$ONE_GGUF HF=$ONE_HF

# picture DIRECTORY: every name below it, with kind, links, permissions, and the target or the hash.
picture() {
    (cd "$1" && find . -printf '%p %y %n %m %l\n' | sort && find . -type f -print0 | sort -z | xargs -0r sha256sum)
}

# untouched COMMAND...: the command ends with 9, names a reason, and nothing in $T/d changes.
untouched() {
    picture "$T/d" >"$T/before"
    expect 9 "$@"
    picture "$T/d" >"$T/after"
    cmp "$T/before" "$T/after"
}

# each_foreign_thing NAME COMMAND...: runs the command with each thing that can stand at that name.
each_foreign_thing() {
    local name=$1 kind
    for kind in text hard link dangling fifo directory; do
        rm -rf "$T/d"
        mkdir "$T/d" "$T/d/victim"
        echo precious >"$T/d/victim/thesis.txt"
        case $kind in
            text) echo "my notes" >"$name" ;;
            hard) ln "$T/d/victim/thesis.txt" "$name" ;;
            link) ln -s victim/thesis.txt "$name" ;;
            dangling) ln -s nowhere "$name" ;;
            fifo) mkfifo "$name" ;;
            directory) mkdir "$name" && echo mine >"$name/notes" ;;
        esac
        "${@:2}" || { echo "with $kind at $name"; return 1; }
    done
}

@test "compress leaves what stands at OUT.part" {
    each_foreign_thing "$T/d/o.lort.part" untouched "$LORT" compress "$GGUF" -o "$T/d/o.lort"
    said "'o.lort.part' in '$T/d' is not from LoRT"
    each_foreign_thing "$T/d/o.lort.part" untouched "$LORT" compress "$GGUF" -o "$T/d/o.lort" --force
}

@test "compress leaves what stands at OUT.part.journal" {
    each_foreign_thing "$T/d/o.lort.part.journal" untouched "$LORT" compress "$GGUF" -o "$T/d/o.lort"
    said "'o.lort.part.journal' in '$T/d' is not from LoRT"
}

# unfinished MODEL FILE: a run that was killed once the partial output had bytes.
unfinished() {
    "$LORT" compress "$1" -o "$2" -T 1 2>/dev/null 3>&- &
    local pid=$!
    for _ in $(seq 20000); do
        [ -s "$2.part" ] && break
        sleep 0.001
    done
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null || true
    [ -s "$2.part" ] && [ -s "$2.part.journal" ]
}

@test "a foreign journal does not cost the unfinished work beside it" {
    mkdir "$T/d"
    "$LORT" compress "$GGUF" -o "$T/d/whole.lort" -q 2>/dev/null
    unfinished "$GGUF" "$T/d/o.lort"
    rm "$T/d/o.lort.part.journal"
    rm -f "$T/d/o.lort.part.writer" # of the dead run: the next run removes it
    echo "my notes" >"$T/d/o.lort.part.journal"
    untouched "$LORT" compress "$GGUF" -o "$T/d/o.lort"
    rm "$T/d/o.lort.part.journal"
    expect 0 "$LORT" compress "$GGUF" -o "$T/d/o.lort"
    cmp "$T/d/whole.lort" "$T/d/o.lort"
}

@test "a file of another user is not taken over" {
    [ "$(id -u)" -eq 0 ] || skip "only root can give a file away"
    mkdir "$T/d"
    "$LORT" compress "$GGUF" -o "$T/d/o.lort.part" -q 2>/dev/null # begins as a partial output begins
    chown 12345 "$T/d/o.lort.part"
    untouched "$LORT" compress "$GGUF" -o "$T/d/o.lort"
    said 'belongs to user 12345'
}

@test "restore leaves what stands at its partial name and its lock" {
    "$LORT" compress "$GGUF" -o "$T/file.lort" --lossless -q
    "$LORT" compress "$HF" -o "$T/dir.lort" --lossless -q
    for model in file dir; do
        each_foreign_thing "$T/d/.new.lort-partial" untouched "$LORT" restore "$T/$model.lort" -o "$T/d/new"
        said 'lort-partial'
        each_foreign_thing "$T/d/.new.lort-lock" untouched "$LORT" restore "$T/$model.lort" -o "$T/d/new"
        said 'lort-lock'
    done
}

@test "restore does not empty the directory that a link leads to" {
    "$LORT" compress "$HF" -o "$T/dir.lort" --lossless -q
    mkdir -p "$T/d/victim" "$T/d/out"
    echo precious >"$T/d/victim/thesis.txt"
    ln -s ../victim "$T/d/out/.new.lort-partial"
    untouched "$LORT" restore "$T/dir.lort" -o "$T/d/out/new"
    said '.new.lort-partial'
}

# killed_restore NAME: a restore of $T/dir.lort to $T/d/NAME that is killed in the middle.
killed_restore() {
    local got=0
    ROWS=5 python3 tests/cli/paused.py 'kill -KILL $PID' "$LORT" restore "$T/dir.lort" -o "$T/d/$1" -T 1 -v 2>/dev/null || got=$?
    [ "$got" -eq 137 ]
    [ -n "$(find "$T/d/.$1.lort-partial" -type f -size +0)" ]
}

@test "restore takes over what a killed restore left, and nothing else" {
    "$LORT" compress "$KJV/hf" -o "$T/dir.lort" --lossless -q
    mkdir "$T/d"
    killed_restore new
    echo mine >"$T/d/.new.lort-partial/notes"
    untouched "$LORT" restore "$T/dir.lort" -o "$T/d/new"
    said "'notes' in '.*lort-partial' is not from LoRT"
    rm "$T/d/.new.lort-partial/notes"
    expect 0 "$LORT" restore "$T/dir.lort" -o "$T/d/new"
    same "$KJV/hf" "$T/d/new"
    no_partial
}

@test "an output that is a link is exit 9, and --force replaces the link" {
    "$LORT" compress "$GGUF" -o "$T/file.lort" -q 2>/dev/null
    mkdir "$T/d"
    for target in victim nowhere /dev/null; do
        echo precious >"$T/d/victim"
        ln -sf "$target" "$T/d/o"
        untouched "$LORT" compress "$GGUF" -o "$T/d/o"
        said 'is a symbolic link'
        untouched "$LORT" restore "$T/file.lort" -o "$T/d/o"
        expect 0 "$LORT" compress "$GGUF" -o "$T/d/o" --force -q
        [ ! -L "$T/d/o" ] && cmp "$T/file.lort" "$T/d/o" && [ "$(cat "$T/d/victim")" = precious ]
        ln -sf "$target" "$T/d/o"
        expect 0 "$LORT" restore "$T/file.lort" -o "$T/d/o" --force
        [ ! -L "$T/d/o" ] && [ -s "$T/d/o" ] && [ "$(cat "$T/d/victim")" = precious ]
    done
}

@test "the directory of an output may be a link" {
    mkdir "$T/real"
    ln -s real "$T/way"
    expect 0 "$LORT" compress "$GGUF" -o "$T/way/o.lort" -q
    expect 0 "$LORT" restore "$T/way/o.lort" -o "$T/way/o.gguf"
    [ -s "$T/real/o.gguf" ]
}

# swapped ACTION CODE: stops a run in the middle, lets ACTION loose, and lets the run go on to end with CODE.
swapped() {
    rm -rf "$T/d"
    mkdir "$T/d"
    "$LORT" compress "$KJV/kjv-3m-f16.gguf" -o "$T/d/o.lort" -T 1 2>"$T/err" 3>&- &
    local pid=$! got=0
    for _ in $(seq 20000); do
        [ -s "$T/d/o.lort.part" ] && break
        sleep 0.001
    done
    kill -STOP "$pid"
    eval "$1"
    kill -CONT "$pid"
    wait "$pid" || got=$?
    [ "$got" -eq "$2" ] || { echo "exit $got, wanted $2"; cat "$T/err"; return 1; }
}

@test "a file that LoRT did not write is not published" {
    swapped 'mv "$T/d/o.lort.part" "$T/d/moved" && echo evil >"$T/d/o.lort.part"' 5
    absent "$T/d/o.lort"
    [ "$(cat "$T/d/o.lort.part")" = evil ]
    said 'removed or replaced it during the run'
    lacks "$T/err" 'complete and checked|--resume'
}

@test "a partial output that was removed is not said to be there" {
    swapped 'rm "$T/d/o.lort.part"' 5
    absent "$T/d/o.lort"
    lacks "$T/err" 'complete and checked|--resume'
    no_partial
    swapped 'rm "$T/d/o.lort.part" && ln -s /etc/hostname "$T/d/o.lort.part"' 5
    [ -L "$T/d/o.lort.part" ]
    lacks "$T/err" 'complete and checked|--resume'
}

@test "a journal that was replaced is left alone" {
    swapped 'mv "$T/d/o.lort.part.journal" "$T/d/moved" && echo mine >"$T/d/o.lort.part.journal"' 0
    [ "$(cat "$T/d/o.lort.part.journal")" = mine ]
    "$LORT" verify "$T/d/o.lort" -q
}

@test "after it is open, the output directory is held, without following links" {
    command -v strace >/dev/null || skip "strace is not here"
    strace -o "$T/log" true 2>/dev/null || skip "strace may not trace here"
    mkdir "$T/d"
    "$LORT" compress "$HF" -o "$T/dir.lort" -q 2>/dev/null
    for force in "" --force; do
        expect 0 env ASAN_OPTIONS=detect_leaks=0 strace -f -o "$T/compress.log" -e trace=%file,%desc "$LORT" compress "$GGUF" -o "$T/d/o.lort" --json "$T/d/report.json" $force
        python3 tests/cli/trace.py "$T/compress.log" "$T/d" o.lort report.json
        expect 0 env ASAN_OPTIONS=detect_leaks=0 strace -f -o "$T/restore.log" -e trace=%file,%desc "$LORT" restore "$T/d/o.lort" -o "$T/d/o.gguf" $force
        python3 tests/cli/trace.py "$T/restore.log" "$T/d" o.gguf
    done
    expect 0 env ASAN_OPTIONS=detect_leaks=0 strace -f -o "$T/restore.log" -e trace=%file,%desc "$LORT" restore "$T/dir.lort" -o "$T/d/new"
    python3 tests/cli/trace.py "$T/restore.log" "$T/d" new
    # a killed run is taken over
    unfinished "$GGUF" "$T/d/p.lort"
    expect 0 env ASAN_OPTIONS=detect_leaks=0 strace -f -o "$T/resume.log" -e trace=%file,%desc "$LORT" compress "$GGUF" -o "$T/d/p.lort"
    python3 tests/cli/trace.py "$T/resume.log" "$T/d" p.lort
}
