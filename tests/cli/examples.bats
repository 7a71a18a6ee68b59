#!/usr/bin/env bats
# The programs of tests/examples: a reader copies them, so they must work. `make check` builds them.
load helper
EXAMPLES=$(dirname "$LORT")/tests/examples
QUERY=model.layers.0.self_attn.q_proj.weight

need_examples() { [ -x "$EXAMPLES/read_rows" ] || skip "the examples are not built (make check-cli builds them)"; }

@test "compress_file makes the container that the command makes" {
    need_examples
    expect 0 "$EXAMPLES/compress_file" "$HF" "$T/a.lort" 0.1
    printed '^.*a\.lort: 0\.[0-9]+ of the input, [0-9.]+ bits per weight, worst error 0\.[01][0-9]+$'
    said '^mode (full|stream): '
    said "^ *[0-9]+ %  $QUERY: 131072 -> [0-9]+ bytes$"
    said '^100 %  '
    expect 0 "$LORT" compress "$HF" -o "$T/b.lort" --max-error 0.1 -q
    cmp "$T/a.lort" "$T/b.lort"
}

@test "compress_file reports errors as text and exit code" {
    need_examples
    expect 2 "$EXAMPLES/compress_file" "$HF"
    said '^usage: compress_file MODEL OUT.lort MAX_ERROR'
    expect 2 "$EXAMPLES/compress_file" "$HF" "$T/a.lort" 1
    said '^compress_file: .*max-error 1'
    expect 3 "$EXAMPLES/compress_file" "$T/nothing" "$T/a.lort" 0.1
    said '^compress_file: .*nothing: no such file'
    : >"$T/a.lort"
    expect 9 "$EXAMPLES/compress_file" "$HF" "$T/a.lort" 0.1
    said '^compress_file: .*exists'
    [ ! -s "$T/a.lort" ]
}

@test "read_rows gives the same rows of a model and of its lossless container" {
    need_examples
    expect 0 "$EXAMPLES/read_rows" "$HF" "$QUERY" 3
    printed '^BF16 of 256 x 256$'
    printed '^row 2:( +-?0\.[0-9]{6}){4}$'
    [ "$(grep -c '^row' "$T/out")" -eq 3 ]
    mv "$T/out" "$T/model"
    expect 0 "$LORT" compress "$HF" -o "$T/a.lort" --lossless -q
    expect 0 "$EXAMPLES/read_rows" "$T/a.lort" "$QUERY" 3
    cmp "$T/model" "$T/out"
}

@test "read_rows reports errors as text and exit code" {
    need_examples
    expect 2 "$EXAMPLES/read_rows" "$HF"
    said '^usage: '
    expect 2 "$EXAMPLES/read_rows" "$HF" nothing 3
    said "^read_rows: no tensor 'nothing'"
    expect 2 "$EXAMPLES/read_rows" "$HF" "$QUERY" 257
    said '^read_rows: .*257 rows'
    head -c 100000 "$HF/model-00001-of-00002.safetensors" >"$T/cut.safetensors"
    expect 3 "$EXAMPLES/read_rows" "$T/cut.safetensors" "$QUERY" 3
}

@test "compare_gate exits 7 above its limit and names the tensors, the worst first" {
    need_examples
    expect 0 "$LORT" compress "$HF" -o "$T/a.lort" -q
    expect 0 "$EXAMPLES/compare_gate" "$HF" "$T/a.lort" 0.05
    printed '^39 tensors, worst error 0\.0[45][0-9]+, limit 0\.0500$'
    [ "$(wc -l <"$T/out")" -eq 1 ]
    expect 7 "$EXAMPLES/compare_gate" "$HF" "$T/a.lort" 0.02
    said '^compare_gate: the worst relative error 0\.0[45][0-9]+ is above'
    printed '^0\.02[45][0-9]  model.embed_tokens.weight$'
    head -n -1 "$T/out" | cut -d' ' -f1 | sort -r -c
    lacks "$T/out" 'lm_head|norm'
    expect 3 "$EXAMPLES/compare_gate" "$HF" "$GGUF" 0.05
    expect 2 "$EXAMPLES/compare_gate" "$HF"
}
