#!/usr/bin/env bats
# Names and paths of Windows: devices, both separators, long and non-ASCII names, upper and lower case.
load ../cli/helper

# A directory whose path has more than 260 characters, in T/long: six folders of 55.
long() {
    local folder
    folder=$(printf 'x%.0s' {1..54})
    long=$T
    for i in 1 2 3 4 5 6; do long=$long/$i$folder; done
    mkdir -p "$long"
}
# The path as Windows spells it: drive Z: is / of Linux.
windows() { printf 'Z:%s' "${1//\//\\}"; }

@test "names that are devices or that Windows changes are refused, wherever a file is written" {
    mkdir "$T/sub"
    cd "$T"
    for name in NUL CON nul.lort com1.lort LPT9 aux.gguf 'x.' 'x ' 'a:b' 'a?b' 'a*b' 'a<b' 'a|b' 'a"b' sub/nul 'sub\nul' C:nul 'C:\nul' \
        'nul:' 'a::$DATA' 'com¹' 'CONIN$' 'NUL .x' '\\.\nul' '//./nul' '\\?\Z:\tmp\nul' '\\.\pipe\x' . .. sub/ ''; do
        code=0
        "$LORT" compress "$ONE_GGUF" -o "$name" --lossless >out 2>err </dev/null || code=$?
        case $code in 2 | 5 | 9) ;; *) echo "'$name': exit $code"; return 1 ;; esac
        [ -s err ] && lacks err '\(null\)'
    done
    rm out err
    [ "$(ls -A)" = sub ] && [ -z "$(ls -A sub)" ]
}

@test "restore, quantize and reports refuse them too" {
    "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --lossless -q
    cd "$T"
    for name in 'x.' com1.gguf aux 'a:b' 'q?'; do
        for command in "restore a.lort" "quantize $ONE_GGUF --type Q8_0"; do
            code=0
            # shellcheck disable=SC2086
            "$LORT" $command -o "$name" >out 2>err </dev/null || code=$?
            case $code in 2 | 5 | 9) ;; *) echo "$command '$name': exit $code"; return 1 ;; esac
        done
        case $name in com1* | aux) continue ;; esac # a report may go to a device, as to NUL
        code=0
        "$LORT" inspect "$ONE_GGUF" --json "$name" >out 2>err </dev/null || code=$?
        case $code in 2 | 5 | 9) ;; *) echo "--json '$name': exit $code"; return 1 ;; esac
    done
    rm out err
    [ "$(ls -A)" = a.lort ]
}

@test "both separators and a drive: input, output, report" {
    cp -r "$ONE_HF" "$T/m"
    mkdir "$T/o"
    expect 0 "$LORT" compress "$(windows "$T")\\m\\" -o "$(windows "$T/o")\\a.lort" --json "$(windows "$T")/o\\r.json" --lossless
    said "Z:$T/o/a.lort"
    lacks "$T/err" 'x5C'
    [ "$(value "$T/o/r.json" 'd["output"]["path"]')" = "Z:$T/o/a.lort" ]
    expect 0 "$LORT" restore "$(windows "$T/o/a.lort")" -o "$(windows "$T/o/back")" -q
    same "$ONE_HF" "$T/o/back"
    (cd "$T" && "$LORT" compress '.\m' -o 'o\b.lort' --lossless -q)
    cmp "$T/o/a.lort" "$T/o/b.lort"
    expect 3 "$LORT" inspect "$(windows "$T")\\nowhere\\m.gguf"
    said "Z:$T/nowhere/m.gguf"
    expect 0 "$LORT" inspect '\\?\'"$(windows "$T/o/a.lort")"
}

@test "--weights and --file take both separators" {
    mkdir -p "$T/m/fp16"
    cp "$ONE_HF"/* "$T/m/"
    cp "$ONE_HF"/model-0000* "$ONE_HF"/model.safetensors.index.json "$T/m/fp16/"
    while IFS= read -r name; do
        expect 0 "$LORT" compress "$T/m" --weights "$name" -o "$T/a.lort" --lossless -q --json "$T/r.json" --force
        value "$T/r.json" '(d["input"]["files"], len(d["tensors"]))' >>"$T/found"
    done <<'END'
fp16/model.safetensors.index.json
fp16\model.safetensors.index.json
END
    [ "$(sort -u "$T/found" | wc -l)" -eq 1 ]
}

@test "non-ASCII names: input, output, report, restored files, messages" {
    dir="$T/Модель ünï 模型 🦙"
    mkdir "$dir"
    cp "$ONE_GGUF" "$dir/größe 重み.gguf"
    expect 0 "$LORT" compress "$dir/größe 重み.gguf" -o "$dir/вес.lort" --json "$dir/отчёт.json" --lossless
    said 'Модель ünï 模型 🦙/вес.lort'
    [ "$(value "$dir/отчёт.json" 'd["output"]["path"]')" = "$dir/вес.lort" ]
    expect 0 "$LORT" restore "$dir/вес.lort" -o "$dir/zurück.gguf"
    cmp "$ONE_GGUF" "$dir/zurück.gguf"
    expect 0 "$LORT" inspect "$dir/вес.lort" --json -
    [ "$(value "$T/out" 'd["input"]["path"]')" = "$dir/вес.lort" ]
    expect 3 "$LORT" inspect "$dir/нет.gguf"
    said 'нет\.gguf'
    expect 9 "$LORT" compress "$ONE_GGUF" -o "$dir/вес.lort"
    said 'вес\.lort'
    cp -r "$ONE_HF" "$dir/формы"
    mkdir "$dir/формы/ж"
    cp "$ONE_HF"/model* "$dir/формы/ж"
    expect 0 "$LORT" compress "$dir/формы" --weights 'ж\model.safetensors.index.json' -o "$dir/б.lort" --lossless -q
    expect 0 "$LORT" restore "$dir/б.lort" -o "$dir/назад" -q
}

@test "paths of more than 260 characters: input, output, report, resume, messages" {
    long
    cp -r "$ONE_HF" "$long/hf"
    [ "${#long}" -gt 300 ]
    expect 0 "$LORT" compress "$long/hf" -o "$long/a.lort" --json "$long/r.json" --lossless -q
    [ "$(value "$long/r.json" 'd["output"]["path"]')" = "$long/a.lort" ]
    expect 0 "$LORT" verify -q "$(windows "$long/a.lort")"
    expect 0 "$LORT" restore "$long/a.lort" -o "$long/back" -q
    same "$ONE_HF" "$long/back"
    expect 75 "$LORT" compress "$long/hf" -o "$long/b.lort" --lossless --time-limit 0.001s -q
    expect 0 "$LORT" compress "$long/hf" -o "$long/b.lort" --lossless --resume -q
    cmp "$long/a.lort" "$long/b.lort"
    expect 0 "$LORT" quantize "$ONE_GGUF" -o "$long/q.gguf" --type Q8_0 --recipe "$long/recipe.txt" -q
    [ -s "$long/recipe.txt" ]
    expect 3 "$LORT" inspect "$long/not-here.gguf"
    said 'xxx(/not-here\.gguf|\.\.\.): no such file or directory'
    expect 5 "$LORT" compress "$ONE_GGUF" -o "$long/no/a.lort" --lossless
    said "cannot open directory '.*xxx"
    no_partial
}

@test "upper and lower case name one file" {
    cp "$ONE_GGUF" "$T/Model.GGUF"
    expect 0 "$LORT" inspect "$T/model.gguf"
    expect 2 "$LORT" compress "$T/Model.GGUF" -o "$T/MODEL.gguf" --lossless --force
    expect 2 "$LORT" compress "$T/Model.GGUF" -o "$T/a.lort" --lossless --json "$T/A.LORT"
    expect 2 "$LORT" inspect "$T/Model.GGUF" --json "$T/model.gguf"
    cmp "$ONE_GGUF" "$T/Model.GGUF"
    echo precious >"$T/Old.lort"
    expect 9 "$LORT" compress "$T/Model.GGUF" -o "$T/old.LORT" --lossless
    [ "$(cat "$T/Old.lort")" = precious ]
}

@test "files whose names differ by case only are not restored over each other" {
    cp -r "$ONE_HF" "$T/m"
    echo one >"$T/m/notes.txt"
    echo two >"$T/m/NOTES.txt"
    expect 0 "$LORT" compress "$T/m" -o "$T/a.lort" --lossless -q
    expect 5 "$LORT" restore "$T/a.lort" -o "$T/r"
    said "holds '(notes|NOTES)\.txt' and '(notes|NOTES)\.txt', and this system takes them for one name"
    absent "$T/r"
    no_partial
}

@test "a name that begins with a dash works after --" {
    cp "$ONE_GGUF" "$T/-x.gguf"
    (cd "$T" && "$LORT" inspect -- -x.gguf >/dev/null)
}
