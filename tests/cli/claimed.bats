#!/usr/bin/env bats
# Containers of some kilobytes that claim up to 2^60 elements, every hash right: each command answers or refuses within 20 plain runs (docs/FORMAT.md, section 12).
load helper
export PYTHONDONTWRITEBYTECODE=1
EXAMPLES=${EXAMPLES:-${LORT%/*}/tests/examples}

setup() {
    T=$(mktemp -d)
    "$LORT" compress "$GGUF" -o "$T/plain.lort" >/dev/null 2>&1
}

claims() { python3 tests/cli/claimed.py make "$1" "$T/a.lort"; }

# bounded CODE COMMAND...: the exit code, in time. Sanitizers have no bound.
bounded() {
    local code=$1
    shift
    if [ "$MODE" = release ]; then expect "$code" python3 tests/cli/claimed.py within "$T/plain.lort" "$@"; else expect "$code" "$@"; fi
}

# read_in_time: inspect, verify, and compare with itself.
read_in_time() {
    bounded 0 "$LORT" inspect "$T/a.lort"
    bounded 0 "$LORT" verify "$T/a.lort"
    bounded 0 "$LORT" compare "$T/a.lort" "$T/a.lort"
}

# restores BYTES: restore gives a file of zeros but for its header, in time.
restores() {
    bounded 0 "$LORT" restore "$T/a.lort" -o "$T/r.safetensors"
    bounded 0 "$LORT" restore "$T/a.lort" -o "$T/r32.safetensors" --dtype F32
    bounded 0 "$LORT" restore "$T/a.lort" -o "$T/z" --tensor z
    [ "$(stat -c %s "$T/z")" -eq "$1" ]
    cmp "$T/z" <(tail -c "$1" "$T/r.safetensors")
    [ "$1" -eq 0 ] || [ "$(tail -c $((2 * $1)) "$T/r32.safetensors" | tr -d '\0' | wc -c)" -eq "${2:-0}" ]
    expect 0 "$LORT" compare "$T/a.lort" "$T/r.safetensors"
    rm "$T"/r*.safetensors
}

@test "2^24 slices that are stored nowhere" {
    claims slices
    read_in_time
    restores $((2 << 24))
}

@test "slices of terms of every kind that are stored nowhere" {
    claims "slices of every term"
    read_in_time
    restores $((2 << 24))
}

@test "2^24 kept slices without elements" {
    claims "empty slices"
    read_in_time
    restores 0
}

@test "sixteen terms of 2^21 slices that are in none of them" {
    claims "many terms"
    read_in_time
}

@test "few of 2^24 slices are stored, and the other side has one slice" {
    claims "few stored slices"
    read_in_time
    restores $((2 << 24)) $((2 * 2001))
    python3 tests/cli/claimed.py make "one slice" "$T/one.lort"
    bounded 0 "$LORT" compare "$T/a.lort" "$T/one.lort"
}

@test "2^60 zeros are read at once, and their room is asked for before they are written" {
    for name in zeros "one row of zeros" "one column of zeros" "large slices" "many tensors"; do
        claims "$name"
        read_in_time
        local code=0
        python3 tests/cli/claimed.py within "$T/plain.lort" "$LORT" restore "$T/a.lort" -o "$T/r" 2>"$T/err" || code=$?
        [ "$code" -eq 5 ] || [ "$code" -eq 6 ]
        said 'the output needs .* but|not enough memory'
        absent "$T/r"
    done
}

@test "few bytes that stand for many elements are not compared" {
    for name in product "small product" trits; do
        claims "$name"
        bounded 0 "$LORT" inspect "$T/a.lort"
        bounded 3 "$LORT" compare "$T/a.lort" "$T/a.lort"
        said 'cannot be compared: A and B store .* which is too little for'
    done
    claims product
    bounded 0 "$LORT" verify "$T/a.lort"
}

@test "rows that are stored nowhere are read at once, and too many of them refused" {
    [ -x "$EXAMPLES/read_rows" ] || skip "the examples are not built (make check-cli builds them)"
    claims slices
    expect 0 "$EXAMPLES/read_rows" "$T/a.lort" z 16777216
    [ "$(grep -c ' 0.000000$' "$T/out")" -eq 16777216 ]
    claims zeros
    expect 3 "$EXAMPLES/read_rows" "$T/a.lort" z -1
    said 'which is too little for .* more values in one call; ask for fewer rows'
    claims "one column of zeros"
    expect 0 "$EXAMPLES/read_rows" "$T/a.lort" z 3
    [ "$(grep -c ' 0.000000$' "$T/out")" -eq 3 ]
}
