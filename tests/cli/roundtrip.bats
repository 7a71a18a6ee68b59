#!/usr/bin/env bats
# compress, verify, restore and compare agree with one another on the bundled model.
load helper

# As after `compare A B --json`: the error of every tensor agrees with the report of the compression (1 %, or the rounding of the dtype).
agree() { # report comparison
    python3 - "$1" "$2" <<'END'
import json, sys
told = {t["name"]: t for t in json.load(open(sys.argv[1]))["tensors"]}
seen = {t["name"]: t for t in json.load(open(sys.argv[2]))["tensors"]}
assert set(told) == set(seen), set(told) ^ set(seen)
for name, t in told.items():
    a, b = t["rel_error"] or 0, seen[name]["rel_error"] or 0
    assert abs(a - b) <= max(0.01 * a, 0.002), (name, a, b)
    assert t["action"] != "kept" or b == 0, (name, b)
END
}

# One byte inverted at each place of $T/a.lort: verify and restore refuse it, and nothing is left of the output.
refuses_flips() { # offsets...
    local at
    for at in "$@"; do
        cp "$T/a.lort" "$T/bad.lort"
        flip "$T/bad.lort" "$at"
        expect 8 "$LORT" verify "$T/bad.lort"
        expect 8 "$LORT" restore "$T/bad.lort" -o "$T/x.gguf"
        absent "$T/x.gguf"
    done
}

# compress, verify, restore, compare MODEL with the options given; names of the files by the first argument.
round_trip() { # model restored options...
    local model=$1 restored=$2
    shift 2
    expect 0 "$LORT" compress "$model" -o "$T/a.lort" --json "$T/a.json" "$@"
    expect 0 "$LORT" verify "$T/a.lort"
    printed 'ok, [0-9]+ tensors'
    expect 0 "$LORT" restore "$T/a.lort" -o "$restored"
    expect 0 "$LORT" compare "$model" "$restored" --json "$T/c.json"
    agree "$T/a.json" "$T/c.json"
}

@test "lossless gives every byte of every file back" {
    round_trip "$GGUF" "$T/r.gguf" --lossless
    same "$GGUF" "$T/r.gguf"
    [ "$(count_action "$T/a.json" factored)" -eq 0 ]
    rm "$T/a.lort"
    round_trip "$HF" "$T/hf" --lossless
    same "$HF" "$T/hf"
}

@test "the default never ruins a model" {
    round_trip "$GGUF" "$T/r.gguf"
    [ "$(value "$T/a.json" 'all((t["rel_error"] or 0) <= 0.05 for t in d["tensors"])')" = True ]
    [ "$(count_action "$T/a.json" coded)" -ge 30 ]
    [ "$(value "$T/a.json" 'd["output"]["bpw"] < 4.5')" = True ]
}

@test "sizes are met and never exceeded" {
    for target in "--bpw 3" "--bpw 6.5" "--size 15%" "--size 600K"; do
        # shellcheck disable=SC2086
        round_trip "$ONE_GGUF" "$T/r.gguf" $target
        python3 - "$T/a.json" $target <<'END'
import json, sys
d = json.load(open(sys.argv[1]))
goal, have = sys.argv[3], d["output"]["bpw"]
if sys.argv[2] == "--size":
    have = d["output"]["bytes"]
    goal = 600 << 10 if goal == "600K" else float(goal[:-1]) / 100 * d["input"]["bytes"]
assert 0.995 * float(goal) <= have <= float(goal), (goal, have)
END
        rm "$T/a.lort" "$T/r.gguf"
    done
}

# Low rank and a little noise: components take much of a small share, or all of it.
@test "sizes are met where components would take the share" {
    f32_model "$T/m.safetensors" <<'END'
random.seed(3)
rows, cols, rank = 320, 256, 14
left = [[random.gauss(0, 1) for _ in range(rank)] for _ in range(rows)]
right = [[random.gauss(0, 0.8**i) for i in range(rank)] for _ in range(cols)]
tensors = {"w": [rows, cols]}
values = (sum(a * b for a, b in zip(u, v)) + random.gauss(0, 0.05) for u in left for v in right)
END
    for bits in 0.7 1 1.5 2 3 4; do
        expect 0 "$LORT" compress "$T/m.safetensors" -o "$T/a.lort" --force --bpw $bits --json "$T/a.json"
        [ "$(value "$T/a.json" "(0.97 if $bits > 1 else 0.8) * $bits <= d['output']['bpw'] <= $bits")" = True ] # a component more would be some hundred bytes
    done
}

@test "a size out of reach is refused before anything is written, with the smallest that is not" {
    expect 7 "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --size 100K
    said 'cannot be reached: the smallest size is [0-9]+'
    [ ! -e "$T/a.lort" ]
    expect 7 "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --bpw 0.1
    said 'cannot be reached: the smallest is [0-9.]+'
}

@test "rank 32 factors at least 28 matrices of either form" {
    round_trip "$GGUF" "$T/r.gguf" --rank 32
    [ "$(count_action "$T/a.json" factored)" -ge 28 ]
    [ "$(value "$T/a.json" 'max(t["rank"] for t in d["tensors"])')" -eq 32 ]
    rm "$T/a.lort"
    round_trip "$HF" "$T/hf" --rank 32
    [ "$(count_action "$T/a.json" factored)" -ge 28 ]
    same "$HF/config.json" "$T/hf/config.json"
    [ "$(cd "$HF" && ls)" = "$(cd "$T/hf" && ls)" ]
}

@test "integers keep every error below its bound, and are far smaller" {
    round_trip "$ONE_GGUF" "$T/r.gguf" --residual int
    [ "$(value "$T/a.json" 'max(t["rel_error"] for t in d["tensors"]) <= 0.05')" = True ]
    [ "$(count_action "$T/a.json" coded)" -ge 7 ]
    [ "$(stat -c %s "$T/a.lort")" -lt $(($(stat -c %s "$ONE_GGUF") * 30 / 100)) ]
    expect 0 "$LORT" compare "$ONE_GGUF" "$T/a.lort" --fail-above 0.05
    expect 7 "$LORT" compare "$ONE_GGUF" "$T/a.lort" --fail-above 0.04
    rm -r "$T/a.lort" "$T/r.gguf"
    for error in 0.3 0.01 0.001 0.0002; do
        round_trip "$ONE_HF" "$T/hf" --residual int --max-error $error
        [ "$(value "$T/a.json" "max(t['rel_error'] for t in d['tensors']) <= $error")" = True ]
        expect 0 "$LORT" compare "$ONE_HF" "$T/a.lort" --fail-above $error
        rm -r "$T/a.lort" "$T/hf"
    done
    round_trip "$ONE_GGUF" "$T/r.gguf" --residual int --max-error 0 # nothing but the weights themselves has none
    same "$ONE_GGUF" "$T/r.gguf"
}

@test "a flipped byte of integers is refused" {
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --residual int
    expect 0 "$LORT" inspect "$T/a.lort"
    printed 'blk\.0\.attn_q\.weight .* coded +0 +0\.0[0-9]+'
    size=$(stat -c %s "$T/a.lort")
    refuses_flips $((size / 5)) $((size / 3)) $((size / 2)) $((size * 4 / 5))
}

@test "trits keep what they can, and factors beside them keep more" {
    local before=1 worst
    for rank in 0 4 16; do
        round_trip "$ONE_GGUF" "$T/r.gguf" --residual ternary --rank $rank
        [ "$(count_action "$T/a.json" coded)" -eq 7 ]
        [ "$(value "$T/a.json" 'max(t["rank"] for t in d["tensors"])')" -eq $rank ]
        worst=$(value "$T/a.json" 'max(t["rel_error"] for t in d["tensors"])')
        [ "$(value "$T/a.json" "0.1 < $worst < $before")" = True ]
        expect 0 "$LORT" compare "$ONE_GGUF" "$T/a.lort" --fail-above "$(value "$T/a.json" "$worst + 1e-6")"
        before=$worst
        rm "$T/a.lort" "$T/r.gguf"
    done
    round_trip "$ONE_HF" "$T/hf" --residual ternary
    [ "$(count_action "$T/a.json" coded)" -eq 7 ]
    expect 0 "$LORT" inspect "$T/a.lort"
    printed 'model\.layers\.0\.self_attn\.q_proj\.weight .* coded +[0-9]+ +0\.4[0-9]+'
    rm -r "$T/a.lort" "$T/hf"
    round_trip "$ONE_GGUF" "$T/r.gguf" --residual ternary --max-error 0.35
    [ "$(value "$T/a.json" 'max(t["rel_error"] for t in d["tensors"]) <= 0.35')" = True ]
    rm "$T/a.lort" "$T/r.gguf"
    round_trip "$ONE_GGUF" "$T/r.gguf" --residual ternary --max-error 0.2 --max-rank 8
    [ "$(value "$T/a.json" '{t["reason"] for t in d["tensors"] if "attn_q" in t["name"]}')" = "{'target out of reach of trits and low rank'}" ]
}

@test "a flipped byte of trits is refused" {
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --residual ternary --rank 2
    size=$(stat -c %s "$T/a.lort")
    refuses_flips $((size / 2)) $((size * 2 / 3)) $((size * 4 / 5))
}

@test "energy, max-rank, include and exclude do what they say" {
    round_trip "$GGUF" "$T/r.gguf" --energy 0.5 --max-rank 512
    [ "$(value "$T/a.json" 'all(t["rel_error"] ** 2 <= 0.5 * 1.02 for t in d["tensors"] if t["action"] == "factored")')" = True ]
    expect 0 "$LORT" compress "$GGUF" -o "$T/b.lort" --rank 8 --include 'token_embd*' --exclude '*ffn*' --json "$T/b.json"
    [ "$(value "$T/b.json" '[t["action"] for t in d["tensors"] if t["name"] == "token_embd.weight"]')" = "['factored']" ]
    [ "$(value "$T/b.json" 'any(t["action"] == "factored" for t in d["tensors"] if "ffn" in t["name"])')" = False ]
}

@test "one tensor can be restored alone" {
    expect 0 "$LORT" inspect "$ONE_GGUF" --json "$T/i.json"
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --lossless
    for name in blk.0.attn_q.weight output_norm.weight; do
        expect 0 "$LORT" restore "$T/a.lort" -o "$T/$name" --tensor $name
        offset=$(value "$T/i.json" "[t['offset'] for t in d['tensors'] if t['name'] == '$name'][0]")
        bytes=$(value "$T/i.json" "[t['bytes_in'] for t in d['tensors'] if t['name'] == '$name'][0]")
        tail -c +$((offset + 1)) "$ONE_GGUF" | head -c "$bytes" | cmp - "$T/$name"
    done
    expect 2 "$LORT" restore "$T/a.lort" -o "$T/x" --tensor not.there || expect 3 "$LORT" restore "$T/a.lort" -o "$T/x" --tensor not.there
    said 'not\.there'
    absent "$T/x"
}

@test "--dtype changes the type of factored tensors only" {
    expect 0 "$LORT" compress "$ONE_HF" -o "$T/a.lort" --rank 32 --json "$T/a.json"
    for type in F32 F16 BF16; do
        expect 0 "$LORT" restore "$T/a.lort" -o "$T/$type" --dtype $type
        expect 0 "$LORT" inspect "$T/$type" --json "$T/i.json"
        python3 - "$T/a.json" "$T/i.json" $type <<'END'
import json, sys
action = {t["name"]: (t["action"], t["dtype"]) for t in json.load(open(sys.argv[1]))["tensors"]}
for t in json.load(open(sys.argv[2]))["tensors"]:
    kind, was = action[t["name"]]
    assert t["dtype"] == (sys.argv[3] if kind == "factored" else was), (t["name"], kind, t["dtype"])
END
        expect 0 "$LORT" compare "$T/a.lort" "$T/$type" --fail-above 0.005
    done
    [ "$(stat -c %s "$T/F32/model-00001-of-00002.safetensors")" -gt "$(stat -c %s "$T/BF16/model-00001-of-00002.safetensors")" ]
}

@test "inspect shows models and containers" {
    expect 0 "$LORT" inspect "$GGUF"
    printed 'general\.architecture .*llama'
    printed 'blk\.0\.attn_q\.weight +F16 +256x256 '
    expect 0 "$LORT" inspect "$HF"
    printed 'model-00002-of-00002\.safetensors'
    printed 'BF16'
    expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" --rank 16
    expect 0 "$LORT" inspect "$T/a.lort"
    printed 'blk\.0\.attn_q\.weight .* factored +16 +0\.[0-9]+'
    printed ' kept '
}

@test "plan writes nothing and its interval holds" {
    cp "$ONE_GGUF" "$T/m.gguf"
    for goal in '--rank 32' --lossless '' '--residual ternary' '--residual ternary --rank 8'; do
        # shellcheck disable=SC2086
        expect 0 "$LORT" plan "$T/m.gguf" $goal --json "$T/p.json"
        printed '^ +mode +(full|stream): '
        printed '^ +expected +'
        # shellcheck disable=SC2086
        expect 0 "$LORT" compress "$T/m.gguf" $goal -o "$T/a.lort" --force
        size=$(stat -c %s "$T/a.lort")
        [ "$(value "$T/p.json" "d['output']['estimate_low_bytes'] <= $size <= d['output']['estimate_high_bytes']")" = True ]
    done
    rm "$T/a.lort"
    expect 0 "$LORT" plan "$T/m.gguf" --rank 32 --sample 2
    [ -z "$(find "$T" -name "*lort*")" ]
}
