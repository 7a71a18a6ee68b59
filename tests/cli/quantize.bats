#!/usr/bin/env bats
# lort quantize: the file it writes, as a reader of its own sees it; options; the report. gguf.py decodes.
load quantize
MODEL=$BATS_FILE_TMPDIR/m.gguf

@test "every mix: ggml's layout, the type's label, and errors as decoded" {
    py <<'END_PY'
source = File(words[0])
decoded = {t.name: source.values(t.name) for t in source.tensors}
seen = set()
for mix in "Q2_K Q3_K_M Q4_K_M Q5_K_S Q6_K Q8_0 IQ4_XS IQ4_NL Q4_0 Q4_1 Q5_0 Q5_1 F16 BF16".split():
    ran = quantize(words[0], f"{T}/{mix}.gguf", "--type", mix)
    assert ran.report["warnings"] == [] and "warning" not in ran.err, ran.err
    file = File(f"{T}/{mix}.gguf")
    file.check_layout()
    assert file.keys["general.file_type"] == FILE_TYPES[mix] and file.keys["general.quantization_version"] == 2
    assert [t.name for t in file.tensors] == [t.name for t in source.tensors]
    assert ran.report["output"]["bytes"] == len(file.data)
    for t in file.tensors:
        told = ran.tensors[t.name]
        assert told["type"] == t.type and told["dtype"] == source.by_name[t.name].type and told["shape"] == t.shape, told
        assert told["bytes_out"] == bytes_of(t.type, t.elements) and told["weighted_error"] is None, told
        if told["action"] == "kept":
            assert file.bytes(t.name) == source.bytes(t.name) and told["rel_error"] == 0, told
            continue
        assert told["action"] == ("converted" if t.type in ("F16", "BF16") else "quantised"), told
        if (t.type, t.name) not in seen:  # equal inputs give equal blocks
            error = relative(decoded[t.name], file.values(t.name))
            assert abs(error - told["rel_error"]) <= 0.01 * error, (mix, told, error)
            assert error < 0.5, (mix, told, error)
        seen.add((t.type, t.name))
assert {kind for kind, _ in seen} == set(TYPES) - {"F32", "F16", "I8", "I32"}, seen
END_PY
}

@test "names of mixes in any case; aliases; unknown ones are exit 2 with the list" {
    py <<'END_PY'
def made(*how):
    quantize(words[0], f"{T}/o.gguf", *how, "--force")
    return File(f"{T}/o.gguf").data
for names in ("Q4_K_M q4_k_m Q4_k_M Q4_K", "Q3_K_M q3_k", "Q5_K_M q5_K", "Q8_0 q8_0", "IQ4_XS iq4_xs"):
    first, *others = names.split()
    whole = made("--type", first)
    assert all(made("--type", name) == whole for name in others), names
os.remove(f"{T}/o.gguf")
for name in "Q4_K_X Q4 7 IQ2_XXS Q8_K Q4_K_M\x1b[1m".split() + [" Q4_K_M", "Q" * 3000]:
    ran = quantize(words[0], f"{T}/o.gguf", "--type", name, code=2)
    assert "Q4_K_M" in ran.err and "IQ4_XS" in ran.err and "\x1b" not in ran.err, ran.err
    assert os.listdir(T) == [], os.listdir(T)
END_PY
}

@test "all other metadata stay as they are, in order; a second run of the result keeps them too" {
    py <<'END_PY'
quantize(words[0], f"{T}/o.gguf", "--type", "Q8_0")
one, two = File(words[0]), File(f"{T}/o.gguf")
want = [(key, value if key != "general.file_type" else struct.pack("<II", 4, 7)) for key, value, _ in one.pairs]
assert [(key, value) for key, value, _ in two.pairs] == want + [("general.quantization_version", struct.pack("<II", 4, 2))], [p[0] for p in two.pairs]
assert two.version == 3
quantize(f"{T}/o.gguf", f"{T}/again.gguf", "--type", "Q4_0", "--allow-requantize")
three = File(f"{T}/again.gguf")
assert [p[0] for p in three.pairs] == [p[0] for p in two.pairs]
changed = [a[0] for a, b in zip(two.pairs, three.pairs) if a != b]
assert changed == ["general.file_type"] and three.keys["general.file_type"] == 2
END_PY
}

@test "a size is met: never above, at least 99.5 % of it, or exit 7 and the smallest" {
    py <<'END_PY'
write(f"{T}/m.gguf", small(layers=6, wide=256))
bytes_in, elements = os.path.getsize(f"{T}/m.gguf"), sum(t.elements for t in File(f"{T}/m.gguf").tensors)
def size(*how, code=0):
    ran = quantize(f"{T}/m.gguf", f"{T}/o.gguf", "--force", *how, code=code)
    if code == 0:
        assert ran.report["output"]["bytes"] == os.path.getsize(f"{T}/o.gguf")
        File(f"{T}/o.gguf").check_layout()
    return ran, os.path.getsize(f"{T}/o.gguf") if code == 0 else None
ran, _ = size("--size", "1000", code=7)
smallest = int(ran.err.split("the smallest is ")[1].split()[0])
assert 0.1 * bytes_in < smallest < 0.3 * bytes_in
for far in (1.0, 1.05, 1.4, 1.9, 2.5):
    target = int(smallest * far)
    ran, got = size("--size", str(target))
    assert 0.995 * target <= got <= target, (target, got)
assert size("--size", str(smallest))[1] == smallest
size("--size", str(smallest - 1), code=7)
for percent in (25, 31.25, 50):
    target = percent / 100 * bytes_in
    assert 0.995 * target <= size("--size", f"{percent}%")[1] <= target, percent
for bits in (4.5, 6):
    ran, got = size("--bpw", bits)
    assert 0.995 * bits <= 8 * got / elements <= bits, (bits, got)
    assert math.isclose(ran.report["output"]["bpw"], 8 * got / elements, rel_tol=1e-6)
ran, _ = size("--bpw", "1", code=7)
least = float(ran.err.split("the smallest is ")[1].split()[0])
assert math.isclose(least, 8 * smallest / elements, rel_tol=1e-4), (least, smallest)
# More than the source takes: nothing is gained, so nothing is lost.
ran, got = size("--size", "900%", code=2)
ran, got = size("--bpw", "40")
assert {t["action"] for t in ran.report["tensors"]} == {"kept"} and {t["rel_error"] for t in ran.report["tensors"]} == {0}
END_PY
}

@test "sizes and bits that are none: exit 2" {
    for words in "--bpw 0" "--bpw -1" "--bpw nan" "--bpw inf" "--bpw 101" "--size 0" "--size -5" "--size 0%" "--size 101%" "--size x" "--size 4 --bpw 4" "--type Q4_K_M --bpw 4" \
        "--bpw 4 --pure" "--type Q4_K_M --types Q4_K" ""; do
        # shellcheck disable=SC2086
        expect 2 "$LORT" quantize "$MODEL" -o "$T/o.gguf" $words
        absent "$T/o.gguf"
    done
    expect 2 "$LORT" quantize "$MODEL" --type Q4_K_M
    said 'wants an output'
}

@test "--types limits the choice" {
    py <<'END_PY'
for text, allowed in (("Q4_K,Q6_K", {"Q4_K", "Q6_K"}), ("q8_0", {"Q8_0"}), ("IQ4_XS,q3_k", {"IQ4_XS", "Q3_K"})):
    ran = quantize(words[0], f"{T}/o.gguf", "--types", text, "--bpw", "9.3", "--force")
    for t in ran.report["tensors"]:
        wide = t["shape"][-1] % 256 == 0
        assert t["action"] == "kept" or not wide or t["type"] in allowed, t
quantize(words[0], f"{T}/p.gguf", "--types", "", "--bpw", "8", code=2)
for bad in ("Q4_K,", ",Q4_K", "Q4_K,,Q6_K", "Q4_K,Q4_K", "Q4_K_M", "Q9", "IQ2_XXS"):
    ran = quantize(words[0], f"{T}/p.gguf", "--types", bad, "--bpw", "8", code=2)
    assert "--types" in ran.err and "allowed" in ran.err, ran.err
assert os.listdir(T) == ["o.gguf"]
END_PY
}

@test "--tensor-type: first match, names off the list, patterns that match nothing" {
    py <<'END_PY'
def types(*how, target=("--type", "Q4_K_S")):
    ran = quantize(words[0], f"{T}/o.gguf", *target, "--force", *(w for rule in how for w in ("--tensor-type", rule)))
    return ran, {t["name"]: t["type"] for t in ran.report["tensors"]}
plain = types()[1]
ran, got = types("blk.0.attn_q.weight=q6_K", "blk.*.attn_?.weight=Q8_0", "*attn_q*=Q2_K")
want = {**plain, "blk.0.attn_q.weight": "Q6_K", "blk.0.attn_k.weight": "Q8_0", "blk.0.attn_v.weight": "Q8_0"}
assert got == want and not ran.warnings(), (got, want)
# Rows of 128 fall back as those of a mix do.
assert types("*ffn_down*=Q6_K")[1]["blk.0.ffn_down.weight"] == "Q8_0"
# A pattern takes no norm; a name takes what is on no list, but not what has one dimension.
assert types("*=Q8_0")[1]["output_norm.weight"] == "F32" and types("output_norm.weight=Q8_0")[1]["output_norm.weight"] == "F32"
write(f"{T}/odd.gguf", small(layers=1)[:4] + [("blk.0.ffn_gate_inp.weight", [8, 256], "F32", gauss(2048)), ("strange.weight", [8, 256], "F32", gauss(2048))])
def odd(*rules):
    ran = quantize(f"{T}/odd.gguf", f"{T}/o.gguf", "--type", "Q4_K_S", "--force", *(w for r in rules for w in ("--tensor-type", r)))
    return {t["name"]: (t["type"], t["reason"]) for t in ran.report["tensors"]}
got = odd()
assert got["blk.0.ffn_gate_inp.weight"] == ("F32", "router, its order decides") and got["strange.weight"] == ("F32", "name is not on the list"), got
assert odd("*=Q8_0")["strange.weight"][0] == "F32"
got = odd("strange.weight=Q8_0", "blk.0.ffn_gate_inp.weight=BF16")
assert got["strange.weight"][0] == "Q8_0" and got["blk.0.ffn_gate_inp.weight"][0] == "F32", got  # a router never
ran = quantize(f"{T}/odd.gguf", f"{T}/o.gguf", "--type", "Q4_K_S", "--force", "--tensor-type", "blk.0.ffn_gate_inp.weight=BF16")
assert len(ran.warnings("matches only tensors that are kept (router")) == 1, ran.err
ran, got = types("blk.7.*=Q8_0", "nothing=Q2_K")
assert got == plain and len(ran.warnings("matches no tensor")) == 2, ran.err
assert len(ran.report["warnings"]) == 2
# Under a size such tensors are not open to choice.
ran, got = types("*attn_v*=Q8_0", target=("--bpw", "5"))
assert got["blk.0.attn_v.weight"] == "Q8_0" and ran.report["output"]["bpw"] <= 5
for bad in ("Q8_0", "=Q8_0", "a=", "a=Q4_K_M", "a=F64", "a=I32"):
    ran = quantize(words[0], f"{T}/p.gguf", "--type", "Q8_0", "--tensor-type", bad, code=2)
    assert "--tensor-type" in ran.err, ran.err
END_PY
}

@test "--pure puts every quantised tensor in the base type" {
    py <<'END_PY'
for mix, base, label in (("Q4_K_M", "Q4_K", 14), ("Q3_K_L", "Q3_K", 11), ("Q8_0", "Q8_0", 7)):
    ran = quantize(words[0], f"{T}/o.gguf", "--type", mix, "--pure", "--force")
    got = {t["type"] for t in ran.report["tensors"] if t["action"] != "kept" and t["shape"][-1] == 256}
    assert got == {base}, (mix, got)
    assert File(f"{T}/o.gguf").keys["general.file_type"] == label, mix
END_PY
}

@test "--recipe names every tensor's type as llama-quantize would read it" {
    py <<'END_PY'
import re
for how in (("--type", "Q4_K_M"), ("--bpw", "6"), ("--type", "Q8_0", "--dry-run")):
    ran = quantize(words[0], f"{T}/o.gguf", *how, "--recipe", f"{T}/r", "--force")
    lines = open(f"{T}/r").read().splitlines()
    # The last "=" parts pattern and type; llama-quantize lowers the case of the pattern; the first that is found in the name counts.
    rules = [(re.compile(line.rpartition("=")[0].lower()), line.rpartition("=")[2]) for line in lines]
    assert all(" " not in line for line in lines), lines
    for t in ran.report["tensors"]:
        if len(t["shape"]) > 1:
            assert next(kind for rule, kind in rules if rule.search(t["name"])).upper() == t["type"], (t, lines)
            assert sum(bool(rule.search(t["name"])) for rule, _ in rules) == 1
    quantize(words[0], f"{T}/p.gguf", *how[:2], "--recipe", f"{T}/r", code=9)
    assert not os.path.exists(f"{T}/p.gguf")
END_PY
}

@test "--dry-run writes nothing, and foresees types and size" {
    py <<'END_PY'
legacy_imatrix(f"{T}/i.dat", [("blk.0.attn_q.weight", [1.0] * 255 + [50.0])])
for how in (["--type", "Q4_K_M"], ["--bpw", "5"], ["--size", "40%", "--types", "Q4_K,Q8_0"], ["--type", "Q2_K", "--imatrix", f"{T}/i.dat"], ["--type", "Q8_0", "--tensor-type", "*=Q4_0"]):
    before = sorted(os.listdir(T))
    dry = run("quantize", words[0], "--dry-run", "-o", f"{T}/o.gguf", "--json", "-", *how)
    assert sorted(os.listdir(T)) == before
    foreseen = json.loads(dry.out)
    real = quantize(words[0], f"{T}/o.gguf", *how)
    size = os.path.getsize(f"{T}/o.gguf")
    assert foreseen["output"]["estimate_low_bytes"] == foreseen["output"]["estimate_high_bytes"] == size, how
    assert [t["type"] for t in foreseen["tensors"]] == [t["type"] for t in real.report["tensors"]]
    assert [t["action"] for t in foreseen["tensors"]] == [t["action"] for t in real.report["tensors"]]
    assert foreseen["estimated_seconds"] > 0
    text = run("quantize", words[0], "--dry-run", *how).out  # no -o is needed
    assert f"({size} bytes)" in text and "time" in text and "types" in text, text
    os.remove(f"{T}/o.gguf")
END_PY
}

@test "the report: fields, reasons, sums" {
    py <<'END_PY'
ran = quantize(words[0], f"{T}/o.gguf", "--type", "Q4_K_M")
report = ran.report
assert report["command"] == "quantize" and report["input"]["format"] == "gguf" and report["input"]["bytes"] == os.path.getsize(words[0])
assert report["error"] is None if "error" in report else True
need = {"name", "shape", "dtype", "type", "action", "reason", "rel_error", "weighted_error", "bytes_in", "bytes_out"}
for t in report["tensors"]:
    assert need <= set(t), need - set(t)
    assert (t["reason"] is not None) == (t["action"] == "kept"), t
    assert t["bytes_in"] == bytes_of(t["dtype"], math.prod(t["shape"])), t
assert {t["reason"] for t in report["tensors"]} == {None, "fewer than two dimensions"}
errors = [t["rel_error"] for t in report["tensors"] if t["action"] != "kept"]
assert math.isclose(report["worst_error"], max(errors)) and math.isclose(report["mean_error"], sum(errors) / len(errors), rel_tol=1e-6)
assert report["mean_weighted_error"] is None and report["worst_weighted_error"] is None and report["imatrix"] is None
assert report["mode"] in ("full", "stream") and report["memory"]["planned_peak_bytes"] > 0
END_PY
}

@test "an importance matrix: weighted errors, keys, and what it does not know" {
    py <<'END_PY'
draw = random.Random(4)
source = File(words[0])
entries = {t.name: [2**draw.gauss(0, 2) for _ in range(t.shape[-1])] for t in source.tensors if t.name.startswith("blk") and len(t.shape) == 2}
os.mkdir(f"{T}/sub")
legacy_imatrix(f"{T}/sub/some.dat", list(entries.items()))
plain = quantize(words[0], f"{T}/p.gguf", "--type", "Q3_K_S")
ran = quantize(words[0], f"{T}/o.gguf", "--type", "Q3_K_S", "--imatrix", f"{T}/sub/some.dat")
file, bare = File(f"{T}/o.gguf"), File(f"{T}/p.gguf")
assert file.keys["quantize.imatrix.file"] == "some.dat" and file.keys["quantize.imatrix.entries_count"] == len(entries)
assert "quantize.imatrix.file" not in bare.keys
assert [p[:2] for p in file.pairs if not p[0].startswith("quantize.imatrix.")] == [p[:2] for p in bare.pairs]
assert len(ran.warnings()) == 1 and "no entry for 2 matrices" in ran.warnings()[0], ran.err
for t in file.tensors:
    told, weights = ran.tensors[t.name], entries.get(t.name)
    if told["action"] == "kept":
        continue
    error = relative(source.values(t.name), file.values(t.name), weights)
    assert (told["weighted_error"] is None) == (weights is None), told
    if weights:
        assert abs(error - told["weighted_error"]) <= 0.01 * error, (told, error)
        assert error < relative(source.values(t.name), bare.values(t.name), weights), told
# Those of other models are of no use, and say so.
legacy_imatrix(f"{T}/other.dat", [("blk.9.attn_q.weight", [1.0] * 256)])
ran = quantize(words[0], f"{T}/q.gguf", "--type", "Q3_K_S", "--imatrix", f"{T}/other.dat")
assert len(ran.warnings()) == 1 and "none of its 1 entries" in ran.warnings()[0], ran.err
legacy_imatrix(f"{T}/wrong.dat", [("blk.0.attn_q.weight", [1.0] * 255)])
quantize(words[0], f"{T}/w.gguf", "--type", "Q3_K_S", "--imatrix", f"{T}/wrong.dat", code=3)
assert not os.path.exists(f"{T}/w.gguf")
ran = quantize(words[0], f"{T}/w.gguf", "--type", "Q2_K_S", code=2)
assert "--imatrix" in ran.err
END_PY
}

@test "-q is silent, -v tells each tensor, and neither changes a byte" {
    expect 0 "$LORT" quantize "$MODEL" -o "$T/q.gguf" --type Q4_K_M -q
    [ ! -s "$T/out" ] && [ ! -s "$T/err" ]
    expect 0 "$LORT" quantize "$MODEL" -o "$T/v.gguf" --type Q4_K_M -v
    [ "$(grep -c 'blk\.0\..*Q4_K\|blk\.0\..*Q6_K\|blk\.0\..*Q5_0\|blk\.0\..*Q8_0' "$T/err")" -ge 7 ]
    said 'types +(F16 -> )?Q4_K'
    [ ! -s "$T/out" ]
    cmp "$T/q.gguf" "$T/v.gguf"
    expect 0 "$LORT" quantize "$MODEL" --type Q4_K_M --dry-run -v
    printed 'blk\.0\.attn_q\.weight +F16 +-> Q4_K'
    printed 'output_norm\.weight +F32 +256 +kept .*fewer than two dimensions'
    no_partial
}

@test "help, a misspelt command, a misspelt option" {
    expect 0 "$LORT" --help
    printed '^ +quantize '
    expect 0 "$LORT" quantize --help
    for option in --type --size --bpw --imatrix --types --tensor-type --pure --allow-requantize --dry-run --recipe --memory --resume --time-limit --force --json; do
        printed " $option( |,|$)"
    done
    expect 2 "$LORT" quantise "$MODEL"
    said '"quantize"|quantize\?'
    expect 2 "$LORT" quantize "$MODEL" -o "$T/o" --tensortype a=Q8_0
    said 'tensor-type'
    expect 2 "$LORT" quantize -o "$T/o" --type Q8_0
}

@test "inspect and compare know the result" {
    expect 0 "$LORT" quantize "$MODEL" -o "$T/o.gguf" --type Q4_K_M --json "$T/q.json"
    expect 0 "$LORT" inspect "$T/o.gguf"
    printed 'Q4_K'
    expect 0 "$LORT" compare "$MODEL" "$T/o.gguf" --json "$T/c.json"
    python3 - "$T/q.json" "$T/c.json" <<'END_PY'
import json, sys
one, two = ({t["name"]: t for t in json.load(open(f))["tensors"]} for f in sys.argv[1:])
assert one.keys() == two.keys()
for name, t in one.items():
    a, b = t["rel_error"], two[name]["rel_error"]
    assert abs(a - b) <= 1e-6 + 0.001 * a, (name, a, b)
END_PY
}
