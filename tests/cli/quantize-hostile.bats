#!/usr/bin/env bats
# lort quantize: weights that are no usual ones, headers of every kind, and sources that are no single GGUF file.
load quantize

# Before the Python of each test: a matrix of floats, and a run in both ways of choosing types.
hostile() {
    { cat <<'END_PY'
Q, K, V, UP = (f"blk.0.{n}.weight" for n in ("attn_q", "attn_k", "attn_v", "ffn_up"))
TARGETS = (("--type", "Q4_K_M"), ("--bpw", "12"))
def matrix(name, shape=(64, 256), kind="F32", scale=0.05):
    return name, list(shape), kind, gauss(math.prod(shape), name, scale)
BASE = matrix(UP)
def check(source, out, ran, sizes=True):
    """Layout, types and errors of the file against the report."""
    one, two = File(source), File(out)
    two.check_layout()
    assert [t.name for t in one.tensors] == [t.name for t in two.tensors] and [t.shape for t in one.tensors] == [t.shape for t in two.tensors]
    for t, told in zip(two.tensors, ran.report["tensors"]):
        assert told["type"] == t.type and told["rel_error"] is not None, told
        if told["action"] == "kept":
            assert t.type == one.by_name[t.name].type and one.bytes(t.name) == two.bytes(t.name), told
        else:
            values = two.values(t.name)
            assert all(map(math.isfinite, values)), t.name
            error = relative(one.values(t.name), values)
            assert abs(error - told["rel_error"]) <= 0.01 * error + 1e-9, (told, error)
    return two
def both(tensors, *words, targets=TARGETS, code=0, **how):
    write(f"{T}/m.gguf", tensors, **how)
    for target in targets:
        ran = quantize(f"{T}/m.gguf", f"{T}/o.gguf", *target, *words, code=code)
        if code:
            assert not os.path.exists(f"{T}/o.gguf")
            yield ran, None
            continue
        yield ran, check(f"{T}/m.gguf", f"{T}/o.gguf", ran)
        os.remove(f"{T}/o.gguf")
        assert sorted(os.listdir(T)) == ["m.gguf"], os.listdir(T)
END_PY
      cat; } | py "$@"
}

@test "NaN and Inf: the tensor is kept and named once, the others are quantised" {
    hostile <<'END_PY'
def with_bad(name, kind, at, value):
    tensor = matrix(name, kind=kind)
    tensor[3][at] = value
    return tensor
tensors = [BASE, with_bad(Q, "F16", 777, math.nan), matrix(K), with_bad(V, "BF16", -1, -math.inf), with_bad("blk.0.attn_output.weight", "F32", 0, math.inf),
           ("blk.0.attn_norm.weight", [256], "F32", [math.nan] * 256)]
bad = {t[0] for t in (tensors[1], tensors[3], tensors[4])}
sizes = {}
for mode in ("full", "stream"):
    for ran, file in both(tensors, "--mode", mode, targets=(("--type", "Q4_K_M"), ("--bpw", "18"), ("--size", "70%"))):
        assert len(ran.warnings("NaN")) == 3, ran.err
        for name in bad:
            assert len(ran.warnings(f"'{name}' holds NaN or Inf")) == 1, ran.err
            assert ran.tensors[name]["action"] == "kept" and ran.tensors[name]["reason"] == "holds NaN or Inf"
        assert "kept" not in (ran.tensors[UP]["action"], ran.tensors[K]["action"]), ran.tensors
for target in TARGETS[0], ("--bpw", "18"):
    ran = quantize(f"{T}/m.gguf", f"{T}/o.gguf", *target, "--dry-run")
    want = quantize(f"{T}/m.gguf", f"{T}/p.gguf", *target, "--force")
    if target[0] == "--bpw":  # a choice by measured errors sees a sample at least; a mix reads no weight
        assert ran.report["output"]["estimate_high_bytes"] == os.path.getsize(f"{T}/p.gguf") and len(ran.warnings("NaN")) == 3
END_PY
}

@test "a number that F16 cannot hold: the tensor is kept and named" {
    hostile <<'END_PY'
large = matrix(Q, kind="F32")
large[3][70] = 1e6
for target in (("--type", "F16"), ("--type", "Q8_0", "--tensor-type", f"{Q}=F16"), ("--bpw", "17")):
    for ran, file in both([BASE, large, matrix(K, kind="F32")], targets=[target]):
        assert ran.tensors[Q]["action"] in ("kept", "quantised") and max(abs(v) for v in file.values(Q)) < math.inf, target
        if "F16" in " ".join(target):
            assert len(ran.warnings(f"'{Q}' holds NaN, Inf or numbers that are too large")) == 1 and ran.tensors[Q]["action"] == "kept", ran.err
for ran, file in both([BASE, large], targets=[("--type", "BF16")]):
    assert ran.tensors[Q]["type"] == "BF16" and not ran.warnings("too large"), ran.err
END_PY
}

@test "an architecture with a long name: its keys are found, or count as absent" {
    hostile <<'END_PY'
for length in (180, 187, 188, 189, 300, 5000):
    arch = "a" * length
    keys = [("general.architecture", "text", arch), (f"{arch}.block_count", "u32", 2), (f"{arch}.attention.head_count", "u32", 4)]
    write(f"{T}/m.gguf", [BASE, matrix(Q)], keys=keys)
    for target in TARGETS:
        ran = quantize(f"{T}/m.gguf", f"{T}/o.gguf", *target, "--force")
        assert ran.tensors[Q]["action"] == "quantised", ran.err
END_PY
}

@test "zeros stay zeros; tiny and huge weights are measured as they are decoded" {
    hostile <<'END_PY'
spread = [0.0] * 300 + [1e4] + [1e-5] * (64 * 256 - 301)
tensors = [BASE, (Q, [64, 256], "F32", [0.0] * (64 * 256)), matrix(K, scale=3e-7), matrix(V, scale=1e4), ("blk.0.attn_output.weight", [64, 256], "F32", spread)]
for kind in "Q2_K Q3_K_S Q4_K_S Q5_K_S Q6_K IQ4_XS IQ4_NL Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 F16 BF16".split():
    for ran, file in both(tensors, targets=[("--type", kind, "--pure")]):
        assert not any(file.values(Q)) and ran.tensors[Q]["rel_error"] == 0, kind
        assert ran.tensors[V]["rel_error"] < 0.5 and ran.tensors[UP]["rel_error"] < 0.5, kind
        assert kind in ("F16", "BF16") or ran.tensors[K]["rel_error"] < 1.0001, kind
END_PY
}

@test "a tensor of which hardly anything is left is named" {
    hostile <<'END_PY'
tensors = [BASE, matrix(Q, scale=1e-12), matrix(K, scale=1e30)]
for ran, file in both(tensors, targets=[("--type", "Q4_K_S"), ("--type", "Q8_0"), ("--bpw", "6")]):
    lost = {t["name"] for t in ran.report["tensors"] if t["rel_error"] > 0.9}
    assert lost == {Q, K}, lost
    for name in lost:
        assert len(ran.warnings(f"'{name}'")) == 1 and "--tensor-type" in ran.warnings(f"'{name}'")[0], ran.err
    assert len(ran.warnings()) == len(lost)
for ran, file in both(tensors, "--tensor-type", f"{Q}=BF16", "--tensor-type", f"{K}=BF16", targets=[("--type", "Q4_K_S")]):
    assert not ran.warnings() and ran.tensors[Q]["rel_error"] < 0.01 and ran.tensors[K]["rel_error"] < 0.01
END_PY
}

@test "rows that do not divide, vectors, nothing, stacks" {
    hostile <<'END_PY'
tensors = [BASE, matrix(Q, (64, 172)), matrix(K, (64, 100)), matrix(V, (64, 160)), matrix("blk.0.attn_output.weight", (64, 1)), matrix("blk.1.attn_q.weight", (1, 256)),
           matrix("blk.1.attn_k.weight", (256,)), ("blk.1.attn_v.weight", [0, 256], "F32", b""), ("blk.1.ffn_up.weight", [64, 0], "F32", b""),
           matrix("blk.1.ffn_gate.weight", (2, 2, 8, 256)), matrix("blk.1.ffn_gate_exps.weight", (3, 8, 256)), matrix("blk.1.ffn_up_exps.weight", (1, 1, 256))]
for ran, file in both(tensors):
    got = {name: (t["type"], t["reason"]) for name, t in ran.tensors.items()}
    assert got[Q][0] in ("F16", "F32") and got[K][0] in ("F16", "F32") and got["blk.0.attn_output.weight"][0] in ("F16", "F32"), got
    assert got[V][0] in ("Q8_0", "Q5_0", "Q5_1", "Q4_0", "IQ4_NL", "F32"), got
    assert got["blk.1.attn_k.weight"] == got["blk.1.attn_q.weight"] == ("F32", "fewer than two dimensions"), got
    assert got["blk.1.attn_v.weight"] == got["blk.1.ffn_up.weight"] == ("F32", "empty"), got
    assert got["blk.1.ffn_gate.weight"] == ("F32", "more than three dimensions"), got
assert ran.tensors["blk.1.ffn_gate_exps.weight"]["slices"] == 3
for dims in ((1, 2, 2, 8, 256), (2, 2, 2, 8, 256), (2, 1, 2, 1, 8, 256)):  # ggml has four at most
    write(f"{T}/m.gguf", [BASE, matrix(Q, dims)])
    for target in (TARGETS[0], ("--bpw", "30")):
        ran = quantize(f"{T}/m.gguf", f"{T}/o.gguf", *target, "--force", code=None)
        assert ran.code == 3 and "dimensions" in ran.err or ran.code == 0 and ran.tensors[Q]["action"] == "kept", (dims, ran.code, ran.err)
END_PY
}

@test "names of 1 to 1024 bytes, of any bytes, and none" {
    hostile <<'END_PY'
names = ["n" * n for n in (1, 2, 63, 64, 65, 127, 128, 1024)] + ["blk.0.attn_q.weight\n\x1b[31m", b"\xff\xfe.weight", "", "=.weight", "*", "blk..weight", "blk.99999999999999.attn_q.weight"]
write(f"{T}/m.gguf", [(name, *matrix("x", (2, 256))[1:]) for name in names] + [BASE])
for target in (("--type", "Q4_K_M"), ("--bpw", "30"), ("--type", "Q8_0", "--tensor-type", "*=Q4_0", "--recipe", f"{T}/r")):
    ran = quantize(f"{T}/m.gguf", f"{T}/o.gguf", *target, "--force", "-v")
    one, two = File(f"{T}/m.gguf"), File(f"{T}/o.gguf")
    two.check_layout()
    assert [t.name for t in one.tensors] == [t.name for t in two.tensors]
    assert not any(ord(c) < 32 and c != "\n" for c in ran.err), ran.err
    assert all(one.bytes(t.name) == two.bytes(t.name) for t in one.tensors[:-1])
    assert two.by_name[UP].type != "F32" or target[0] == "--bpw"
assert not any(c < 32 and c != 10 for c in open(f"{T}/r", "rb").read())
END_PY
}

@test "types that LoRT does not know, and integers, stay byte by byte" {
    hostile <<'END_PY'
blob = bytes(range(250)) * 20
for order in (0, 1):
    tensors = [(Q, [64, 256], 156, blob), BASE, (K, [8, 256], "I32", bytes(range(256)) * 32)]
    write(f"{T}/m.gguf", tensors if order else tensors[1:] + tensors[:1])
    for target in (("--type", "Q4_K_M"), ("--bpw", "30")):
        ran = quantize(f"{T}/m.gguf", f"{T}/o.gguf", *target, "--force")
        one, two = File(f"{T}/m.gguf"), File(f"{T}/o.gguf")
        assert two.bytes(K) == one.bytes(K) and two.by_name[K].type == "I32" and two.by_name[Q].number == 156
        at = two.start + two.by_name[Q].at
        assert at % 32 == 0 and two.data[at:at + len(blob)] == blob
        assert all(t.at % 32 == 0 for t in two.tensors)
        assert len(ran.warnings("type 156 is unknown")) == 1 == len(ran.warnings()), ran.err
        assert ran.tensors[Q]["action"] == "kept" and ran.tensors[Q]["type"] == "type156"
        again = quantize(f"{T}/o.gguf", f"{T}/p.gguf", "--type", "Q4_K_M", "--force", "--allow-requantize")
        three = File(f"{T}/p.gguf")
        assert three.data[three.start + three.by_name[Q].at:][:len(blob)] == blob
END_PY
}

@test "experts: one row of importance each; an expert without counts gets ones" {
    hostile <<'END_PY'
def imatrix_gguf(path, entries):
    """llama.cpp's form: NAME.in_sum2 [experts, columns] and NAME.counts [experts, 1]."""
    keys = [("general.type", "text", "imatrix"), ("imatrix.datasets", "array", ("text", ["x.txt"])), ("imatrix.chunk_count", "u32", 1), ("imatrix.chunk_size", "u32", 512)]
    tensors = []
    for name, rows, counts in entries:
        tensors.append((f"{name}.in_sum2", [len(rows), len(rows[0])], "F32", [v * (c or 0) for row, c in zip(rows, counts) for v in row]))
        tensors.append((f"{name}.counts", [len(counts), 1], "F32", [float(c) for c in counts]))
    write(path, tensors, keys=keys)
draw = random.Random(9)
EXPS = "blk.0.ffn_up_exps.weight"
write(f"{T}/m.gguf", [matrix(EXPS, (3, 16, 256)), BASE])
rows = [[2**draw.gauss(0, 3) for _ in range(256)] for _ in range(3)]
imatrix_gguf(f"{T}/i.gguf", [(EXPS, rows, [7, 0, 3])])
for target in (("--type", "Q3_K_S"), ("--bpw", "5")):
    ran = quantize(f"{T}/m.gguf", f"{T}/o.gguf", *target, "--imatrix", f"{T}/i.gguf", "--force")
    one, two = File(f"{T}/m.gguf").values(EXPS), File(f"{T}/o.gguf").values(EXPS)
    weights = [w for e, row in enumerate(rows) for w in (row if e != 1 else [1.0] * 256) * 16]
    error = relative(one, two, weights)
    assert abs(error - ran.tensors[EXPS]["weighted_error"]) <= 0.01 * error, (error, ran.tensors[EXPS])
    assert ran.tensors[UP]["weighted_error"] is None
for target in ("full", "stream"):  # each expert by its own row: other rows, other codes
    imatrix_gguf(f"{T}/j.gguf", [(EXPS, [rows[0], rows[1], rows[0]], [7, 0, 3])])
    quantize(f"{T}/m.gguf", f"{T}/a.gguf", "--type", "Q3_K_S", "--mode", target, "--imatrix", f"{T}/i.gguf", "--force")
    quantize(f"{T}/m.gguf", f"{T}/b.gguf", "--type", "Q3_K_S", "--mode", target, "--imatrix", f"{T}/j.gguf", "--force")
    a, b = File(f"{T}/a.gguf").bytes(EXPS), File(f"{T}/b.gguf").bytes(EXPS)
    third = len(a) // 3
    assert a[:2 * third] == b[:2 * third] and a[2 * third:] != b[2 * third:]
END_PY
}

@test "versions 1 and 2, other alignments, keys of other types" {
    hostile <<'END_PY'
tensors = [matrix(Q, (7, 256)), matrix("blk.0.attn_norm.weight", (9,)), BASE]
old_keys = [k for k in KEYS if k[1] not in ("u64", "i64", "f64")]
whole = None
for version in (1, 2, 3):
    for ran, file in both(tensors, version=version, keys=old_keys, targets=TARGETS[:1]) if version > 1 else ():
        whole = whole or file.data
        assert file.data == whole and file.version == 3
    if version == 1:
        write(f"{T}/v1.gguf", tensors, version=1, keys=old_keys)
        quantize(f"{T}/v1.gguf", f"{T}/v1-out.gguf", *TARGETS[0])
        first = File(f"{T}/v1-out.gguf").data
        os.remove(f"{T}/v1.gguf"), os.remove(f"{T}/v1-out.gguf")
assert first == whole
for align in (8, 16, 64, 128, 4096):
    for ran, file in both(tensors, align=align):
        assert file.align == align and file.start % align == 0 and all(t.at % align == 0 for t in file.tensors)
for align in (1, 4, 24, 100):
    for ran, _ in both(tensors, align=align, code=3):
        assert "general.alignment" in ran.err
strange = [("general.architecture", "text", "llama"), ("general.file_type", "text", "x" * 500), ("general.quantization_version", "f32", 1.0), ("z", "array", ("text", ["a"]))]
for ran, file in both(tensors, keys=strange, targets=TARGETS[:1]):
    assert [p[0] for p in file.pairs] == [k[0] for k in strange]
    assert file.keys["general.file_type"] == 15 and file.keys["general.quantization_version"] == 2 and file.keys["z"] == ["a"]
for keys in ([], [("general.architecture", "u32", 1)], [("general.architecture", "text", "no such \u00e9\n")], [("llama.block_count", "i32", -5)] + KEYS[:1],
             KEYS[:1] + [("llama.attention.head_count", "array", ("i32", [])), ("llama.attention.head_count_kv", "text", "4"), ("llama.expert_count", "u64", 2**64 - 1)]):
    for ran, file in both(tensors, keys=keys):
        assert [p[:2] for p in file.pairs][:len(keys)] == [p[:2] for p in File(f"{T}/m.gguf").pairs]
for twice in ("general.name", "general.file_type", "general.alignment"):
    for ran, _ in both(tensors, keys=KEYS + [("general.alignment", "u32", 32), (twice, "u32", 32)], code=3):
        assert f"'{twice}'" in ran.err
END_PY
}

@test "three shards give one file, without split.*, equal to that of the whole" {
    hostile <<'END_PY'
tensors = small(layers=2, wide=256)
write(f"{T}/whole.gguf", tensors)
os.mkdir(f"{T}/s")
cut = [tensors[:5], tensors[5:6], tensors[6:]]
for i, some in enumerate(cut):
    split = [("split.no", "u16", i), ("split.count", "u16", 3), ("split.tensors.count", "i32", len(tensors))]
    write(f"{T}/s/m-0000{i + 1}-of-00003.gguf", some, keys=(KEYS if i == 0 else []) + split)
for target in (("--type", "Q4_K_M"), ("--bpw", "5")):
    quantize(f"{T}/whole.gguf", f"{T}/a.gguf", *target, "--force")
    want = File(f"{T}/a.gguf").data
    for source in [f"{T}/s/m-0000{i}-of-00003.gguf" for i in (1, 2, 3)] + [f"{T}/s"]:
        ran = quantize(source, f"{T}/b.gguf", *target, "--force")
        assert File(f"{T}/b.gguf").data == want, source
        assert ran.report["input"]["files"] == 3
run("compress", f"{T}/s", "-o", f"{T}/s.lort", "--lossless", "-q")
quantize(f"{T}/s.lort", f"{T}/c.gguf", "--bpw", "5")
assert File(f"{T}/c.gguf").data == want
os.remove(f"{T}/s/m-00002-of-00003.gguf")
quantize(f"{T}/s/m-00001-of-00003.gguf", f"{T}/d.gguf", "--type", "Q8_0", code=3)
assert not os.path.exists(f"{T}/d.gguf")
END_PY
}

@test "--keep-split: as many shards, of the same tensors, in a new directory" {
    hostile <<'END_PY'
tensors = small(layers=1)
tensors[5][3][9] = math.nan
os.mkdir(f"{T}/s")
for i, some in enumerate((tensors[:2], tensors[2:6], tensors[6:])):
    split = [("split.no", "u16", i), ("split.count", "u16", 3), ("split.tensors.count", "i32", len(tensors))]
    write(f"{T}/s/m-0000{i + 1}-of-00003.gguf", some, keys=(KEYS if i == 0 else []) + split)
for target in (("--type", "Q4_K_M"), ("--bpw", "7")):
    ran = quantize(f"{T}/s", f"{T}/o", *target, "--keep-split")
    one = quantize(f"{T}/s", f"{T}/o.gguf", *target, "--force")
    assert len(ran.warnings("NaN")) == 1 and sorted(os.listdir(f"{T}/o")) == sorted(os.listdir(f"{T}/s"))
    assert ran.report["output"]["bytes"] == sum(os.path.getsize(f"{T}/o/{n}") for n in os.listdir(f"{T}/o"))
    assert json.loads(run("quantize", f"{T}/s", "--keep-split", "--dry-run", "--json", "-", "--type", "Q8_0").out)["output"]["estimate_high_bytes"] > 0
    whole = File(f"{T}/o.gguf")
    for name in os.listdir(f"{T}/o"):
        was, now = File(f"{T}/s/{name}"), File(f"{T}/o/{name}")
        now.check_layout()
        assert [t.name for t in was.tensors] == [t.name for t in now.tensors]
        assert all(now.keys[k] == was.keys[k] for k in was.keys if k != "general.file_type")
        if target[0] == "--type":
            assert all(now.bytes(t.name) == whole.bytes(t.name) for t in now.tensors)
    assert ran.report["output"]["bpw"] <= 7 or target[0] == "--type"
    quantize(f"{T}/s", f"{T}/o", *target, "--keep-split", "--force", code=9)
    shutil.rmtree(f"{T}/o")
    assert sorted(os.listdir(T)) == ["o.gguf", "s"]
END_PY
}

@test "big-endian, safetensors, quantised: exit 3, and what to do" {
    hostile <<'END_PY'
for ran, _ in both([BASE], order=">", code=3):
    assert "big-endian" in ran.err
data = bytes(4 * 64 * 256)
head = json.dumps({"model.layers.0.mlp.up_proj.weight": {"dtype": "F32", "shape": [64, 256], "data_offsets": [0, len(data)]}}).encode()
with open(f"{T}/m.safetensors", "wb") as out:
    out.write(struct.pack("<Q", len(head)) + head + data)
run("compress", f"{T}/m.safetensors", "-o", f"{T}/s.lort", "-q", "--lossless")
for source in ("m.safetensors", "s.lort"):
    for target in TARGETS:
        ran = quantize(f"{T}/{source}", f"{T}/o.gguf", *target, code=3)
        assert "safetensors" in ran.err and "convert_hf_to_gguf.py" in ran.err, ran.err
os.remove(f"{T}/m.safetensors"), os.remove(f"{T}/s.lort")
write(f"{T}/f.gguf", [matrix(Q), BASE, ("output.weight", [48, 256], "F16", gauss(48 * 256))])
quantize(f"{T}/f.gguf", f"{T}/q.gguf", "--type", "Q6_K", "--tensor-type", "output.weight=F16")
for target in TARGETS:
    ran = quantize(f"{T}/q.gguf", f"{T}/o.gguf", *target, code=3)
    assert Q in ran.err and "Q6_K" in ran.err and "--allow-requantize" in ran.err, ran.err
    ran = quantize(f"{T}/q.gguf", f"{T}/o.gguf", *target, "--allow-requantize")
    check(f"{T}/q.gguf", f"{T}/o.gguf", ran)
    os.remove(f"{T}/o.gguf")
# A type that is there already costs nothing.
ran = quantize(f"{T}/q.gguf", f"{T}/o.gguf", "--type", "Q6_K", "--allow-requantize", "--tensor-type", "output.weight=F16")
assert {t["reason"] for t in ran.report["tensors"]} == {"has the type already"} and File(f"{T}/o.gguf").data == File(f"{T}/q.gguf").data
END_PY
}

@test "a container as the source: the same bytes if it is exact, a warning above 0.02" {
    hostile <<'END_PY'
legacy_imatrix(f"{T}/i.dat", [("blk.0.attn_q.weight", [1.0] * 255 + [50.0])])
run("compress", words[0], "-o", f"{T}/exact.lort", "-q", "--lossless")
run("compress", words[0], "-o", f"{T}/fine.lort", "-q", "--max-error", "0.015")
run("compress", words[0], "-o", f"{T}/coarse.lort", "-q", "--max-error", "0.08")
for how in (("--type", "Q4_K_M"), ("--bpw", "5"), ("--type", "Q2_K", "--imatrix", f"{T}/i.dat"), ("--type", "F16"), ("--type", "Q8_0", "--tensor-type", "*=Q4_0")):
    for mode in ((), ("--mode", "stream", "-T", "1"), ("-T", "3")):
        a = quantize(words[0], f"{T}/a.gguf", *how, *mode, "--force")
        b = quantize(f"{T}/exact.lort", f"{T}/b.gguf", *how, *mode, "--force")
        assert File(f"{T}/a.gguf").data == File(f"{T}/b.gguf").data, (how, mode)
        assert a.warnings() == b.warnings(), b.err
        for x, y in zip(a.report["tensors"], b.report["tensors"]):
            assert all(x[k] == y[k] for k in ("name", "type", "action", "reason", "rel_error", "weighted_error", "bytes_in", "bytes_out")), (x, y)
    assert b.report["input"]["format"] == "lort"
for name, warned in (("fine", 0), ("coarse", 1)):
    ran = quantize(f"{T}/{name}.lort", f"{T}/{name}.gguf", "--type", "Q4_K_M")
    assert len(ran.warnings("relative error of up to")) == warned == len(ran.warnings()), ran.err
    run("restore", f"{T}/{name}.lort", "-o", f"{T}/{name}-f16.gguf", "-q")
    one, two = File(f"{T}/{name}-f16.gguf"), File(f"{T}/{name}.gguf")
    two.check_layout()
    for t in two.tensors:
        error = relative(one.values(t.name), two.values(t.name))
        assert abs(error - ran.tensors[t.name]["rel_error"]) <= 0.02 * error + 1e-3, (t.name, error, ran.tensors[t.name])
quantize(f"{T}/coarse.lort", f"{T}/x.gguf", "--type", "Q4_K_M", "-T", "1")
assert File(f"{T}/x.gguf").data == File(f"{T}/coarse.gguf").data
with open(f"{T}/fine.lort", "r+b") as file:  # damage is found, and nothing is written
    file.seek(os.path.getsize(f"{T}/fine.lort") // 2)
    file.write(b"\xff" * 64)
quantize(f"{T}/fine.lort", f"{T}/y.gguf", "--type", "Q4_K_M", code=8)
assert not os.path.exists(f"{T}/y.gguf")
END_PY
}

@test "a model without tensors or weights" {
    hostile <<'END_PY'
for ran, file in both([], targets=[("--type", "Q4_K_M")]):
    assert file.keys["general.quantization_version"] == 2
for ran, _ in both([], targets=[("--bpw", "4")], code=3):
    assert "no weights" in ran.err, ran.err
for ran, file in both([("blk.0.attn_norm.weight", [256], "F32", gauss(256))], targets=[("--type", "Q4_K_M"), ("--bpw", "64")]):
    assert ran.report["worst_error"] is None and ran.report["mean_error"] is None
END_PY
}

@test "a header that lies is exit 3" {
    hostile <<'END_PY'
write(f"{T}/m.gguf", [matrix(Q), BASE])
data = open(f"{T}/m.gguf", "rb").read()
end = File(f"{T}/m.gguf").start
draw = random.Random(2)
codes = {}
for i in range(40):
    bad = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 8))):
        bad[draw.randrange(end)] = draw.choice((0, 255, draw.randrange(256)))
    if draw.random() < 0.3:
        bad = bad[:draw.randrange(len(bad))]
    with open(f"{T}/bad.gguf", "wb") as out:
        out.write(bad)
    ran = run("quantize", f"{T}/bad.gguf", "-o", f"{T}/o.gguf", "--type", "Q4_0", "-q", code=None)
    assert ran.code in (0, 3), (i, ran.code, ran.err)
    assert ran.code or File(f"{T}/o.gguf").version == 3
    assert ran.code == 0 or not os.path.exists(f"{T}/o.gguf")
    codes[ran.code] = codes.get(ran.code, 0) + 1
    for name in glob.glob(f"{T}/o.gguf*"):
        os.remove(name)
assert codes[3] > 5 and codes[0] > 3, codes
END_PY
}
