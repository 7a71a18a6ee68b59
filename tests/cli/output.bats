#!/usr/bin/env bats
# Where output goes: stdout, stderr, JSON, existing files, full disks, signals.
load helper

@test "compress keeps stdout free and tells its story on stderr" {
    expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" --rank 8 --memory 256M
    [ ! -s "$T/out" ]
    said '^ +mode +(full|stream): '
    said '--memory .*256(\.0)? MiB.*binding'
    said '^ +budget .*planned peak'
    said '^ +threads +[0-9]+'
    said 'layer 0 '
    said 'layer 3 '
    said '^ +output .*a\.lort, .* of the input, .* bits per weight'
    said '^ +error +worst 0\.[0-9]+ .*mean 0\.[0-9]+'
    said '^ +factored +[0-9]+ of [0-9]+ tensors'
    said '^ +kept +[0-9]+ '
    said '^ +memory +peak .* anonymous, .* file-backed'
    lacks "$T/err" $'\e'
}

@test "quiet prints nothing on success, verbose one line per tensor" {
    expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" --lossless -q
    [ ! -s "$T/out" ]
    [ "$(grep -cv warning "$T/err")" -eq 0 ]
    expect 0 "$LORT" verify -q "$T/a.lort"
    [ ! -s "$T/out" ]
    expect 0 "$LORT" compress "$GGUF" -o "$T/b.lort" --lossless -v --json "$T/b.json"
    [ "$(grep -cE '^[a-z_]+[a-z0-9._]* +(F16|F32) ' "$T/err")" -eq "$(value "$T/b.json" 'len(d["tensors"])')" ]
}

@test "the end says where the bytes went, by kind" {
    expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort"
    said '^  by kind +norms and biases +9 +[0-9.]+ bits +lossless'
    said '^ +attention q +4 +[0-9.]+ bits +error 0\.0[45][0-9]+ +[0-9.]+ % of the output'
    said '^ +output head +1 '
    [ "$(grep -oE '[0-9.]+ % of the output' "$T/err" | awk '{ s += $1 } END { print (s > 97 && s <= 100.5) }')" -eq 1 ]
    expect 0 "$LORT" compress "$GGUF" -o "$T/b.lort" --lossless
    ! grep -q 'by kind' "$T/err"
}

@test "compress --json has the fields of the contract" {
    expect 0 "$LORT" compress "$HF" -o "$T/a.lort" --rank 16 --json "$T/a.json" -q
    python3 - "$T/a.json" "$T/a.lort" <<'END'
import json, os, sys
d = json.load(open(sys.argv[1]))
for key in "lort command mode mode_reason memory threads stall_seconds blas input output seconds worst_error mean_error tensors warnings".split():
    assert key in d, key
for key in "available_bytes binding_source sources need_bytes threshold planned_peak_bytes peak_anon_bytes peak_file_bytes peak_rss_bytes cgroup_peak_bytes".split():
    assert key in d["memory"], key
assert d["command"] == "compress" and d["mode"] in ("full", "stream") and d["memory"]["threshold"] == 0.8
assert d["memory"]["binding_source"] in [s["name"] for s in d["memory"]["sources"]]
assert min(s["bytes"] for s in d["memory"]["sources"]) == d["memory"]["available_bytes"]
assert d["memory"]["planned_peak_bytes"] > 0 and d["memory"]["peak_anon_bytes"] > 0
assert set(d["blas"]) == {"config", "core"} and d["blas"]["core"]
assert d["input"]["format"] == "safetensors" and d["input"]["files"] >= 3, d["input"]
assert d["output"]["bytes"] == os.path.getsize(sys.argv[2])
assert abs(d["output"]["ratio"] - d["output"]["bytes"] / d["input"]["bytes"]) < 1e-6
assert 0 < d["worst_error"] < 1 and d["mean_error"] <= d["worst_error"]
for t in d["tensors"]:
    for key in "name shape dtype action reason rank slices rel_error weighted_error bytes_in bytes_out seconds".split():
        assert key in t, key
    assert t["action"] in ("factored", "kept")
    assert (t["rank"] > 0) == (t["action"] == "factored")
    assert t["action"] == "factored" or t["reason"], t["name"]
    assert t["bytes_out"] < t["bytes_in"] or t["action"] == "kept"
errors = [t["rel_error"] for t in d["tensors"] if t["action"] == "factored"]
assert errors and max(errors) == d["worst_error"], (max(errors), d["worst_error"])
END
}

@test "every command writes valid JSON to a file and to stdout" {
    expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" --rank 8 --json -
    python3 -m json.tool "$T/out" >/dev/null
    "$LORT" restore "$T/a.lort" -o "$T/a.gguf" 2>/dev/null
    while read -r line; do
        # shellcheck disable=SC2086
        expect 0 "$LORT" $line --json -
        python3 -m json.tool "$T/out" >/dev/null
        [ "$(value "$T/out" 'd["command"]')" = "${line%% *}" ]
        # shellcheck disable=SC2086
        expect 0 "$LORT" ${line/b.gguf/c.gguf} --json "$T/x.json"
        python3 -m json.tool "$T/x.json" >/dev/null
    done <<END
inspect $GGUF
inspect $T/a.lort
plan $HF --rank 8
verify $T/a.lort
compare $GGUF $T/a.gguf
restore $T/a.lort -o $T/b.gguf
END
}

@test "JSON and numbers do not follow the locale" {
    LC_ALL=de_DE.UTF-8 LANG=de_DE.UTF-8 expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" --energy 0.5 --json -
    python3 -m json.tool "$T/out" >/dev/null
}

@test "output that cannot be written is exit 5" {
    [ -c /dev/full ] || skip "no /dev/full"
    code=0
    "$LORT" inspect "$GGUF" >/dev/full 2>"$T/err" || code=$?
    [ "$code" -eq 5 ]
    said 'standard output'
    code=0
    "$LORT" inspect "$GGUF" --json - >/dev/full 2>"$T/err" || code=$?
    [ "$code" -eq 5 ]
    code=0
    "$LORT" --help >/dev/full 2>"$T/err" || code=$?
    [ "$code" -eq 5 ]
    expect 5 "$LORT" inspect "$GGUF" --json /dev/full
    [ -c /dev/full ]
    expect 5 "$LORT" inspect "$GGUF" --json "$T/nowhere/x.json"
}

@test "a reader that goes away does not kill the work" {
    "$LORT" compress "$GGUF" -o "$T/a.lort" --lossless --json - 2>/dev/null | head -n 1 >/dev/null
    "$LORT" verify -q "$T/a.lort"
}

@test "--json replaces a report whole" {
    expect 0 "$LORT" plan "$GGUF" --json "$T/r.json"
    expect 0 "$LORT" inspect "$GGUF" --json "$T/r.json"
    [ "$(value "$T/r.json" 'd["command"]')" = inspect ]
    python3 -m json.tool "$T/r.json" >/dev/null
    no_partial
}

@test "an existing output is exit 9 and untouched, --force replaces it" {
    echo precious >"$T/a.lort"
    expect 9 "$LORT" compress "$GGUF" -o "$T/a.lort" --lossless
    [ "$(cat "$T/a.lort")" = precious ]
    expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" --lossless --force
    expect 0 "$LORT" verify "$T/a.lort"
    echo precious >"$T/a.gguf"
    expect 9 "$LORT" restore "$T/a.lort" -o "$T/a.gguf"
    [ "$(cat "$T/a.gguf")" = precious ]
    expect 0 "$LORT" restore "$T/a.lort" -o "$T/a.gguf" --force
    same "$GGUF" "$T/a.gguf"
}

@test "a model of several files is never restored over a directory" {
    expect 0 "$LORT" compress "$HF" -o "$T/a.lort" --lossless
    mkdir "$T/dir"
    expect 9 "$LORT" restore "$T/a.lort" -o "$T/dir"
    expect 9 "$LORT" restore "$T/a.lort" -o "$T/dir" --force
    [ -z "$(ls -A "$T/dir")" ]
}

@test "a failure leaves the old output in place even with --force" {
    echo precious >"$T/a.lort"
    expect 7 "$LORT" compress "$GGUF" -o "$T/a.lort" --rank 2 --fail-above 0.001 --force
    [ "$(cat "$T/a.lort")" = precious ]
    no_partial
}

@test "a file that may not grow is exit 5 and nothing is published" {
    expect 5 bash -c 'ulimit -f 200; exec "$@"' - "$LORT" compress "$GGUF" -o "$T/a.lort" --lossless
    absent "$T/a.lort"
}

@test "a missing output directory is refused at once" {
    expect 5 "$LORT" compress "$GGUF" -o "$T/nowhere/a.lort" --lossless
    said 'nowhere'
}

@test "an output is no more readable than its input" {
    cp "$GGUF" "$T/secret.gguf"
    chmod 600 "$T/secret.gguf"
    expect 0 "$LORT" compress "$T/secret.gguf" -o "$T/a.lort" --lossless
    [ "$(stat -c %a "$T/a.lort")" = 600 ]
}

@test "SIGTERM stops a restore with 143 and publishes nothing" {
    "$LORT" compress "$HF" -o "$T/a.lort" --lossless -q 2>/dev/null
    for _ in 1 2 3 4 5; do # a restore that ended before its signal says nothing
        rm -rf "$T/out"
        "$LORT" restore "$T/a.lort" -o "$T/out" -T 1 2>"$T/err" &
        pid=$!
        kill -STOP "$pid"
        kill -TERM "$pid"
        kill -CONT "$pid"
        code=0
        wait "$pid" || code=$?
        [ "$code" -eq 0 ] || break
    done
    [ "$code" -eq 143 ]
    absent "$T/out"
    no_partial
}

@test "a recipe replaces no input, and a place that it cannot have costs no work" {
    cp "$ONE_GGUF" "$T/m.gguf"
    for how in "-o $T/o.gguf" --dry-run; do
        # shellcheck disable=SC2086
        expect 2 "$LORT" quantize "$T/m.gguf" $how --type Q4_K --force --recipe "$T/m.gguf"
        said 'm.gguf: the output is one of the input files'
        cmp "$T/m.gguf" "$ONE_GGUF"
    done
    expect 2 "$LORT" quantize "$T/m.gguf" -o "$T/o.gguf" --type Q4_K --recipe "$T/o.gguf"
    said 'recipe names the output'
    echo mine >"$T/r"
    expect 9 "$LORT" quantize "$T/m.gguf" -o "$T/o.gguf" --type Q4_K --recipe "$T/r"
    [ "$(cat "$T/r")" = mine ]
    expect 5 "$LORT" quantize "$T/m.gguf" -o "$T/o.gguf" --type Q4_K --recipe "$T/nowhere/r"
    [ "$(find "$T" -name '*o.gguf*')" = '' ]
    expect 0 "$LORT" quantize "$T/m.gguf" -o "$T/o.gguf" --type Q4_K --recipe "$T/r" --force
    grep -q '=Q4_K$' "$T/r"
    [ "$(find "$T" -name '.*')" = '' ]
}

@test "a foreign OUT.gguf.part is not called unfinished work" {
    cp "$ONE_GGUF" "$T/o.gguf.part"
    expect 9 "$LORT" quantize "$ONE_GGUF" -o "$T/o.gguf" --type Q4_K --json "$T/j"
    said 'there is no journal of LoRT beside it'
    lacks "$T/err" 'is unfinished work'
    [ "$(value "$T/j" "d['output']['partial_path']")" = None ]
    cmp "$T/o.gguf.part" "$ONE_GGUF"
}
