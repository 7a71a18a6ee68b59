# Restored files on standard output, and one file of a model.
load helper

setup_file() {
    mkdir "$BATS_FILE_TMPDIR/one" && python3 tests/cli/one_layer.py $KJV "$BATS_FILE_TMPDIR/one"
    "$LORT" compress -q "$BATS_FILE_TMPDIR/one/kjv-3m-f16.gguf" -o "$BATS_FILE_TMPDIR/g.lort"
    "$LORT" compress -q "$BATS_FILE_TMPDIR/one/hf" -o "$BATS_FILE_TMPDIR/h.lort"
    "$LORT" restore -q "$BATS_FILE_TMPDIR/g.lort" -o "$BATS_FILE_TMPDIR/g.gguf"
    "$LORT" restore -q "$BATS_FILE_TMPDIR/h.lort" -o "$BATS_FILE_TMPDIR/h"
}
g() { echo "$BATS_FILE_TMPDIR/g.lort"; }
h() { echo "$BATS_FILE_TMPDIR/h.lort"; }

@test "a pipe gets the bytes of restore, and the log goes to standard error" {
    for threads in 1 3; do
        "$LORT" restore "$(g)" -T $threads -o - 2>"$T/err" | cmp - "$BATS_FILE_TMPDIR/g.gguf"
        said 'output +standard output, .* tensors'
    done
    "$LORT" restore -q "$(g)" -o - >"$T/file"
    cmp "$T/file" "$BATS_FILE_TMPDIR/g.gguf"
    printf head >"$T/appended"
    "$LORT" restore -q "$(g)" -o - >>"$T/appended"
    tail -c +5 "$T/appended" | cmp - "$BATS_FILE_TMPDIR/g.gguf"
    "$LORT" restore -q "$(g)" --dtype F32 -o "$T/wide.gguf"
    "$LORT" restore -q "$(g)" --dtype F32 -o - | cmp - "$T/wide.gguf"
    absent ./-
}

@test "one tensor, and every file of a model, to a pipe and to a path" {
    local tensor=blk.0.attn_q.weight
    "$LORT" restore -q "$(g)" --tensor $tensor -o "$T/tensor"
    "$LORT" restore -q "$(g)" --tensor $tensor -o - | cmp - "$T/tensor"
    "$LORT" restore -q "$(h)" --dtype F32 -o "$T/wide"
    for file in "$T"/wide/*; do
        "$LORT" restore -q "$(h)" --file "$(basename "$file")" -o - | cmp - "$BATS_FILE_TMPDIR/h/$(basename "$file")"
        "$LORT" restore -q "$(h)" --dtype F32 --file "$(basename "$file")" -o - | cmp - "$file"
        "$LORT" restore -q "$(h)" --dtype F32 --file "$(basename "$file")" -o "$T/one" --force
        cmp "$T/one" "$file"
    done
    no_partial
}

@test "what standard output cannot take is refused before any byte" {
    expect 2 "$LORT" restore "$(h)" -o -
    said 'holds [0-9]+ files, and the output takes one: give --file NAME \(such as model.*\.safetensors\), or a directory \(-o DIR\)'
    [ ! -s "$T/out" ]
    expect 2 "$LORT" restore "$(h)" --file nothing -o -
    said "no file 'nothing' in the container"
    expect 2 "$LORT" restore "$(h)" --file config.json --tensor x -o -
    said 'give one of them'
    expect 2 "$LORT" restore "$(g)" -o - --json -
    said 'standard output takes one of them'
    for command in "compress $ONE_GGUF" "quantize $ONE_GGUF --type Q8_0" "extract-lora $ONE_GGUF --base $ONE_GGUF"; do
        expect 2 "$LORT" $command -o -
        said 'cannot go to standard output; name a file \(\./- for this name\)'
    done
    absent ./-
}

@test "a terminal is refused" {
    command -v script >/dev/null || skip "script is not here"
    script -qec "'$LORT' restore -q '$(g)' -o -" "$T/typed" >"$T/out" </dev/null || [ $? -eq 2 ]
    grep -q 'standard output is a terminal' "$T/typed"
    [ "$(wc -c <"$T/typed")" -lt 2000 ]
}

@test "a reader that goes away is exit 5, and no signal ends lort" {
    set +e
    { "$LORT" restore "$(g)" -o - --json "$T/r.json" 2>"$T/err"; echo $? >"$T/code"; } | head -c 10 >/dev/null
    set -e
    [ "$(cat "$T/code")" -eq 5 ]
    said 'cannot write to standard output: Broken pipe'
    said '[0-9]+ bytes are on standard output already; they are no whole file'
    [ "$(value "$T/r.json" "d['error']['code']")" -eq 5 ]
    if [ -e /dev/full ]; then
        local got=0
        "$LORT" restore "$(g)" -o - >/dev/full 2>"$T/err" || got=$?
        [ $got -eq 5 ] && said 'No space left'
    fi
}

@test "a signal ends the wait for a reader that takes nothing" {
    mkfifo "$T/fifo"
    sleep 60 3>&- <"$T/fifo" &
    local reader=$!
    "$LORT" restore "$(g)" -o - >"$T/fifo" 2>"$T/err" 3>&- &
    local run=$! got=0
    until grep -q 'budget' "$T/err"; do sleep 0.05; done
    sleep 0.3
    kill -INT $run 2>/dev/null || kill -TERM $run
    sleep 0.2
    kill -TERM $run 2>/dev/null || true
    wait $run || got=$?
    kill $reader
    [ $got -eq 143 ] || [ $got -eq 130 ]
}

@test "a damaged container gives its code, and says what was written" {
    cp "$(g)" "$T/bad.lort"
    flip "$T/bad.lort" $(($(stat -c %s "$T/bad.lort") / 2))
    local got=0
    "$LORT" restore "$T/bad.lort" -o - >"$T/out" 2>"$T/err" || got=$?
    [ $got -eq 8 ]
    said 'tensor .*: '
    said 'bytes are on standard output already'
}
