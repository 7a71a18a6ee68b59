#!/usr/bin/env bats
# verify is at least as strict as restore. Containers whose hashes are all right, but whose records, headers and index.json do not agree (tests/cli/strict.py).
load helper
export PYTHONDONTWRITEBYTECODE=1

setup_file() {
    "$LORT" --version >/dev/null
    python3 tests/cli/strict.py models "$BATS_FILE_TMPDIR/models"
}
strict() { python3 tests/cli/strict.py "$@"; }

# contain MODEL OPTIONS...: its container is $T/a.lort.
contain() {
    local model=$BATS_FILE_TMPDIR/models/$1
    shift
    expect 0 "$LORT" compress "$model" -o "$T/a.lort" -q --force "$@"
    expect 0 "$LORT" verify "$T/a.lort"
}

# refused FILE: verify and restore call it damaged, whatever the type, and restore writes nothing.
refused() {
    local options
    expect 8 "$LORT" verify "$1"
    for options in "" "--dtype F32" "--dtype F16" "--dtype BF16" "--tensor blk.1.experts.weight"; do
        # shellcheck disable=SC2086
        expect 8 "$LORT" restore "$1" -o "$T/r" $options
        [ "$(wc -l <"$T/err")" -ge 1 ]
        absent "$T/r"
        no_partial
    done
}

# lies KIND: every lie for such a container.
lies() {
    local name count=0
    while read -r name; do
        echo "$name"
        strict make "$name" "$T/a.lort" "$T/bad.lort"
        refused "$T/bad.lort"
        count=$((count + 1))
    done < <(strict names "$1")
    [ "$count" -ge "$2" ]
}

@test "lies in the container of a GGUF file" {
    contain m.gguf --rank 2
    lies gguf 14
}

@test "lies in the container of a safetensors file" {
    contain m.safetensors --lossless
    lies one 14
}

@test "lies in the container of shards with an index.json" {
    contain shards --residual int
    lies shards 19
}

@test "lies in the container of a split GGUF model" {
    contain split --residual ternary --rank 1
    lies split 16
}

@test "factors whose product no type holds are damage" {
    contain m.gguf --rank 2
    strict make "infinite products" "$T/a.lort" "$T/bad.lort"
    expect 8 "$LORT" verify "$T/bad.lort"
    said 'does not fit F32'
    for type in F32 F16 BF16; do
        expect 8 "$LORT" restore "$T/bad.lort" -o "$T/r" --dtype $type
        absent "$T/r"
    done
}

@test "mutants that verify accepts come back as models, in every type" {
    local list=() model
    for model in m.gguf m.safetensors shards split; do
        for options in --lossless "--rank 2" "--residual int"; do
            # shellcheck disable=SC2086
            contain $model $options
            mv "$T/a.lort" "$T/${#list[@]}.lort"
            list+=("$T/${#list[@]}.lort")
        done
    done
    mkdir "$T/w"
    expect 0 strict mutate "$LORT" "$T/w" 60 20 "${list[@]}"
    printed '^60 mutants, 0 wrong; .*verify 0'
    printed 'verify 8'
}

@test "an index.json under another name leads to its shards" {
    cp -r "$BATS_FILE_TMPDIR/models/shards" "$T/odd"
    mv "$T/odd/model.safetensors.index.json" "$T/odd/list.json"
    expect 0 "$LORT" inspect "$T/odd"
    expect 0 "$LORT" compress "$T/odd/list.json" -o "$T/a.lort" --lossless
    expect 0 "$LORT" verify "$T/a.lort"
    expect 0 "$LORT" restore "$T/a.lort" -o "$T/r"
    expect 0 "$LORT" inspect "$T/r"
    cp "$T/odd/list.json" "$T/odd/.list.json"
    expect 0 "$LORT" compress "$T/odd/.list.json" -o "$T/b.lort" # LoRT would not find it in the restored directory
    said "'.list.json' is stored under the name '_list.json'"
    expect 0 "$LORT" verify "$T/b.lort"
    cp "$T/odd/list.json" "$T/odd/again.json"
    expect 0 "$LORT" inspect "$T/odd" # which of them counts is unclear, and the numbers of the shards decide
}

@test "a header that cannot be decoded costs the model, not its tensors" {
    contain m.gguf --lossless
    expect 0 "$LORT" restore "$T/a.lort" -o "$T/good" --tensor blk.0.noise.weight
    python3 - "$T/a.lort" <<'END'
import sys
sys.path.insert(0, "tests/cli")
import strict
data = bytearray(open(sys.argv[1], "rb").read())
at = data.index(strict.parse(bytes(data))["files"][0]["parts"][0]["chunks"][0]["data"])
data[at + 20] ^= 1
open(sys.argv[1], "wb").write(data)
END
    expect 8 "$LORT" verify "$T/a.lort"
    expect 8 "$LORT" restore "$T/a.lort" -o "$T/r"
    absent "$T/r"
    expect 0 "$LORT" restore "$T/a.lort" -o "$T/one" --tensor blk.0.noise.weight
    said 'warning: .*part 0'
    cmp "$T/good" "$T/one"
}

@test "verify --quick checks records and says so" {
    contain m.gguf --lossless
    expect 0 "$LORT" verify "$T/a.lort" --json "$T/full.json"
    printed 'every hash and shape checked'
    [ "$(value "$T/full.json" 'd["verified"]')" = all ]
    expect 0 "$LORT" verify --quick "$T/a.lort" --json "$T/quick.json"
    printed 'records checked, weights not read'
    [ "$(value "$T/quick.json" 'd["verified"]')" = records ]
    python3 - "$T/a.lort" "$T" <<'END'
import sys
sys.path.insert(0, "tests/cli")
import strict
sound = open(sys.argv[1], "rb").read()
chunk = sound.index(strict.parse(sound)["files"][0]["parts"][1]["chunks"][0]["data"])
for name, at in (("weights", chunk + 20), ("record", len(sound) - 200)):
    bad = bytearray(sound)
    bad[at] ^= 1
    open(f"{sys.argv[2]}/{name}.lort", "wb").write(bad)
END
    expect 8 "$LORT" verify "$T/weights.lort"
    expect 0 "$LORT" verify --quick "$T/weights.lort"
    expect 8 "$LORT" verify --quick "$T/record.lort"
    expect 3 "$LORT" verify --quick "$BATS_FILE_TMPDIR/models/m.gguf"
    expect 0 "$LORT" inspect "$T/a.lort" --json "$T/i.json"
    [ "$(value "$T/i.json" 'd["verified"]')" = None ]
}
