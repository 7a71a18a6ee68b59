#!/usr/bin/env bats
# Files and command lines that mean harm, or that chance made, against the real command. The numbers are those of docs/TESTING.md, "The ninety faults".
load helper
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=tests/cli

hostile() { python3 tests/cli/hostile.py make "$@"; }

# refuses GROUP: every file of it is refused in one line, at once and in little memory, and nothing is left.
refuses() {
    mkdir "$T/w"
    expect 0 env MODE="$MODE" python3 tests/cli/hostile.py refuse "$1" "$LORT" "$T/w"
    printed '^[0-9]+ files refused$'
}

# bounded SECONDS MIB CODE COMMAND...: as expect, and no more processor time and memory than that beyond an ordinary inspect.
bounded() {
    local seconds=$1 mib=$2 code=$3
    shift 3
    expect "$code" env MODE="$MODE" python3 tests/cli/hostile.py bounded "$seconds" "$mib" "$LORT" "$@"
}

one_line() { [ "$(wc -l <"$T/err")" -eq 1 ] || { echo "not one line:"; cat "$T/err"; return 1; }; }

# every_way MODEL: whatever the target, the container verifies, and what is restored compares with the model.
every_way() {
    local options
    for options in "" "--lossless" "--rank 2" "--energy 0.5" "--residual int" "--residual ternary --rank 0" "--max-error 0.2"; do
        # shellcheck disable=SC2086
        expect 0 "$LORT" compress "$1" -o "$T/a.lort" --force $options
        expect 0 "$LORT" verify "$T/a.lort"
        expect 0 "$LORT" inspect "$T/a.lort"
        rm -rf "$T/restored"
        expect 0 "$LORT" restore "$T/a.lort" -o "$T/restored"
        expect 0 "$LORT" compare "$1" "$T/restored" --json "$T/c.json"
        expect 0 "$LORT" compare "$T/a.lort" "$T/restored"
    done
}

# ---- headers ----

@test "GGUF headers that lie (1 to 18)" { refuses gguf; }
@test "safetensors headers that lie (22 to 29, 36)" { refuses safetensors; }
@test "indexes that lie (24, 31, 32)" { refuses index; }
@test "headers that are large (8, 27, 33)" { refuses large; }

@test "99 MB of metadata are read in bounded memory (29)" {
    hostile "large metadata" "$T/m.safetensors"
    bounded 10 400 0 inspect "$T/m.safetensors"
    bounded 10 400 0 plan "$T/m.safetensors"
    bounded 20 400 0 compress "$T/m.safetensors" -o "$T/a.lort" --lossless
    bounded 10 400 0 restore "$T/a.lort" -o "$T/r.safetensors"
    cmp "$T/m.safetensors" "$T/r.safetensors"
}

@test "empty tensors are tensors (12)" {
    hostile "empty tensors" "$T/m.gguf"
    expect 0 "$LORT" inspect "$T/m.gguf" --json "$T/i.json"
    [ "$(value "$T/i.json" 'sorted(t["bytes_in"] for t in d["tensors"])')" = "[0, 0, 0, 8192]" ]
    every_way "$T/m.gguf"
    expect 0 "$LORT" compress "$T/m.gguf" -o "$T/b.lort" --json "$T/b.json"
    [ "$(value "$T/b.json" '[t["reason"] for t in d["tensors"] if t["bytes_in"] == 0]')" = "['empty', 'empty', 'empty']" ]
    expect 0 "$LORT" restore "$T/b.lort" -o "$T/one" --tensor blk.0.none
    [ ! -s "$T/one" ]
}

@test "types without a decoder come back bit for bit (14)" {
    hostile "odd types" "$T/m.gguf"
    for options in "" "--rank 4" "--include=a"; do
        # shellcheck disable=SC2086
        expect 0 "$LORT" compress "$T/m.gguf" -o "$T/a.lort" --force $options
        expect 0 "$LORT" restore "$T/a.lort" -o "$T/r.gguf" --force
        cmp "$T/m.gguf" "$T/r.gguf"
    done
}

@test "names of tensors are shown escaped and are no paths (17)" {
    hostile "odd names" "$T/m.gguf"
    expect 0 "$LORT" inspect "$T/m.gguf"
    printed '^\.\./\.\./x '
    printed '^nul\\x00inside '
    printed '^line\\x0Abreak '
    printed '^\\x1B\[31mred '
    printed '^\\xFF\\xFE '
    lacks "$T/out" $'\e'
    expect 0 "$LORT" compress "$T/m.gguf" -o "$T/a.lort" -v
    lacks "$T/err" $'\e'
    mkdir "$T/in"
    expect 0 "$LORT" restore "$T/a.lort" -o "$T/in/r.gguf"
    cmp "$T/m.gguf" "$T/in/r.gguf"
    expect 0 "$LORT" restore "$T/a.lort" -o "$T/in/one" --tensor ../../x
    [ "$(stat -c %s "$T/in/one")" -eq 32 ]
    [ "$(ls "$T/in")" = $'one\nr.gguf' ]
}

@test "shards that are no model together (19)" {
    python3 - "$T" <<'END'
import sys
from hostile import *
def shard(no, count, total, names, arch="a"):
    keys = [pair("general.architecture", STRING, text(arch)), pair("split.no", 2, struct.pack("<H", no)), pair("split.count", 2, struct.pack("<H", count)),
            pair("split.tensors.count", 5, struct.pack("<i", total))]
    return gguf(keys, [info(n, [8], F32, 32 * i) for i, n in enumerate(names)], bytes(32 * len(names)))
sets = {"good": [shard(0, 2, 1, []), shard(1, 2, 1, ["x"])], "gone": [shard(0, 2, 2, ["x"])], "count": [shard(0, 3, 2, ["x"]), shard(1, 3, 2, ["y"])],
        "again": [shard(0, 2, 2, ["x"]), shard(0, 2, 2, ["y"])], "total": [shard(0, 2, 5, ["x"]), shard(1, 2, 5, ["y"])],
        "twice": [shard(0, 2, 2, ["x"]), shard(1, 2, 2, ["x"])], "other": [shard(0, 2, 2, ["x"]), shard(1, 2, 2, ["y"], "b")]}
for name, shards in sets.items():
    os.mkdir(f"{sys.argv[1]}/{name}")
    for i, content in enumerate(shards):
        write(content, f"{sys.argv[1]}/{name}/m-{i + 1:05}-of-00002.gguf")
END
    while IFS=: read -r name words; do
        for path in "$T/$name" "$T/$name/m-00001-of-00002.gguf"; do
            expect 3 "$LORT" compress "$path" -o "$T/a.lort"
            said "$words"
            one_line
        done
    done <<'END'
gone:1 of 2 shards are missing: m-00002-of-00002.gguf; is the download complete
count:its name says shard 1 of 2, its split.* keys say 1 of 3
again:its name says shard 2 of 2, its split.* keys say 1 of 2
total:m-00001-of-00002.gguf: split.tensors.count is 5, the shards hold 2 tensors
twice:tensor 'x' stands in two shards
other:architecture 'b' differs from the first shard's 'a'
END
    absent "$T/a.lort"
    expect 0 "$LORT" inspect "$T/good/m-00002-of-00002.gguf" --json "$T/i.json" # any shard leads to all of them, and the first may have no tensor
    [ "$(value "$T/i.json" '(len(d["tensors"]), d["input"]["files"])')" = "(1, 2)" ]
}

@test "block_count counts for nothing (20)" {
    for count in 0 -1; do
        hostile "block_count $count" "$T/m.gguf"
        bounded 5 256 0 inspect "$T/m.gguf"
        bounded 5 256 0 compress "$T/m.gguf" -o "$T/a.lort" --force
        expect 0 "$LORT" compare "$T/m.gguf" "$T/a.lort" --fail-above 0.06
    done
}

@test "a block whose scale is no number is kept, named, and comes back (21)" {
    hostile "spoiled blocks" "$T/m.gguf"
    for options in "--residual int" "--rank 4" "--residual ternary --rank 0" "--max-error 0.1"; do
        # shellcheck disable=SC2086
        expect 0 "$LORT" compress "$T/m.gguf" -o "$T/a.lort" --force --include '*' $options --json "$T/a.json"
        said 'warning: .*blk\.0\.ffn_up\.weight.*NaN or Inf.*first at row 5, column 32'
        [ "$(value "$T/a.json" '[(t["action"], t["reason"], t["detail"]) for t in d["tensors"]]')" = "[('kept', 'holds NaN or Inf', 'first at row 5, column 32')]" ]
        expect 0 "$LORT" restore "$T/a.lort" -o "$T/r.gguf" --force
        cmp "$T/m.gguf" "$T/r.gguf"
    done
}

@test "numbers at any offset are the same numbers (30)" {
    hostile aligned "$T/a.safetensors"
    hostile unaligned "$T/u.safetensors"
    for model in a u; do
        for way in int "ternary --rank 0" "none --rank 2"; do
            # shellcheck disable=SC2086
            expect 0 "$LORT" compress "$T/$model.safetensors" -o "$T/$model.lort" --force --residual $way --json "$T/$model.json"
            value "$T/$model.json" '[t["rel_error"] for t in d["tensors"] if t["name"] == "b"]' >>"$T/$model"
        done
        expect 0 "$LORT" restore "$T/$model.lort" -o "$T/$model.bin" --tensor b --dtype F32
    done
    cmp "$T/a" "$T/u"
    cmp "$T/a.bin" "$T/u.bin"
}

# ---- kinds of files, rights, names of one file ----

# A model of one shard at $T/hf and its index, whose shard is $1: a path to link to.
index_of() {
    mkdir -p "$T/hf"
    rm -f "$T/hf"/*
    echo '{"weight_map":{"a":"m.safetensors"}}' >"$T/hf/model.safetensors.index.json"
    ln -s "$1" "$T/hf/m.safetensors"
}

@test "what is no regular file is refused without hanging, wherever a file is wanted (37)" {
    mkfifo "$T/pipe"
    mkdir "$T/directory"
    python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$T/socket"
    for what in "$T/pipe" "$T/directory" "$T/socket" /dev/zero /dev/random /dev/null /proc/self/mem; do
        [ -e "$what" ] || continue
        expect 3 timeout 20 "$LORT" inspect "$what"
        one_line
        expect 3 timeout 20 "$LORT" compress "$what" -o "$T/a.lort"
        expect 3 timeout 20 "$LORT" compare "$HF" "$what"
        one_line
        expect 3 timeout 20 "$LORT" compress "$GGUF" -o "$T/a.lort" --imatrix "$what" -q
        one_line
        index_of "$what"
        for path in "$T/hf" "$T/hf/model.safetensors.index.json"; do
            expect 3 timeout 20 "$LORT" compress "$path" -o "$T/a.lort"
            said 'm\.safetensors'
        done
        for command in verify "restore -o $T/r"; do
            # shellcheck disable=SC2086
            expect 3 timeout 20 "$LORT" $command "$what" || expect 8 timeout 20 "$LORT" $command "$what" # 8: what has no byte may be a container cut short
            one_line
        done
    done
    absent "$T/a.lort"
    absent "$T/r"
}

@test "links that lead in circles or to a cache, and sparse files (34, 42)" {
    ln -s loop "$T/loop"
    expect 3 "$LORT" inspect "$T/loop"
    said 'symbolic links'
    one_line
    index_of loop
    ln -s m.safetensors "$T/hf/loop"
    expect 3 "$LORT" inspect "$T/hf"
    said 'loop.*symbolic links'
    mkdir "$T/blobs"
    hostile tiny "$T/blobs/0a1b"
    index_of ../blobs/0a1b
    expect 0 "$LORT" compress "$T/hf" -o "$T/hf.lort" --lossless
    expect 0 "$LORT" restore "$T/hf.lort" -o "$T/back"
    cmp "$T/blobs/0a1b" "$T/back/m.safetensors"
    f32_model "$T/sparse.safetensors" <<'END'
tensors = {"w": [64, 64], "zeros": [1024, 4096]}
values = [random.gauss(0, 1) for _ in range(4096)]
END
    truncate -s +16M "$T/sparse.safetensors"
    expect 0 "$LORT" compress "$T/sparse.safetensors" -o "$T/a.lort" --lossless
    [ "$(stat -c %s "$T/a.lort")" -lt 100000 ]
    expect 0 "$LORT" restore "$T/a.lort" -o "$T/r.safetensors"
    cmp "$T/sparse.safetensors" "$T/r.safetensors"
}

@test "what may not be read or written (42)" {
    as=()
    [ "$(id -u)" -ne 0 ] || as=(setpriv --reuid 65534 --regid 65534 --clear-groups)
    cp "$LORT" "$T/lort"
    chmod 755 "$T"
    "${as[@]}" "$T/lort" --version >/dev/null 2>&1 || skip "root's rights cannot be given up here (setpriv)"
    cp "$GGUF" "$T/m.gguf"
    cp "$GGUF" "$T/closed.gguf"
    mkdir "$T/closed" "$T/open"
    chmod 000 "$T/closed.gguf" "$T/closed"
    chmod 777 "$T/open"
    for command in inspect verify plan "compress -o $T/open/a.lort" "compare $T/m.gguf"; do
        # shellcheck disable=SC2086
        expect 3 "${as[@]}" "$T/lort" $command "$T/closed.gguf"
        said 'closed\.gguf.*Permission denied'
        one_line
        # shellcheck disable=SC2086
        expect 3 "${as[@]}" "$T/lort" $command "$T/closed/m.gguf"
        said 'Permission denied'
        one_line
    done
    chmod 555 "$T/closed" # for those without root's rights
    expect 5 "${as[@]}" "$T/lort" compress "$T/m.gguf" -o "$T/closed/a.lort" --lossless
    said 'closed.*Permission denied'
    expect 0 "${as[@]}" "$T/lort" compress "$T/m.gguf" -o "$T/open/a.lort" --lossless
    chmod 755 "$T/closed"
    chmod 644 "$T/closed.gguf"
}

@test "the output is no input, by any name, and the same input twice is one (43)" {
    mkdir "$T/in"
    f32_model "$T/in/m.safetensors" <<'END'
tensors = {"w": [64, 64]}
values = [random.gauss(0, 1) for _ in range(4096)]
END
    echo '{}' >"$T/in/config.json"
    before=$(hashes "$T/in")
    ln "$T/in/m.safetensors" "$T/hard"
    ln -s in/m.safetensors "$T/soft"
    ln -s in "$T/place"
    for output in hard soft in/m.safetensors place/m.safetensors in/config.json in/../in/./m.safetensors; do
        for input in in in/m.safetensors place; do
            [ "$output:$input" != in/config.json:in/m.safetensors ] || continue # then it is not read
            expect 2 "$LORT" compress "$T/$input" -o "$T/$output" --lossless --force -q
            said 'the output is one of the input files'
            one_line
        done
    done
    [ "$(hashes "$T/in")" = "$before" ]
    expect 0 "$LORT" compress "$T/in/m.safetensors" -o "$T/a.lort" --lossless
    ln "$T/a.lort" "$T/b.lort"
    ln -s a.lort "$T/c.lort"
    for output in a b c; do
        expect 2 "$LORT" restore "$T/a.lort" -o "$T/$output.lort" --force
        said 'the output is the container itself'
    done
    expect 0 "$LORT" verify "$T/a.lort"
    expect 0 "$LORT" compare "$T/in" "$T/in/m.safetensors"
    expect 0 "$LORT" compare "$T/a.lort" "$T/b.lort"
    mkdir "$T/two"
    cp "$T/in/m.safetensors" "$T/two/1.safetensors"
    ln "$T/two/1.safetensors" "$T/two/2.safetensors"
    echo '{"weight_map":{"w":"1.safetensors","v":"2.safetensors"}}' >"$T/two/model.safetensors.index.json"
    expect 3 "$LORT" inspect "$T/two"
    said "tensor 'w' stands in two shards"
}

@test "a report replaces neither what is read nor what is written (43)" {
    cp "$GGUF" "$T/m.gguf"
    ln -s m.gguf "$T/soft"
    expect 0 "$LORT" compress "$T/m.gguf" -o "$T/a.lort" --lossless
    for json in m.gguf soft; do
        expect 2 "$LORT" inspect "$T/m.gguf" --json "$T/$json"
        said "--json '.*': .*the command reads or writes"
        expect 2 "$LORT" compare "$T/a.lort" "$T/m.gguf" --json "$T/$json"
        expect 2 "$LORT" compress "$T/m.gguf" -o "$T/b.lort" --json "$T/$json"
    done
    expect 2 "$LORT" verify "$T/a.lort" --json "$T/a.lort"
    expect 2 "$LORT" compress "$T/m.gguf" -o "$T/b.lort" --json "$T/b.lort"
    expect 2 "$LORT" compress "$T/m.gguf" -o "$T/a.lort" --force --json "$T/a.lort"
    expect 2 "$LORT" restore "$T/a.lort" -o "$T/r.gguf" --json "$T/r.gguf"
    cmp "$GGUF" "$T/m.gguf"
    expect 0 "$LORT" verify "$T/a.lort"
    absent "$T/b.lort"
    absent "$T/r.gguf"
}

# ---- containers ----

# A small model with kept, factored and coded tensors, and its container $T/a.lort.
small_container() {
    f32_model "$T/m.safetensors" <<'END'
random.seed(11)
left, right = [[random.gauss(0, 1) for _ in range(96)] for _ in range(2)]
tensors = {"low": [96, 96], "noise": [64, 80], "bias": [33]}
values = [a * b for a in left for b in right] + [random.gauss(0, 1) for _ in range(64 * 80 + 33)]
END
    expect 0 "$LORT" compress "$T/m.safetensors" -o "$T/a.lort" "$@"
}

@test "damage in a container is found by every command that reads it (44 to 49)" {
    local figures='[(t["name"], t["rel_error"], t["cosine"], t["max_abs"]) for t in d["tensors"]]'
    for options in "--residual int" "--rank 1" "--residual ternary --rank 1" "--lossless"; do
        # shellcheck disable=SC2086
        small_container --force $options
        expect 0 "$LORT" compare "$T/m.safetensors" "$T/a.lort" --json "$T/good.json"
        size=$(stat -c %s "$T/a.lort")
        for at in $(seq 9 $((size / 14)) $((size - 1))); do
            cp "$T/a.lort" "$T/bad.lort"
            flip "$T/bad.lort" "$at"
            for command in verify "restore -o $T/r" "compare $T/m.safetensors --json $T/bad.json"; do
                code=0
                # shellcheck disable=SC2086
                "$LORT" $command "$T/bad.lort" >"$T/out" 2>"$T/err" </dev/null || code=$?
                # compare does not read what is between tensors: then it finds what it found
                [ "$code" -eq 0 ] && [ "${command%% *}" = compare ] && [ "$(value "$T/bad.json" "$figures")" = "$(value "$T/good.json" "$figures")" ] && continue
                [ "$code" -eq 8 ] || { [ "$code" -eq 3 ] && [ "$at" -lt 72 ]; } || { echo "$command: exit $code after a flip at $at of $size ($options)"; cat "$T/err"; return 1; }
                absent "$T/r"
            done
        done
    done
}

@test "a container cut short, doubled, or with something behind it is damaged (49, 52)" {
    small_container
    size=$(stat -c %s "$T/a.lort")
    for bytes in 0 1 31 32 71 72 73 100 $((size / 3)) $((size - 80)) $((size - 1)); do
        head -c "$bytes" "$T/a.lort" >"$T/bad.lort"
        for command in verify "restore -o $T/r"; do
            # shellcheck disable=SC2086
            expect 8 "$LORT" $command "$T/bad.lort"
            said incomplete
            one_line
        done
        [ "$bytes" -gt 0 ] || continue # what has no byte is told as a model without one
        expect 8 "$LORT" inspect "$T/bad.lort"
        expect 8 "$LORT" compare "$T/m.safetensors" "$T/bad.lort"
    done
    cat "$T/a.lort" "$T/a.lort" >"$T/bad.lort"
    expect 8 "$LORT" compare "$T/m.safetensors" "$T/bad.lort"
    (cat "$T/a.lort" && printf 'PK\5\6' && head -c 18 /dev/zero) >"$T/bad.lort"
    for command in inspect verify "compare $T/m.safetensors" "restore -o $T/r"; do
        # shellcheck disable=SC2086
        expect 8 "$LORT" $command "$T/bad.lort"
    done
    absent "$T/r"
}

# ---- streams, locale, command line ----

@test "closed and full streams lose nothing in silence (62)" {
    local lort=$LORT
    cp "$GGUF" "$T/m.gguf"
    expect 5 bash -c "'$lort' inspect '$T/m.gguf' >&-"
    said 'standard output'
    expect 5 bash -c "'$lort' inspect '$T/m.gguf' --json - >&-"
    expect 5 bash -c "'$lort' compress '$T/m.gguf' -o '$T/a.lort' --lossless --json - >&-"
    expect 0 "$LORT" verify -q "$T/a.lort" # the container was whole before the report was lost
    expect 0 bash -c "'$lort' compress '$T/m.gguf' -o '$T/b.lort' --lossless >&- 2>&- <&-" # nothing is printed there, and no message goes into the output
    cmp "$T/a.lort" "$T/b.lort"
    expect 0 bash -c "'$lort' compress '$T/m.gguf' -o '$T/c.lort' --lossless -v 2>&-"
    cmp "$T/a.lort" "$T/c.lort"
    expect 0 bash -c "'$lort' restore '$T/a.lort' -o '$T/r.gguf' 2>&- <&-"
    cmp "$T/m.gguf" "$T/r.gguf"
    expect 0 bash -c "set -o pipefail; '$lort' compare '$T/m.gguf' '$T/a.lort' --json - | cat >/dev/null"
    [ -c /dev/full ] || skip "no /dev/full"
    expect 5 bash -c "'$lort' compress '$T/m.gguf' -o '$T/d.lort' --lossless --json - >/dev/full"
    cmp "$T/a.lort" "$T/d.lort"
    expect 0 bash -c "'$lort' compress '$T/m.gguf' -o '$T/e.lort' --lossless -v 2>/dev/full"
    cmp "$T/a.lort" "$T/e.lort"
}

@test "locales change neither output nor options (77)" {
    small_container --max-error 0.1 --json "$T/c.json"
    cp "$T/a.lort" "$T/c.lort"
    for locale in de_DE.UTF-8 tr_TR.UTF-8; do # where they are not installed, they are not asked for either
        LC_ALL=$locale LANG=$locale LANGUAGE=${locale%.*} expect 0 "$LORT" compress "$T/m.safetensors" -o "$T/a.lort" --force --max-error 0.1 --residual AUTO --mode STREAM --json "$T/l.json"
        cmp "$T/a.lort" "$T/c.lort"
        [ "$(value "$T/l.json" '[t["rel_error"] for t in d["tensors"]]')" = "$(value "$T/c.json" '[t["rel_error"] for t in d["tensors"]]')" ]
        LC_ALL=$locale expect 2 "$LORT" compress "$T/m.safetensors" -o "$T/x" --max-error 0,1
        LC_ALL=$locale expect 0 "$LORT" inspect "$T/a.lort"
        cp "$T/out" "$T/$locale"
        lacks "$T/out" '[0-9],[0-9]'
    done
    cmp "$T/de_DE.UTF-8" "$T/tr_TR.UTF-8"
}

@test "arguments of every shape (79)" {
    local long newline=$T/$'new\nline'
    expect 2 "$LORT" inspect ''
    said 'empty'
    expect 2 "$LORT" compress '' -o "$T/a.lort"
    expect 2 "$LORT" compress "$GGUF" -o ''
    expect 2 "$LORT" compress "$GGUF" -o "$T/a.lort" --json ''
    expect 2 "$LORT" --
    expect 2 "$LORT" compress --
    expect 2 "$LORT" compare "$GGUF" --
    expect 3 "$LORT" inspect -- -o
    said "'?-o'?: "
    cp "$GGUF" "$T/--json"
    (cd "$T" && expect 0 "$LORT" compress -o -out.lort --lossless -- --json && expect 0 "$LORT" verify -- -out.lort && expect 0 "$LORT" restore -o --back -- -out.lort)
    cmp "$GGUF" "$T/--back"
    for n in 300 4095 4096 70000; do
        long=$T/$(head -c "$n" /dev/zero | tr '\0' p)
        expect 3 "$LORT" inspect "$long"
        one_line
        expect 3 "$LORT" verify "$long"
        expect 5 "$LORT" compress "$GGUF" -o "$long" --lossless -q
        one_line
        expect 5 "$LORT" inspect "$GGUF" --json "$long"
    done
    mkdir "$newline"
    cp "$GGUF" "$newline/m.gguf"
    expect 0 "$LORT" compress "$newline/m.gguf" -o "$newline/a.lort" --lossless -q
    expect 0 "$LORT" verify "$newline/a.lort"
    [ "$(wc -l <"$T/out")" -eq 1 ]
    flip "$newline/a.lort" 30000
    for command in verify "compare $GGUF" "restore -o $T/r"; do
        # shellcheck disable=SC2086
        expect 8 "$LORT" $command "$newline/a.lort"
        said '^lort: .*new\\x0Aline/a\.lort'
        lacks "$T/err" '^line' # but for what is said at the start, one line
    done
    expect 3 "$LORT" compress "$newline/gone" -o "$newline/a.lort"
    said 'new\\x0Aline/gone'
    one_line
    expect 9 "$LORT" compress "$GGUF" -o "$newline/a.lort" -q
    one_line
    expect 5 "$LORT" compress "$GGUF" -o "$newline/nowhere/a.lort" -q
    one_line
    ln -s nowhere "$newline/link"
    expect 9 "$LORT" compress "$GGUF" -o "$newline/link" -q
    one_line
    expect 9 "$LORT" compress "$GGUF" -o "$newline" --force -q
    one_line
    for json in "$newline" "$newline/nowhere/x.json"; do
        expect 5 "$LORT" inspect "$GGUF" --json "$json"
        one_line
    done
    expect 2 "$LORT" inspect "$GGUF" "$newline"
    one_line
    expect 3 "$LORT" compress "$GGUF" -o "$newline/b.lort" --imatrix "$newline/none" -q
    one_line
    expect 3 "$LORT" compare "$newline/m.gguf" "$newline/none"
    one_line
    head -c 5000 "$newline/a.lort" >"$newline/b.lort"
    expect 8 "$LORT" inspect "$newline/b.lort"
    one_line
    expect 2 "$LORT" restore "$newline/a.lort" -o "$T/r" --tensor $'no\nsuch'
    said "^lort: no tensor 'no.x0Asuch'"
}

@test "numbers of every shape (80)" {
    while IFS=: read -r option value allowed; do
        for command in "compress -o $T/x" plan; do
            # shellcheck disable=SC2086
            expect 2 "$LORT" $command "$GGUF" "--$option" "$value"
            said "--$option '.*': must be $allowed"
            one_line
        done
    done <<'END'
rank:-1:a whole number from 0 to 1000000
rank:1e9:a whole number from 0 to 1000000
rank:1000001:a whole number from 0 to 1000000
rank:18446744073709551617:a whole number from 0 to 1000000
rank:NaN:a whole number from 0 to 1000000
memory:0:a size from 1M to 4194304T
memory:10X:a size from 1M to 4194304T
memory:1180591620717411303424:a size from 1M to 4194304T
memory:NaN:a size from 1M to 4194304T
memory:-1G:a size from 1M to 4194304T
memory:1e400:a size from 1M to 4194304T
threads:-1:a whole number from 1 to 1024
threads:4294967297:a whole number from 1 to 1024
energy:NaN:a number above 0, at most 1
max-error:-0.1:a number from 0, below 1
max-error:1e-400x:a number from 0, below 1
fail-above:inf:a number, 0 or more
seed:-0:a whole number from 0 to
min-dim:0:a whole number from 1 to
zstd-level:0:a whole number from 1 to 19
END
    expect 2 "$LORT" compress "$GGUF" -o "$T/x" --rank 0
    said 'rank 0: at least 1 is allowed'
    for command in "verify $GGUF" "compare $GGUF $GGUF" "restore $GGUF -o $T/x"; do
        # shellcheck disable=SC2086
        expect 2 "$LORT" $command --memory 0
        # shellcheck disable=SC2086
        expect 2 "$LORT" $command --threads 0
    done
    absent "$T/x"
}

# ---- numbers ----

@test "matrices of every shape and kind come back within their errors (81, 83, 84)" {
    f32_model "$T/m.safetensors" <<'END'
random.seed(5)
def gauss(n, scale=1.0):
    return [scale * random.gauss(0, 1) for _ in range(n)]
parts = {"zero": ([40, 50], [0.0] * 2000), "minus": ([40, 50], [-0.0] * 2000), "constant": ([40, 50], [0.3] * 2000), "row": ([1, 3000], gauss(3000)),
         "column": ([3000, 1], gauss(3000)), "one": ([1, 1], [2.5]), "long": ([1000000, 1], gauss(1000000)), "tiny": ([48, 48], gauss(2304, 1e-40)),
         "huge": ([48, 48], gauss(2304, 5e37)), "columns": ([48, 48], [v for v in gauss(48) for _ in range(48)]),
         "mixed": ([48, 48], [v * 10.0 ** (i % 60 - 30) for i, v in enumerate(gauss(2304))]), "experts": ([3, 40, 44], gauss(5280))}
tensors = {name: shape for name, (shape, _) in parts.items()}
values = [v for _, numbers in parts.values() for v in numbers]
END
    for options in "" "--residual int --min-dim 1" "--rank 3 --min-dim 1" "--residual ternary --rank 1 --min-dim 1" "--bpw 5 --min-dim 1" "--size 20% --min-dim 1"; do
        # shellcheck disable=SC2086
        expect 0 "$LORT" compress "$T/m.safetensors" -o "$T/a.lort" --force $options --json "$T/a.json"
        expect 0 "$LORT" verify "$T/a.lort"
        expect 0 "$LORT" compare "$T/m.safetensors" "$T/a.lort" --json "$T/c.json"
        python3 - "$T/a.json" "$T/c.json" <<'END'
import json, sys
told, seen = ({t["name"]: t for t in json.load(open(path))["tensors"]} for path in sys.argv[1:])
for zero in "zero", "minus":
    assert told[zero]["action"] == "kept" and seen[zero]["rel_error"] == 0 and seen[zero]["max_abs"] == 0
for name, t in told.items():
    a, b = t["rel_error"] or 0, seen[name]["rel_error"] or 0
    assert abs(a - b) <= 0.01 * a + 1e-6, (name, a, b)
    assert b == 0 or t["action"] != "kept", name
END
    done
    expect 0 "$LORT" compress "$T/m.safetensors" -o "$T/a.lort" --force --lossless
    expect 0 "$LORT" restore "$T/a.lort" -o "$T/r.safetensors"
    cmp "$T/m.safetensors" "$T/r.safetensors" # signs of zeros too
}

@test "what cannot be compressed is kept, and growth is said (88)" {
    f32_model "$T/m.safetensors" <<'END'
random.seed(9)
tensors = {"w": [8, 8], "v": [6, 10], "u": [9, 7]}
values = [struct.unpack("<f", struct.pack("<I", random.randrange(1, 0x7F000000)))[0] for _ in range(187)] # no bit of them can be spared
END
    for options in "--max-error 0.00001 --min-dim 1" "--lossless"; do
        # shellcheck disable=SC2086
        expect 0 "$LORT" compress "$T/m.safetensors" -o "$T/a.lort" --force $options --json "$T/a.json"
        said 'the output is larger than the input'
        [ "$(value "$T/a.json" '{t["action"] for t in d["tensors"]}')" = "{'kept'}" ]
        expect 0 "$LORT" restore "$T/a.lort" -o "$T/r.safetensors" --force
        cmp "$T/m.safetensors" "$T/r.safetensors"
    done
}

@test "more than 2^31 elements in one tensor (85)" {
    [ -n "${LORT_SLOW:-}" ] || skip "LORT_SLOW=1 runs it: 7 GB of disk, minutes"
    [ "$(df --output=avail -B1M "$T" | tail -1)" -gt 8000 ] || skip "8 GB of disk are not there"
    python3 - "$T/m.safetensors" <<'END'
import json, random, struct, sys
random.seed(1)
rows, cols = 65600, 32768 # 32 rows over and over: of rank 32, and without two chunks that say so
head = json.dumps({"w": {"dtype": "F8_E5M2", "shape": [rows, cols], "data_offsets": [0, rows * cols]}}).encode()
tile = random.randbytes(32 * cols).translate(bytes(0x30 | i & 0x8F for i in range(256)))
with open(sys.argv[1], "wb") as out:
    out.write(struct.pack("<Q", len(head)) + head)
    for _ in range(rows // 32):
        out.write(tile)
END
    expect 0 "$LORT" compress "$T/m.safetensors" -o "$T/a.lort" --lossless --memory 256M
    expect 0 "$LORT" restore "$T/a.lort" -o "$T/r.safetensors" --memory 256M
    cmp "$T/m.safetensors" "$T/r.safetensors"
    rm "$T/r.safetensors"
    for options in "--rank 32" "--residual int --max-rank 0 --max-error 0.1"; do
        # shellcheck disable=SC2086
        expect 0 "$LORT" compress "$T/m.safetensors" -o "$T/b.lort" $options --memory 1G --force --json "$T/b.json"
        [ "$(value "$T/b.json" '[(t["action"] != "kept", t["rel_error"] <= 0.1) for t in d["tensors"]]')" = "[(True, True)]" ]
        expect 0 "$LORT" compare "$T/a.lort" "$T/b.lort" --memory 1G --json "$T/c.json"
        [ "$(value "$T/c.json" "abs(d['worst_error'] / $(value "$T/b.json" 'd["worst_error"]') - 1) < 0.01")" = True ]
    done
}
