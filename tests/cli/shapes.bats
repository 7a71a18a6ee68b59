#!/usr/bin/env bats
# Tensors with a shape of their own: convolutions, stacks of small slices, and tensors with equal bytes.
load helper

# Without numpy the test goes on.
decodes() {
    has_numpy || return 0
    rm -rf "$T/decoded"
    numpy scripts/lort_decode.py "$1" "$T/decoded" || return 1
    # factors: two readers may differ by the rounding of their sums
    cmp -s "$T/decoded/$(basename "$2")" "$2" || "$LORT" compare "$2" "$T/decoded/$(basename "$2")" --fail-above 1e-6 >/dev/null
}

# restored CONTAINER MODEL: verify accepts it, and the independent reader restores the bytes that LoRT restores.
restored() {
    expect 0 "$LORT" verify "$1"
    rm -rf "$T/restored"
    mkdir "$T/restored"
    expect 0 "$LORT" restore "$1" -o "$T/restored/$(basename "$2")"
    decodes "$1" "$T/restored/$(basename "$2")"
}

# bytes FILE NAME: the hash of the bytes of a tensor.
bytes() {
    python3 -c '
import hashlib, json, struct, sys
data = open(sys.argv[1], "rb").read()
n, = struct.unpack_from("<Q", data)
a, b = json.loads(data[8 : 8 + n])[sys.argv[2]]["data_offsets"]
print(hashlib.sha256(data[8 + n + a : 8 + n + b]).hexdigest())' "$1" "$2"
}

convolutions() {
    f32_model "$T/conv.safetensors" <<'END'
tensors = {"a.weight": [64, 40, 3, 3], "b.weight": [64, 96, 1], "c.weight": [48, 4, 2, 3, 3], "d.weight": [64, 64]}
random.seed(1)
values = (random.gauss(0, 0.02) for shape in tensors.values() for _ in range(math.prod(shape)))
END
}

# The head has the bytes of the embedding; so has the tensor "other", which has another shape. "near" differs in one weight.
tied() {
    f32_model "$T/tied.safetensors" <<'END'
tensors = {"model.embed_tokens.weight": [512, 64], "layers.0.q_proj.weight": [64, 64], "lm_head.weight": [512, 64], "near": [512, 64], "other": [64, 512], "zero.0": [64, 64], "zero.1": [64, 64]}
random.seed(2)
e = [random.gauss(0, 0.02) for _ in range(512 * 64)]
near = list(e)
near[9999] += 1
values = e + [random.gauss(0, 0.02) for _ in range(4096)] + e + near + e + [0.0] * 8192
END
}

@test "a convolution is one matrix, under every target" {
    convolutions
    expect 0 "$LORT" compress "$T/conv.safetensors" -o "$T/a.lort" --json "$T/a.json"
    [ "$(value "$T/a.json" '[(t["slices"], t["action"]) for t in d["tensors"]]')" = "[(1, 'coded'), (1, 'coded'), (1, 'coded'), (1, 'coded')]" ]
    [ "$(value "$T/a.json" 'all(t["rel_error"] <= 0.05 and t["bytes_out"] < 0.3 * t["bytes_in"] for t in d["tensors"])')" = True ]
    restored "$T/a.lort" conv.safetensors
    expect 0 "$LORT" compare "$T/conv.safetensors" "$T/a.lort" --fail-above 0.05
    for options in '--rank 8' '--bpw 4' '--size 30%' '--residual ternary'; do
        # shellcheck disable=SC2086
        expect 0 "$LORT" compress "$T/conv.safetensors" -o "$T/b.lort" --force -q $options
        restored "$T/b.lort" conv.safetensors
    done
    expect 0 "$LORT" compress "$T/conv.safetensors" -o "$T/b.lort" --force -q --lossless
    expect 0 "$LORT" restore "$T/b.lort" -o "$T/same.safetensors"
    cmp "$T/conv.safetensors" "$T/same.safetensors"
}

@test "containers that see a tensor as other matrices are compared" {
    f32_model "$T/m.safetensors" <<'END'
tensors = {"w": [40, 48, 16]}
random.seed(3)
values = [random.gauss(0, 0.02) for _ in range(40 * 48 * 16)]
END
    expect 0 "$LORT" compress "$T/m.safetensors" -o "$T/one.lort" --json "$T/one.json"                      # 40 x 768
    expect 0 "$LORT" compress "$T/m.safetensors" -o "$T/kept.lort" --lossless
    expect 0 "$LORT" compress "$T/m.safetensors" -o "$T/rows.lort" --min-dim 41 --include w --json "$T/rows.json" # 40 x 768 too
    expect 0 "$LORT" compress "$T/m.safetensors" -o "$T/low.lort" --rank 12
    for a in one kept rows low m.safetensors; do
        for b in one kept rows low m.safetensors; do
            [ -e "$T/$a" ] || a=$a.lort
            [ -e "$T/$b" ] || b=$b.lort
            expect 0 "$LORT" compare "$T/$a" "$T/$b" --json "$T/c.json"
            case $a$b in *low*) most=30 ;; *) most=0.08 ;; esac
            [ "$(value "$T/c.json" "d['worst_error'] <= $most")" = True ]
            [ "$a" != "$b" ] || [ "$(value "$T/c.json" 'd["worst_error"]')" = 0.0 ]
        done
    done
}

@test "importances of a convolution are those of its columns" {
    convolutions
    python3 - "$T/i.dat" <<'END'
import random, struct, sys
random.seed(5)
with open(sys.argv[1], "wb") as out:
    out.write(struct.pack("<i", 2))
    for name, count in (b"a.weight", 360), (b"b.weight", 96):
        out.write(struct.pack("<i", len(name)) + name + struct.pack("<ii", 1, count))
        out.write(struct.pack(f"<{count}f", *(2 ** random.gauss(0, 1.3) for _ in range(count))))
END
    expect 0 "$LORT" compress "$T/conv.safetensors" -o "$T/a.lort" --imatrix "$T/i.dat" --json "$T/a.json"
    [ "$(value "$T/a.json" 'd["imatrix"]["matrices"], [t["weighted_error"] is not None and t["weighted_error"] <= 0.05 for t in d["tensors"]]')" = "(2, [True, True, False, False])" ]
    restored "$T/a.lort" conv.safetensors
}

@test "small slices never cost more than the lossless form" {
    f32_model "$T/small.safetensors" <<'END'
tensors = {"a": [24, 16, 5, 20], "b": [300, 3, 3], "c": [400, 1, 40], "d": [64, 32, 32], "e": [200, 40, 1], "f": [3, 5, 7, 20]}
random.seed(4)
values = (random.gauss(0, 0.02) for shape in tensors.values() for _ in range(math.prod(shape)))
END
    expect 0 "$LORT" compress "$T/small.safetensors" -o "$T/lossless.lort" --lossless
    most=$(($(stat -c %s "$T/lossless.lort") + 600)) # names of options and reasons
    for options in '' '--min-dim 1' '--rank 40' '--rank 2' '--max-error 1e-7' '--residual ternary' '--residual ternary --max-error 0.1'; do
        # shellcheck disable=SC2086
        expect 0 "$LORT" compress "$T/small.safetensors" -o "$T/a.lort" --force --include '*' $options --json "$T/a.json"
        [ "$(stat -c %s "$T/a.lort")" -le "$most" ] || { echo "$options: $(stat -c %s "$T/a.lort") bytes, lossless $most"; return 1; }
        [ "$(value "$T/a.json" 'max(t["slices"] for t in d["tensors"] if t["name"] != "d")')" -eq 1 ]
        expect 0 "$LORT" verify "$T/a.lort"
        [ "$options" ] || restored "$T/a.lort" small.safetensors
    done
    expect 0 "$LORT" compress "$T/small.safetensors" -o "$T/a.lort" --force --json "$T/a.json" # without --include as ever
    [ "$(value "$T/a.json" '[t["name"] for t in d["tensors"] if t["reason"] == "a side under --min-dim"]')" = "['a', 'b', 'c', 'f']" ] # e is a convolution
}

@test "tensors of equal bytes are stored once, and come back equal" {
    tied
    input=$(stat -c %s "$T/tied.safetensors")
    expect 0 "$LORT" compress "$T/tied.safetensors" -o "$T/a.lort" --lossless --json "$T/a.json"
    [ "$(value "$T/a.json" '{t["name"]: t["same_as"] for t in d["tensors"] if t["same_as"]}')" = "{'lm_head.weight': 'model.embed_tokens.weight'}" ]
    [ "$(value "$T/a.json" 'next(t["bytes_out"] for t in d["tensors"] if t["same_as"])')" -le 200 ]
    [ "$(value "$T/a.json" 'd["output"]["bpw"] < 32 and abs(d["output"]["bpw"] - 8 * sum(t["bytes_out"] for t in d["tensors"]) / (3 * 32768 + 3 * 4096)) < 0.01')" = True ]
    expect 0 "$LORT" restore "$T/a.lort" -o "$T/r.safetensors"
    cmp "$T/tied.safetensors" "$T/r.safetensors"
    expect 0 "$LORT" inspect "$T/a.lort" --json "$T/i.json"
    [ "$(value "$T/i.json" '[(t["same_as"], t["reason"]) for t in d["tensors"]][2]')" = "('model.embed_tokens.weight', 'same as model.embed_tokens.weight')" ]
    for options in '' '--rank 8 --include *' '--energy 0.5' '--bpw 4' '--size 20%' '--residual ternary' '--mode stream'; do
        set -f
        # shellcheck disable=SC2086
        expect 0 "$LORT" compress "$T/tied.safetensors" -o "$T/b.lort" --force --json "$T/b.json" $options
        set +f
        [ "$(value "$T/b.json" 'sum(t["same_as"] is not None for t in d["tensors"])')" -eq 1 ]
        expect 0 "$LORT" verify "$T/b.lort"
        mkdir -p "$T/restored"
        expect 0 "$LORT" restore "$T/b.lort" -o "$T/restored/tied.safetensors" --force
        [ "$(bytes "$T/restored/tied.safetensors" lm_head.weight)" = "$(bytes "$T/restored/tied.safetensors" model.embed_tokens.weight)" ]
        expect 0 "$LORT" compare "$T/tied.safetensors" "$T/b.lort"
        expect 0 "$LORT" compare "$T/b.lort" "$T/a.lort"
    done
    decodes "$T/b.lort" "$T/restored/tied.safetensors"
    [ "$(value "$T/b.json" '[t["rel_error"] < 0.0251 for t in d["tensors"]][:3]')" = "[True, False, True]" ] # as strict as an embedding
    expect 0 "$LORT" restore "$T/b.lort" -o "$T/bf16.safetensors" --dtype BF16
    [ "$(bytes "$T/bf16.safetensors" lm_head.weight)" = "$(bytes "$T/bf16.safetensors" model.embed_tokens.weight)" ]
    expect 0 "$LORT" restore "$T/b.lort" --tensor lm_head.weight -o "$T/head.bin"
    [ "$(sha256sum <"$T/head.bin" | cut -d' ' -f1)" = "$(bytes "$T/restored/tied.safetensors" lm_head.weight)" ]
}

@test "what keeps one of equal tensors keeps all of them, once" {
    tied
    expect 0 "$LORT" compress "$T/tied.safetensors" -o "$T/a.lort" --exclude 'lm_head*' --json "$T/a.json"
    [ "$(value "$T/a.json" '[(t["action"], t["reason"]) for t in d["tensors"]][::2][:2]')" = "[('kept', 'excluded'), ('kept', 'same as model.embed_tokens.weight')]" ]
    restored "$T/a.lort" tied.safetensors
    [ "$(bytes "$T/restored/tied.safetensors" lm_head.weight)" = "$(bytes "$T/tied.safetensors" lm_head.weight)" ]
}

@test "a killed run with equal tensors is resumed to the same bytes" {
    tied
    for options in '' '--bpw 5'; do
        # shellcheck disable=SC2086
        expect 0 "$LORT" compress "$T/tied.safetensors" -o "$T/whole.lort" --force -q $options
        for count in 2 3 4; do
            rm -f "$T"/a.lort*
            # shellcheck disable=SC2086
            ROWS=$count expect 137 tests/cli/paused.py "kill -KILL \$PID" "$LORT" compress "$T/tied.safetensors" -o "$T/a.lort" $options -v -T 1
            # shellcheck disable=SC2086
            expect 0 "$LORT" compress "$T/tied.safetensors" -o "$T/a.lort" --resume $options --json "$T/r.json"
            cmp "$T/whole.lort" "$T/a.lort"
            [ "$(value "$T/r.json" 'sum(t["same_as"] is not None for t in d["tensors"])')" -eq 1 ]
        done
    done
}

@test "compare of a container ends at 100 %" {
    tied
    expect 0 "$LORT" compress "$T/tied.safetensors" -o "$T/a.lort"
    for pair in "$T/a.lort $T/tied.safetensors" "$T/tied.safetensors $T/a.lort" "$T/a.lort $T/a.lort"; do
        # shellcheck disable=SC2086
        expect 0 "$LORT" compare $pair
        [ "$(grep -oE '[0-9]+ %' "$T/err" | sort -n | tail -1)" = "100 %" ]
    done
}

@test "the cases of other tools come out as they should" {
    [ -e ../shared/cases/gen_tied_twice.py ] || skip "../shared/cases is not here"
    need_numpy
    for case in tied_twice diffusers moe_unstacked; do
        numpy "../shared/cases/gen_$case.py" "$T/$case" >"$T/out"
    done
    expect 0 "$LORT" compress "$T/tied_twice" -o "$T/t.lort" --lossless --json "$T/t.json"
    [ "$(value "$T/t.json" 'd["output"]["ratio"] <= 0.345')" = True ]
    unet=$T/diffusers/unet/diffusion_pytorch_model.safetensors
    expect 0 "$LORT" compress "$unet" -o "$T/u.lort" --include '*' --json "$T/u.json"
    [ "$(value "$T/u.json" '[t["action"] for t in d["tensors"]], d["output"]["ratio"] < 0.3')" = "(['coded', 'coded', 'coded'], True)" ]
    expect 0 "$LORT" compare "$unet" "$T/u.lort" --fail-above 0.05
    expect 0 "$LORT" compress "$T/moe_unstacked" -o "$T/m.lort" --json "$T/m.json"
    expect 0 "$LORT" restore "$T/m.lort" -o "$T/m"
    for name in gate up down; do
        name=model.layers.0.mlp.experts.3.${name}_proj.weight
        [ "$(bytes "$T/m/model.safetensors" $name)" = "$(bytes "$T/moe_unstacked/model.safetensors" $name)" ]
    done
}
