#!/usr/bin/env bats
# Every command of lort.exe once, what it says of memory, its exit codes, and that it is one file.
load ../cli/helper

@test "lort.exe is one file: alone in a folder it runs, and it names no library of its own" {
    exe=$(sed -n 's/^exec .* \(.*lort\.exe\) .*/\1/p' "$LORT")
    wine=$(sed -n 's/^exec \(.*\) .*lort\.exe .*/\1/p' "$LORT")
    mkdir "$T/alone"
    cp "$exe" "$T/alone/lort.exe"
    cp "$ONE_GGUF" "$T/m.gguf"
    (cd "$T/alone" && "$wine" ./lort.exe compress ../m.gguf -o ../a.lort --lossless -q </dev/null)
    expect 0 "$LORT" verify -q "$T/a.lort"
    [ "$(ls "$T/alone")" = lort.exe ]
    lacks "$exe" 'lib[a-z0-9_+-]+\.dll'
}

@test "version names the core as Linux does" {
    expect 0 "$LORT" --version
    printed 'core Haswell;'
}

@test "the JSON report says where memory figures come from" {
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --lossless --memory 900M --json "$T/r.json" -v
    said 'GlobalMemoryStatusEx'
    python3 - "$T/r.json" <<'END'
import json, sys
memory = json.load(open(sys.argv[1]))["memory"]
where = {s["name"]: s["where"] for s in memory["sources"]}
assert where["AvailPhys"] == "GlobalMemoryStatusEx ullAvailPhys", where
assert where["CommitLimit"] == "GlobalMemoryStatusEx ullAvailPageFile", where
assert "--memory" in where, where
least = min(memory["sources"], key=lambda s: s["bytes"])
assert memory["available_bytes"] == least["bytes"] and memory["binding_source"] == least["name"] == "--memory", memory
END
    expect 0 "$LORT" inspect "$ONE_GGUF" --json "$T/r.json"
    [ "$(value "$T/r.json" 'sum("GlobalMemoryStatusEx" in s["where"] for s in d["memory"]["sources"])')" -eq 2 ]
}

@test "plan, inspect, compare, verify, restore of a tensor and of a file, to a pipe too" {
    expect 0 "$LORT" plan "$ONE_HF" --sample 2
    said 'layer 0 '
    printed 'to code'
    expect 0 "$LORT" compress "$ONE_HF" -o "$T/a.lort" --lossless -q
    expect 0 "$LORT" inspect "$T/a.lort"
    printed 'safetensors'
    expect 0 "$LORT" compare "$ONE_HF" "$T/a.lort" --fail-above 0
    expect 0 "$LORT" restore "$T/a.lort" --file config.json -o - -q
    cmp "$T/out" "$ONE_HF/config.json"
    "$LORT" restore "$T/a.lort" --file model-00001-of-00002.safetensors -o - -q 2>"$T/err" </dev/null | cat >"$T/shard"
    cmp "$T/shard" "$ONE_HF/model-00001-of-00002.safetensors"
    name=$(value <("$LORT" inspect "$ONE_HF" --json - 2>/dev/null) 'd["tensors"][0]["name"]')
    "$LORT" restore "$T/a.lort" --tensor "$name" -o - -q 2>"$T/err" </dev/null | cat >"$T/one"
    expect 0 "$LORT" restore "$T/a.lort" --tensor "$name" -o "$T/two" -q
    cmp "$T/one" "$T/two"
}

@test "a shard of a set stands for the set" {
    expect 0 "$LORT" inspect "$ONE_HF/model.safetensors.index.json" --json "$T/a.json"
    expect 0 "$LORT" inspect "$ONE_HF" --json "$T/b.json"
    [ "$(value "$T/a.json" 'len(d["tensors"])')" -eq "$(value "$T/b.json" 'len(d["tensors"])')" ]
    expect 0 "$LORT" compress "$ONE_HF" -o "$T/a.lort" --lossless -q
    expect 0 "$LORT" restore "$T/a.lort" -o "$T/r" -q
    same "$ONE_HF" "$T/r"
}

@test "progress as JSON: one object a line, without carriage returns" {
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --lossless --progress json
    python3 - "$T/err" <<'END'
import json, sys
lines = open(sys.argv[1], "rb").read()
assert b"\r" not in lines
assert len([json.loads(line) for line in lines.splitlines()]) > 3
END
}

@test "a line reaches a pipe when it is printed, not at the end" {
    # the first piece that a reader gets is no more than what is known before the work
    "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --lossless -v 2>&1 </dev/null >/dev/null | python3 -c '
import os
first = os.read(0, 1 << 16)
rest = b"".join(iter(lambda: os.read(0, 1 << 16), b""))
assert b"token_embd" not in first and b"token_embd" in rest, first'
}

@test "quantize and extract-lora" {
    expect 0 "$LORT" quantize "$ONE_GGUF" -o "$T/q.gguf" --type Q4_K_M --recipe "$T/recipe"
    grep -q '=Q4_K$' "$T/recipe"
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/t.lort" --max-error 0.2 -q
    expect 0 "$LORT" restore "$T/t.lort" -o "$T/tuned.gguf" -q
    expect 0 "$LORT" extract-lora "$T/tuned.gguf" --base "$ONE_GGUF" -o "$T/lora.gguf" --rank 4 --drop-unsupported
    expect 0 "$LORT" inspect "$T/lora.gguf"
}

@test "run says that Windows cannot do it, and what can" {
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --lossless -q
    expect 2 "$LORT" run "$T/a.lort" -- cmd /c exit
    said 'Windows cannot hold a model as a file in memory; use .lort restore'
}

@test "exit codes 0 2 3 5 6 7 8 9 75 as on Linux, and no message holds (null)" {
    cp "$ONE_GGUF" "$T/m.gguf"
    expect 0 "$LORT" compress "$T/m.gguf" -o "$T/a.lort" --rank 4 -q
    cp "$T/a.lort" "$T/bad.lort"
    flip "$T/bad.lort" $(($(stat -c %s "$T/bad.lort") / 2))
    while IFS='|' read -r code arguments; do
        # shellcheck disable=SC2086
        expect "$code" "$LORT" $arguments
        [ -s "$T/err" ]
        lacks "$T/err" '\(null\)|\(nil\)'
    done <<END
2|
2|frob
2|compress
2|compress $T/m.gguf
2|compress $T/m.gguf -o
2|compress $T/m.gguf -o $T/b.lort --force=1
2|compress $T/m.gguf -o $T/b.lort --quiet=yes
2|compress $T/m.gguf -o $T/b.lort --lossless=1
2|compress $T/m.gguf -o $T/b.lort --rank
2|compress $T/m.gguf -o $T/b.lort --ran 3 --what
2|compress $T/m.gguf -o $T/b.lort -Z
2|compress $T/m.gguf -o $T/b.lort --rank x
2|compress $T/m.gguf -o $T/b.lort --mode what
2|compress $T/m.gguf -o $T/b.lort --time-limit
2|verify --quick=1 $T/a.lort
2|help nothing
3|inspect $T/none.gguf
3|verify $T/m.gguf
5|compress $T/m.gguf -o $T/none/b.lort
6|compress $T/m.gguf -o $T/b.lort --memory 1M
7|compress $T/m.gguf -o $T/b.lort --rank 2 --fail-above 0.001
8|verify $T/bad.lort
8|restore $T/bad.lort -o $T/b.gguf
9|compress $T/m.gguf -o $T/a.lort
75|compress $T/m.gguf -o $T/b.lort --time-limit 0.001s
END
    absent "$T/b.lort"
    absent "$T/b.gguf"
}

@test "a model in a cache, by its name: files in place of links, as on Windows" {
    commit=0123456789abcdef0123456789abcdef01234567
    snapshot=$T/hf/hub/models--acme--tiny/snapshots/$commit
    mkdir -p "$snapshot" "$T/hf/hub/models--acme--tiny/refs"
    cp "$ONE_HF"/* "$snapshot"
    printf %s "$commit" >"$T/hf/hub/models--acme--tiny/refs/main"
    expect 0 "$LORT" compress "$snapshot" -o "$T/path.lort" --rank 8 -q
    expect 0 env HF_HOME="$T/hf" "$LORT" compress acme/tiny -o "$T/name.lort" --rank 8
    said 'found in Hugging Face cache, main'
    cmp "$T/path.lort" "$T/name.lort"
    expect 3 env HF_HOME="$T/none" "$LORT" compress acme/tiny -o "$T/x.lort" --offline
    said "not in Hugging Face cache $T/none/hub, .*/\.lmstudio/models"
    lacks "$T/err" 'x5C'
}
