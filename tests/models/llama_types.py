#!/usr/bin/env python3
"""The types that llama.cpp's own library gives to tensors, beside the recorded ones.

    LORT_ORACLE=FOLDER tests/models/llama_types.py [--write]

FOLDER holds node_modules/@node-llama-cpp. The script makes headers of models, small and without
real weights, and takes real models of ../shared/models. It calls llama_model_quantize for each mix,
without and with an importance matrix, and pure. It compares all types with
tests/golden/llama_types.tsv, which tests/unit/compress/quantize/test_mixes.c reads. --write writes
that file instead. Without LORT_ORACLE the script skips itself. Standard library only."""
import ctypes
import glob
import os
import re
import struct
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SHARED = os.path.join(ROOT, "..", "shared", "models")
TABLE = os.path.join(ROOT, "tests", "golden", "llama_types.tsv")
MIXES = {"F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "Q2_K": 10, "Q3_K_S": 11, "Q3_K_M": 12, "Q3_K_L": 13, "Q4_K_S": 14, "Q4_K_M": 15,
         "Q5_K_S": 16, "Q5_K_M": 17, "Q6_K": 18, "Q2_K_S": 21, "IQ4_NL": 25, "IQ4_XS": 30, "BF16": 32}
# One letter for each type, in the table. "." stands for: not changed.
LETTERS = {"f16": "h", "bf16": "b", "q4_0": "p", "q4_1": "q", "q5_0": "r", "q5_1": "s", "q8_0": "t", "q2_K": "C", "q3_K": "D", "q4_K": "E", "q5_K": "F", "q6_K": "G",
           "iq4_nl": "n", "iq4_xs": "x"}
IDS = {1: "f16", 30: "bf16", 2: "q4_0", 3: "q4_1", 6: "q5_0", 7: "q5_1", 8: "q8_0", 10: "q2_K", 11: "q3_K", 12: "q4_K", 13: "q5_K", 14: "q6_K", 20: "iq4_nl",
       23: "iq4_xs"}
REAL = ["kjv-3m/kjv-3m-f16.gguf", "kjv-moe/kjv-moe-f16.gguf", "stories260K/stories260K.gguf", "tinystories-656k-gguf/TinyStories-656K-f16.gguf"]
PLAIN = ["attn_q.weight", "attn_k.weight", "attn_v.weight", "attn_output.weight", "ffn_gate.weight", "ffn_up.weight", "ffn_down.weight"]
SMALL = ["attn_v.weight", "ffn_down.weight"]
FUSED = ["attn_qkv.weight", "attn_output.weight", "ffn_up.weight", "ffn_down.weight"]
EXPERTS = PLAIN[:4] + ["ffn_gate_inp.weight", "ffn_gate_exps.weight", "ffn_up_exps.weight", "ffn_down_exps.weight"]
SHARED_EXPERTS = EXPERTS + ["ffn_gate_shexp.weight", "ffn_up_shexp.weight", "ffn_down_shexp.weight"]
LATENT = ["attn_q_a.weight", "attn_q_b.weight", "attn_kv_a_mqa.weight", "attn_kv_b.weight", "attn_k_b.weight", "attn_v_b.weight", "attn_output.weight"] + EXPERTS[4:]
CROSS = ["cross_attn_q.weight", "cross_attn_k.weight", "cross_attn_v.weight", "cross_attn_o.weight"]


def model(arch, layers, heads, kv, experts, names, tied, row=256, ffn=512, more=()):
    """A model as a dict: facts and tensors [(name, ne)], ne fastest first."""
    tensors = [("token_embd.weight", [row, 4]), ("output_norm.weight", [row])] + ([] if tied else [("output.weight", [row, 4])])
    for name in ["attn_norm.weight"] + names:
        width = ffn if "ffn_down" in name else row
        ne = [width] if "norm" in name else [width, 2, 3] if "_exps" in name else [width, 2]
        tensors += [(f"blk.{layer}.{name}", ne) for layer in range(layers)]
    return dict(arch=arch, layers=layers, heads=heads, kv=kv, experts=experts, tensors=tensors + list(more), row=row, path=None, source={})


def encoder(prefixes, layers, row=256):
    tensors = [("token_embd.weight", [row, 4])]
    for prefix in prefixes:
        for name in PLAIN + (CROSS if prefix.startswith("dec") else []):
            tensors += [(f"{prefix}.{layer}.{name}", [2 * row if "ffn_down" in name else row, 2]) for layer in range(layers)]
    return tensors


MODELS = {
    "grouped-32": lambda: model("llama", 32, 32, 8, 0, PLAIN, False),
    "tied-22": lambda: model("llama", 22, 32, 32, 0, PLAIN, True),
    "one-layer": lambda: model("llama", 1, 4, 2, 0, PLAIN, True),
    "seven": lambda: model("llama", 7, 4, 4, 0, PLAIN, False),
    "llama-80": lambda: model("llama", 80, 64, 8, 0, PLAIN, False),
    "llama-80-alone": lambda: model("llama", 80, 64, 64, 0, PLAIN, False),
    "llama-80-halves": lambda: model("llama", 80, 64, 32, 0, PLAIN, False),
    "qwen2-80": lambda: model("qwen2", 80, 64, 64, 0, PLAIN, False),
    "llama-embed-80": lambda: model("llama-embed", 80, 64, 8, 0, SMALL, False),
    "deci-80": lambda: model("deci", 80, 64, 8, 0, SMALL, False),
    "olmo-80": lambda: model("olmo", 80, 64, 64, 0, SMALL, False),
    "jais2-68": lambda: model("jais2", 68, 64, 64, 0, SMALL, False),
    "jais2-80": lambda: model("jais2", 80, 64, 64, 0, SMALL, False),
    "qwen3-80": lambda: model("qwen3", 80, 64, 64, 0, SMALL, False),
    "experts-4-shared": lambda: model("llama", 24, 16, 16, 4, SHARED_EXPERTS, True),
    "experts-8": lambda: model("llama", 32, 32, 8, 8, EXPERTS, False),
    "experts-8-80": lambda: model("llama", 80, 64, 32, 8, EXPERTS, False),
    "experts-4-tied": lambda: model("llama", 24, 16, 16, 4, EXPERTS, True),
    "experts-64": lambda: model("llama", 27, 16, 16, 64, SHARED_EXPERTS, False),
    "latent": lambda: model("llama", 27, 16, 1, 160, LATENT, False),
    "fused": lambda: model("gpt2", 36, 20, 20, 0, FUSED, True, more=[("position_embd.weight", [256, 4])]),
    "falcon": lambda: model("falcon", 32, 71, 1, 0, FUSED, False),
    "falcon-split": lambda: model("falcon", 60, 64, 64, 0, PLAIN, True),
    "rows-128": lambda: model("llama", 16, 4, 2, 0, PLAIN, False, 128, 384),
    "rows-128-tied": lambda: model("llama", 16, 4, 4, 0, PLAIN, True, 128, 256),
    "rows-172": lambda: model("llama", 8, 4, 4, 0, PLAIN, False, 64, 172),
    "strange": lambda: model("llama", 10, 8, 8, 0, PLAIN, True, more=[
        ("v.blk.0.attn_v.weight", [256, 2]), ("blk.3.cross_attn_v.weight", [256, 2]), ("per_layer_token_embd.weight", [256, 4]),
        ("blk.12.attn_v.weight", [256, 2]), ("blk.4.ffn_down.bias", [512]), ("blk.5.ffn_down_norm.weight", [512, 2]), ("blk.6.ffn_down_extra.weight", [512, 2]),
        ("blk.2.ssm_conv1d.weight", [256, 2]), ("blk.2.attn_v2.weight", [256, 2])]),
    "encoder": lambda: dict(arch="t5", layers=12, heads=12, kv=12, experts=0, tensors=encoder(["dec.blk", "enc.blk"], 12), row=256, path=None, source={}),
}


# ---- GGUF ----

def text(s):
    return struct.pack("<Q", len(s.encode())) + s.encode()


def write_gguf(path, m):
    arch = m["arch"]
    keys = [("general.architecture", 8, arch), (f"{arch}.block_count", 4, m["layers"]), (f"{arch}.context_length", 4, 64), (f"{arch}.embedding_length", 4, m["row"]),
            (f"{arch}.feed_forward_length", 4, 512), (f"{arch}.attention.head_count", 4, m["heads"]), (f"{arch}.attention.head_count_kv", 4, m["kv"]),
            (f"{arch}.attention.layer_norm_rms_epsilon", 6, 1e-5), (f"{arch}.attention.layer_norm_epsilon", 6, 1e-5), (f"{arch}.vocab_size", 4, 4),
            (f"{arch}.rope.dimension_count", 4, m["row"] // m["heads"]), (f"{arch}.attention.key_length", 4, m["row"] // m["heads"]),
            (f"{arch}.attention.relative_buckets_count", 4, 32)]
    if m["experts"]:
        keys += [(f"{arch}.expert_count", 4, m["experts"]), (f"{arch}.expert_used_count", 4, 2)]
    out = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(m["tensors"]), len(keys)))
    for key, kind, value in keys:
        out += text(key) + struct.pack("<I", kind) + (text(value) if kind == 8 else struct.pack("<f" if kind == 6 else "<I", value))
    at = 0
    for name, ne in m["tensors"]:
        out += text(name) + struct.pack(f"<I{len(ne)}QIQ", len(ne), *ne, 0, at)
        n = 4
        for dim in ne:
            n *= dim
        at += (n + 31) // 32 * 32
    out += bytes(-len(out) % 32 + at)
    with open(path, "wb") as f:
        f.write(out)


def read_gguf(path):
    """Keys, and tensors [(name, ne, type)]."""
    with open(path, "rb") as f:
        data = f.read()
    at = 4

    def take(form):
        nonlocal at
        values = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize("<" + form)
        return values[0]

    def string():
        nonlocal at
        n = take("Q")
        at += n
        return data[at - n:at].decode(errors="replace")

    def value(kind):
        if kind == 8:
            return string()
        if kind == 9:
            inner, n = take("I"), take("Q")
            return [value(inner) for _ in range(n)]
        return take("BbHhIif?xxQqd"[kind] if kind < 8 else {10: "Q", 11: "q", 12: "d"}[kind])

    take("I")
    n_tensors, n_keys = take("Q"), take("Q")
    keys = {}
    for _ in range(n_keys):
        key = string()
        keys[key] = value(take("I"))
    tensors = []
    for _ in range(n_tensors):
        name = string()
        ne = [take("Q") for _ in range(take("I"))]
        tensors.append((name, ne, take("I")))
        take("Q")
    return keys, tensors


def read_model(path):
    keys, tensors = read_gguf(path)
    arch = keys["general.architecture"]
    heads = keys[f"{arch}.attention.head_count"]
    return dict(arch=arch, layers=keys[f"{arch}.block_count"], heads=heads, kv=keys.get(f"{arch}.attention.head_count_kv", heads),
                experts=keys.get(f"{arch}.expert_count", 0), tensors=[(name, ne) for name, ne, _ in tensors], path=path,
                source={name: LETTERS.get(IDS.get(kind), ".") for name, _, kind in tensors})


# ---- the library ----

class Params(ctypes.Structure):
    _fields_ = [("nthread", ctypes.c_int32), ("ftype", ctypes.c_int), ("output", ctypes.c_int), ("embedding", ctypes.c_int), ("requantize", ctypes.c_bool),
                ("quantize_output", ctypes.c_bool), ("only_copy", ctypes.c_bool), ("pure", ctypes.c_bool), ("keep_split", ctypes.c_bool), ("dry_run", ctypes.c_bool),
                ("imatrix", ctypes.c_void_p), ("overrides", ctypes.c_void_p), ("types", ctypes.c_void_p), ("prune", ctypes.c_void_p), ("most", ctypes.c_size_t)]


class Importance(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("data", ctypes.POINTER(ctypes.c_float)), ("size", ctypes.c_size_t)]


LOG = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


class Library:
    def __init__(self, oracle):
        folder = os.path.join(oracle, "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64")
        for name in ("libggml-base.so", "libggml.v*.so"):
            ctypes.CDLL(glob.glob(os.path.join(folder, name))[0], mode=ctypes.RTLD_GLOBAL)
        self.lib = ctypes.CDLL(glob.glob(os.path.join(folder, "libllama.v*.so"))[0])
        self.lib.llama_model_quantize_default_params.restype = Params
        self.lib.llama_model_quantize.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.POINTER(Params)]
        self.log, self.judged = [], 0
        self.keep = LOG(lambda level, words, data: self.log.append(words.decode(errors="replace")))
        self.lib.llama_log_set(self.keep, None)
        self.lib.llama_backend_init()

    def types(self, source, out, mix, imatrix, pure, dry):
        """{name: letter} as the library says, or None where it refuses."""
        params = self.lib.llama_model_quantize_default_params()
        params.ftype, params.pure, params.dry_run, params.nthread = MIXES[mix], pure, dry, 1
        one = (ctypes.c_float * 1)(1)
        entries = (Importance * 2)(Importance(b"none", one, 1), Importance(None, None, 0))
        if imatrix:
            params.imatrix = ctypes.addressof(entries)
        self.log.clear()
        if self.lib.llama_model_quantize(source.encode(), out.encode(), ctypes.byref(params)):
            return None
        said = "".join(self.log)
        pattern = r"\[ *\d+/ *\d+\] +(\S+) +- \[[^\]]*\], type = +(\S+), (?:\n=.*\n)?(?:size = +[\d.]+ MiB -> +[\d.]+ MiB \((\S+)\)|converting to (\S+) |size = )"
        return {name: LETTERS[new or made] if new or made else "." for name, _, new, made in re.findall(pattern, said)}


def tensor_lines(tensors):
    """A line for each run of tensors of one shape whose names differ by the layer, 0, 1, 2 ..."""
    runs = []
    for name, ne in tensors:
        split = re.match(r"(.*blk\.)(\d+)(\..*)$", name)
        layer, form = (int(split[2]), split[1] + "%d" + split[3]) if split else (0, name)
        if split and runs and runs[-1][0] == form and runs[-1][2] == ne and runs[-1][1] == layer:
            runs[-1][1] += 1
        else:
            runs.append([form, 1, ne] if layer == 0 else [name, 1, ne])
    return ["\t".join(["tensor", form, str(count)] + [str(d) for d in reversed(ne)]) for form, count, ne in runs]


def runs_of(letters):
    """AAAB as 3AB."""
    return re.sub(r"(.)\1+", lambda run: str(len(run[0])) + run[1], letters)


def judge_model(library, name, m, folder, lines, faults):
    source = m["path"] or os.path.join(folder, name + ".gguf")
    if not m["path"]:
        write_gguf(source, m)
    lines.append("\t".join(["model", name, m["arch"]] + [str(m[k]) for k in ("layers", "heads", "kv", "experts")]))
    lines += tensor_lines(m["tensors"])
    last = {}
    for mix in MIXES:
        for how in ("plain", "imatrix", "pure"):
            dry = m["path"] is None or how != "plain" or mix == "Q2_K_S"
            out = os.path.join(folder, "out.gguf")
            types = library.types(source, out, mix, how == "imatrix", how == "pure", dry)
            if types is None:
                faults.append(f"{name} {mix} {how}: refused: {''.join(library.log)[-300:]}")
                continue
            if not dry:
                written = {t: LETTERS.get(IDS.get(kind), ".") for t, _, kind in read_gguf(out)[1]}
                faults += [f"{name} {mix} {t}: said {types.get(t)}, wrote {kind}" for t, kind in written.items() if types.get(t) not in (kind, ".")]
            letters = "".join(m["source"].get(tensor, ".") if types.get(tensor) == "." else types.get(tensor, "?") for tensor, _ in m["tensors"])
            if how == "imatrix" and letters == last["plain"]:
                continue
            last[how] = letters
            library.judged += len(letters)
            lines.append("\t".join(["types", mix, how, runs_of(letters)]))


def main():
    oracle = os.environ.get("LORT_ORACLE")
    if not oracle:
        print("skipped: LORT_ORACLE is not set (a folder with node_modules/@node-llama-cpp)")
        return 0
    library, faults = Library(oracle), []
    lines = ["# The types that llama.cpp's library gives to tensors (tests/models/llama_types.py).",
             "# model NAME ARCH LAYERS HEADS HEADS_KV EXPERTS; tensor NAME COUNT DIMS, slowest first, %d from 0;",
             "# types MIX plain|imatrix|pure LETTERS, one for each tensor, 3h for hhh; no imatrix: as plain.",
             "# " + " ".join(f"{letter}={name}" for name, letter in LETTERS.items()) + " .=F32, as it is"]
    with tempfile.TemporaryDirectory() as folder:
        for name, make in MODELS.items():
            judge_model(library, name, make(), folder, lines, faults)
        for place in REAL:
            path = os.path.join(SHARED, place)
            if os.path.exists(path):
                judge_model(library, os.path.basename(path)[:-5], read_model(path), folder, lines, faults)
            else:
                print(f"skipped: {path} is not there")
    if "--write" in sys.argv[1:]:
        with open(TABLE, "w") as f:
            f.write("\n".join(lines) + "\n")
    with open(TABLE) as f:
        recorded = f.read().splitlines()
    known = set(recorded)
    faults += [f"not recorded: {line}" for line in lines if line not in known]
    for fault in faults[:20]:
        print(fault)
    print(f"{library.judged} types of {sum(line.startswith('model') for line in lines)} models, {len(faults)} differ")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
