#!/usr/bin/env bats
# Errors of the rows of embeddings and heads, and weights that are far larger than all others.
load helper

rows() { numpy tests/cli/rows.py "$@"; }
setup_file() { :; }
setup() {
    T=$(mktemp -d)
    need_numpy
}

# coded NAME ARGUMENTS...: compresses $T/m to $T/NAME.lort, and measures what comes back.
coded() {
    local name=$1
    shift
    expect 0 "$LORT" compress "$T/m" -o "$T/$name.lort" --json "$T/$name.json" "$@"
    expect 0 "$LORT" restore "$T/$name.lort" -o "$T/$name.f32" --dtype F32
    rows check "$T/m" "$T/$name.f32" "$T/$name.json"
}

# figure NAME TENSOR FIELD
figure() { value "$T/$1.json" "next(t['$3'] for t in d['tensors'] if t['name'] == '$2')"; }
below() { python3 -c 'import sys; a, b = map(float, sys.argv[1:]); sys.exit(not 0 < a <= b)' "$1" "$2" || { echo "$1 is not in 0 to $2"; return 1; }; }
EMBEDDING=model.embed_tokens.weight
MATRIX=model.layers.0.mlp.up_proj.weight

@test "each row of an embedding and of a head keeps the target" {
    for type in F32 BF16 F16; do
        rows make rows $type "$T/m"
        for target in "" "--max-error 0.1" "--bpw 4" "--bpw 3"; do
            coded "r$type${target// /}" $target
            [ "$(count_action "$T/r$type${target// /}.json" coded)" -eq 2 ]
        done
        below "$(figure "r$type" $EMBEDDING worst_row_error)" 0.0375
        below "$(figure "r$type" $EMBEDDING rel_error)" 0.025
        below "$(figure "r$type--max-error0.1" $EMBEDDING worst_row_error)" 0.075
        below "$(figure "r$type--max-error0.1" lm_head.weight rel_error)" 0.025
    done
}

@test "one huge weight comes back exactly, and the others keep the target" {
    for type in F32 BF16 F16; do
        rows make huge $type "$T/m"
        while read -r name most arguments; do
            case $type-$name in F32-* | *-default | *-rank) ;; *) continue ;; esac # the way to a target knows no type
            coded "$type$name" $arguments
            [ "$(figure "$type$name" $MATRIX outliers)" -eq 1 ]
            below "$(figure "$type$name" $MATRIX rel_error_rest)" "$most"
            below "$(figure "$type$name" $MATRIX rel_error)" 0.001
            expect 0 "$LORT" restore "$T/$type$name.lort" -o "$T/$type$name"
            rows exact "$T/m" "$T/$type$name"
            rows exact "$T/m" "$T/$type$name.f32"
        done <<'END'
default 0.05
int 0.05 --residual int --max-error 0.05
error 0.1 --max-error 0.1
bpw 0.2 --bpw 4
size 0.2 --size 30%
rank 1 --rank 8
trits 0.6 --rank 8 --residual ternary
energy 0.548 --energy 0.7 --residual none
END
    done
}

@test "full and stream mode and any number of threads give the same bytes" {
    rows make both BF16 "$T/m"
    for target in "" "--bpw 3"; do
        rm -f "$T/a.lort"
        expect 0 "$LORT" compress "$T/m" -o "$T/a.lort" --mode full -T 1 $target
        for mode in full stream; do
            for threads in 1 4; do
                expect 0 "$LORT" compress "$T/m" -o "$T/b.lort" --mode $mode -T $threads --force $target
                cmp "$T/a.lort" "$T/b.lort"
            done
        done
    done
}

@test "verify, compare, and tensors one by one" {
    rows make both F16 "$T/m"
    coded a
    expect 0 "$LORT" verify "$T/a.lort"
    expect 0 "$LORT" restore "$T/a.lort" -o "$T/back"
    rows exact "$T/m" "$T/back"
    expect 0 "$LORT" compare "$T/m" "$T/a.lort" --json "$T/c.json"
    python3 - "$T/a.json" "$T/c.json" <<'END'
import json, sys
one, two = ({t["name"]: t for t in json.load(open(f))["tensors"]} for f in sys.argv[1:])
for name in one:
    # compare has the rounding to F16 too
    assert abs(one[name]["rel_error"] - two[name]["rel_error"]) < 0.002 * one[name]["rel_error"] + 1e-6, name
END
    expect 0 "$LORT" compare "$T/a.lort" "$T/a.lort"
    for tensor in $EMBEDDING $MATRIX lm_head.weight; do
        expect 0 "$LORT" restore "$T/a.lort" -o "$T/$tensor" --tensor $tensor
        python3 - "$T/back" "$T/$tensor" $tensor <<'END'
import json, struct, sys
data = open(sys.argv[1], "rb").read()
size = struct.unpack("<Q", data[:8])[0]
at = json.loads(data[8:8 + size])[sys.argv[3]]["data_offsets"]
assert data[8 + size + at[0]:8 + size + at[1]] == open(sys.argv[2], "rb").read()
END
    done
    for type in BF16 F16; do
        expect 0 "$LORT" restore "$T/a.lort" -o "$T/as$type" --dtype $type
    done
    rows exact "$T/m" "$T/asF16"
}

@test "the independent reader gives the same values" {
    command -v zstd >/dev/null || numpy -c 'import zstandard' 2>/dev/null || skip "no zstd"
    for type in BF16 F32; do
        rows make rows $type "$T/m"
        coded "rows$type"
        rows make huge $type "$T/m"
        coded "int$type"
        coded "trits$type" --rank 0 --residual ternary
        for name in rows int trits; do
            expect 0 "$LORT" restore "$T/$name$type.lort" -o "$T/one"
            expect 0 numpy scripts/lort_decode.py "$T/$name$type.lort" "$T/two"
            cmp "$T/one" "$T/two/m"
            rm -r "$T/one" "$T/two"
        done
        coded "factors$type" --rank 8
        expect 0 "$LORT" restore "$T/factors$type.lort" -o "$T/one"
        expect 0 numpy scripts/lort_decode.py "$T/factors$type.lort" "$T/two"
        cmp "$T/one" "$T/two/m"
        rows exact "$T/m" "$T/two/m"
        rm -r "$T/one" "$T/two"
    done
}

# stop_after OUT COUNT ARGUMENTS...: kills a run once it has finished COUNT tensors.
kill_after() {
    local out=$1 count=$2 line pid
    shift 2
    mkfifo "$T/pipe"
    "$LORT" compress "$@" -o "$out" -v -T 1 2>"$T/pipe" 3>&- &
    pid=$!
    exec 9<"$T/pipe"
    while [ "$count" -gt 0 ] && IFS= read -r line <&9; do
        [[ $line =~ ^[a-z_]+[a-z0-9._]*\ +(F16|F32|BF16)\  ]] && count=$((count - 1))
    done
    kill -KILL "$pid"
    exec 9<&-
    wait "$pid" 2>/dev/null || true
    rm "$T/pipe"
    [ "$count" -eq 0 ] && [ -s "$out.part" ] && absent "$out"
}

@test "a killed run is resumed with the same figures" {
    rows make both F32 "$T/m"
    coded whole --residual int
    kill_after "$T/a.lort" 3 "$T/m" --residual int
    expect 0 "$LORT" compress "$T/m" -o "$T/a.lort" --residual int --resume --json "$T/a.json"
    [ "$(value "$T/a.json" 'd["output"]["resumed_tensors"]')" -ge 3 ]
    cmp "$T/whole.lort" "$T/a.lort"
    for field in rel_error rel_error_rest worst_row_error outliers weighted_error; do
        for tensor in $EMBEDDING $MATRIX lm_head.weight; do
            [ "$(figure whole $tensor $field)" = "$(figure a $tensor $field)" ]
        done
    done
    [ "$(figure a $EMBEDDING worst_row_error)" != None ]
    [ "$(figure a $MATRIX rel_error_rest)" != None ]
}

@test "a tied embedding gets the share of a head" {
    rows tied "$T/m"
    coded tied --bpw 4
    for head in lm_head.weight output.weight; do
        rows tied "$T/m" $head
        coded "$head" --bpw 4
        python3 - "$(figure tied $EMBEDDING bytes_out)" "$(figure $head $EMBEDDING bytes_out)" <<'END'
import sys
tied, plain = (int(n) * 8 / (64 * 128) for n in sys.argv[1:])
assert tied > plain + 1, (tied, plain)
END
    done
    # other matrices that begin like embeddings of tokens are none
    rows tied "$T/m"
    sed -i 's/model\.embed_tokens\.weight/model.embed_places.weight/' "$T/m"
    coded other --bpw 4
    python3 - "$(figure tied $EMBEDDING bytes_out)" "$(figure other model.embed_places.weight bytes_out)" <<'END'
import sys
assert int(sys.argv[1]) > 1.2 * int(sys.argv[2]), sys.argv
END
}

@test "plan and inspect know such models" {
    rows make both BF16 "$T/m"
    coded a
    expect 0 "$LORT" plan "$T/m"
    expect 0 "$LORT" inspect "$T/a.lort" --json "$T/i.json"
    [ "$(value "$T/i.json" "[t['outliers'] for t in d['tensors'] if t['name'] == '$MATRIX']")" = "[1]" ]
}

# required FILE: the required features of a container, as a number.
required() { python3 -c 'import struct, sys; print(struct.unpack("<Q", open(sys.argv[1], "rb").read()[48:56])[0])' "$1"; }

@test "columns and rows are scaled together" {
    rows make both F32 "$T/m"
    imatrix "$T/m" "$T/i.dat"
    expect 0 "$LORT" compress "$T/m" -o "$T/a.lort" --imatrix "$T/i.dat" --json "$T/a.json"
    [ "$(required "$T/a.lort")" -eq 7 ]
    expect 0 "$LORT" verify "$T/a.lort"
    expect 0 "$LORT" restore "$T/a.lort" -o "$T/back"
    rows check "$T/m" "$T/back" "$T/a.json"
    rows exact "$T/m" "$T/back"
    # bits 1 and 2 without importances, none where nothing is coded
    coded b
    [ "$(required "$T/b.lort")" -eq 6 ]
    expect 0 "$LORT" compress "$T/m" -o "$T/c.lort" --lossless
    [ "$(required "$T/c.lort")" -eq 0 ]
    command -v zstd >/dev/null || numpy -c 'import zstandard' 2>/dev/null || skip "no zstd"
    rows make rows F32 "$T/m"
    expect 0 "$LORT" compress "$T/m" -o "$T/a.lort" --imatrix "$T/i.dat" --force
    [ "$(required "$T/a.lort")" -eq 7 ]
    expect 0 "$LORT" restore "$T/a.lort" -o "$T/back" --force
    expect 0 numpy scripts/lort_decode.py "$T/a.lort" "$T/two"
    cmp "$T/back" "$T/two/m"
}

@test "an outlier that a type cannot hold is named" {
    rows make huge F32 "$T/m"
    python3 - "$T/m" <<'END'
import struct, sys
data = open(sys.argv[1], "rb").read().replace(struct.pack("<f", 3e4), struct.pack("<f", 1e6))
open(sys.argv[1], "wb").write(data)
END
    coded a
    expect 7 "$LORT" restore "$T/a.lort" -o "$T/half" --dtype F16
    said 'does not fit'
    absent "$T/half"
    expect 0 "$LORT" restore "$T/a.lort" -o "$T/half" --dtype BF16
}

@test "rows of trits beside factors are not known" {
    rows make rows F32 "$T/m"
    expect 0 "$LORT" compress "$T/m" -o "$T/a.lort" --rank 8 --residual ternary --include "$EMBEDDING" --json "$T/a.json"
    [ "$(figure a $EMBEDDING action)" = coded ]
    [ "$(figure a $EMBEDDING rank)" -eq 8 ]
    [ "$(figure a $EMBEDDING worst_row_error)" = None ]
    coded b --rank 0 --residual ternary --include $EMBEDDING
    [ "$(figure b $EMBEDDING action)" = coded ]
    [ "$(figure b $EMBEDDING worst_row_error)" != None ]
}

# rough FILE TYPE COUNT VALUE: a matrix of 128 x 128 whose first COUNT weights of every other row are VALUE, the others noise of 0.02.
rough() {
    python3 - "$@" <<'END'
import json, random, struct, sys
path, dtype, count, value = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
rng, form = random.Random(7), {"F32": "f", "F64": "d"}[dtype]
rows = [[value if c < count and r % 2 else rng.gauss(0, 0.02) for c in range(128)] for r in range(128)]
data = b"".join(struct.pack(f"<128{form}", *row) for row in rows)
head = json.dumps({"l.up_proj.weight": {"dtype": dtype, "shape": [128, 128], "data_offsets": [0, len(data)]}}).encode()
head += b" " * (-len(head) % 8)
open(path, "wb").write(struct.pack("<Q", len(head)) + head + data)
END
}

@test "where too many weights are huge, a matrix is kept: the others are not lost" {
    rough "$T/m.safetensors" F32 1 300 # 64 of 16384: 0.4 %
    for options in '' '--max-error 0.3' '--bpw 30' '--rank 8' '--residual ternary'; do
        # shellcheck disable=SC2086
        expect 0 "$LORT" compress "$T/m.safetensors" -o "$T/m.lort" --force --json "$T/m.json" $options
        [ "$(value "$T/m.json" 'd["tensors"][0]["action"], d["tensors"][0]["reason"]')" = "('kept', 'too many weights are far larger than the others')" ]
    done
    rough "$T/m.safetensors" F32 40 300 # 16 %: these are weights like others
    expect 0 "$LORT" compress "$T/m.safetensors" -o "$T/m.lort" --force --json "$T/m.json"
    [ "$(value "$T/m.json" 'd["tensors"][0]["action"]')" = factored ]
}

@test "F64 comes back as F32: large weights fit, and the error keeps its target" {
    rough "$T/m.safetensors" F64 0 0
    expect 0 "$LORT" compress "$T/m.safetensors" -o "$T/m.lort" --max-error 0.0001 --json "$T/m.json"
    [ "$(value "$T/m.json" 'd["tensors"][0]["action"]')" = coded ]
    expect 0 "$LORT" restore "$T/m.lort" -o "$T/r.safetensors"
    expect 0 "$LORT" inspect "$T/r.safetensors"
    printed 'l\.up_proj\.weight +F32 '
    expect 0 "$LORT" compare "$T/m.safetensors" "$T/r.safetensors" --fail-above 0.0001
}
