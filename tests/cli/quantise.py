#!/usr/bin/env python3
"""Models as other tools leave them, made from real weights, and what must hold after restore.

    quantise.py make METHOD DIR OUT    the safetensors of DIR, with the matrices of its MLPs quantised
    quantise.py layout NAME OUT        a small model of random data in one of the published layouts
    quantise.py moe DIR OUT ROUTER     a mixture of 64 experts cut from the MLPs of DIR
    quantise.py check METHOD A B F     effective weights of quantised modules are equal bit for bit;
                                       every other tensor has a relative error of at most F
    quantise.py same A B PATTERN...    tensors of these names have equal types, shapes and bytes
    quantise.py gguf OUT, gguf_moe OUT N
                                       a block-quantised GGUF; experts of N as llama.expert_count says
    quantise.py types A                name and type of each tensor

METHOD: mlx, gptq, awq, nvfp4, f8. Needs numpy."""
import fnmatch
import glob
import json
import os
import struct
import sys

import numpy as np

RNG = np.random.default_rng(5)
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
FLOATS = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
SIZES = {"U8": 1, "I16": 2, "I8": 1, "F8_E4M3": 1, "F8_E8M0": 1, "BF16": 2, "F16": 2, "I32": 4, "U32": 4, "F32": 4, "I64": 8}
INTEGERS = {"U8": "u1", "I8": "i1", "I32": "<i4", "U32": "<u4", "F8_E4M3": "u1"}


# ---- files ----

def read(path):
    """{name: (dtype, shape, bytes)} of one file or of all safetensors of a directory."""
    out = {}
    for name in sorted(glob.glob(path + "/*.safetensors")) if os.path.isdir(path) else [path]:
        data = open(name, "rb").read()
        n = struct.unpack("<Q", data[:8])[0]
        for key, entry in json.loads(data[8 : 8 + n]).items():
            if key != "__metadata__":
                a, b = entry["data_offsets"]
                out[key] = entry["dtype"], tuple(entry["shape"]), data[8 + n + a : 8 + n + b]
    return out


def write(out, tensors, config=None):
    """OUT is a directory with model.safetensors, and config.json if there is one."""
    head, at = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        assert len(data) == SIZES[dtype] * int(np.prod(shape)), name
        head[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    os.makedirs(out)
    with open(out + "/model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(t[2] for t in tensors.values()))
    if config is not None:
        with open(out + "/config.json", "w") as file:
            json.dump(config, file)


def put(dtype, values):
    values = np.asarray(values)
    if dtype == "BF16":
        bits = np.ascontiguousarray(values, "<f4").view("<u4").astype("u8")
        data = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")
    else:
        data = values.astype({**FLOATS, **INTEGERS, "I64": "<i8", "F8_E8M0": "u1"}[dtype])
    return dtype, values.shape, data.tobytes()


def get(tensor):
    """The numbers of a tensor, or its integers."""
    dtype, shape, data = tensor
    if dtype == "BF16":
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4").reshape(shape)
    return np.frombuffer(data, FLOATS.get(dtype) or INTEGERS[dtype]).reshape(shape)


# ---- element types ----

def f8_values():
    code = np.arange(256)
    exponent, mantissa = code >> 3 & 15, code & 7
    value = np.where(exponent, (1 + mantissa / 8) * 2.0 ** (exponent - 7), mantissa / 8 * 2.0**-6)
    return np.where(code & 0x7F == 0x7F, np.nan, np.where(code & 128, -value, value)).astype("<f4")


F8 = f8_values()
F4 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], "<f4")


def nearest(table, values):
    """The code of the nearest number of an ascending table, for numbers without a sign."""
    places = np.searchsorted((table[1:] + table[:-1]) / 2, np.abs(values))
    return places.astype("u1")


def f8_codes(values):
    return nearest(F8[:127], values) | (np.signbit(values).astype("u1") << 7)


def pack(codes, order=range(8)):
    """Eight codes of 4 bits in each item of 32 bits, along the last axis."""
    parts = codes.reshape(codes.shape[:-1] + (-1, 8)).astype("<u4")
    return sum(parts[..., place] << (4 * i) for i, place in enumerate(order)).astype("<u4")


def unpack(items, order=range(8)):
    parts = np.empty(items.shape + (8,), "<u4")
    for i, place in enumerate(order):
        parts[..., place] = items.view("<u4") >> (4 * i) & 15
    return parts.reshape(items.shape[:-1] + (-1,))


# ---- methods: a matrix [o, i] to the tensors of a module, and back ----

def affine(w, group):
    parts = w.reshape(w.shape[0], -1, group)
    low, high = parts.min(2), parts.max(2)
    return parts, np.maximum((high - low) / 15, 1e-8), low


def make_mlx(w):
    parts, scale, low = affine(w, 64)
    scale, low = get(put("BF16", scale)), get(put("BF16", low))
    codes = np.clip(np.rint((parts - low[..., None]) / scale[..., None]), 0, 15)
    return {"weight": put("U32", pack(codes.reshape(w.shape))), "scales": put("BF16", scale), "biases": put("BF16", low)}


def use_mlx(t):
    codes = unpack(get(t["weight"])).astype("<f4")
    return codes * np.repeat(get(t["scales"]), 64, 1) + np.repeat(get(t["biases"]), 64, 1)


def codes_and_zeros(w):
    parts, scale, low = affine(w, 64)
    scale = get(put("F16", scale)).astype("<f4")
    zero = np.clip(np.rint(-low / scale), 0, 15)
    codes = np.clip(np.rint(parts / scale[..., None]) + zero[..., None], 0, 15).reshape(w.shape)
    return codes, zero, scale


def scaled(codes, zeros, scales):
    """[i, o] with [i/64, o] zeros and scales."""
    return (codes.astype("<f4") - np.repeat(zeros.astype("<f4"), 64, 0)) * np.repeat(scales.astype("<f4"), 64, 0)


def make_gptq(w):
    codes, zero, scale = codes_and_zeros(w)
    return {"qweight": put("I32", pack(codes).T.view("<i4")), "qzeros": put("I32", pack(zero.T).view("<i4")),
            "scales": put("F16", scale.T), "g_idx": put("I32", np.arange(w.shape[1]) // 64)}


def use_gptq(t):
    codes = unpack(np.ascontiguousarray(get(t["qweight"]).T)).T
    return scaled(codes, unpack(get(t["qzeros"])), get(t["scales"])).T


def make_awq(w):
    codes, zero, scale = codes_and_zeros(w)
    return {"qweight": put("I32", pack(codes.T, AWQ_ORDER).view("<i4")),
            "qzeros": put("I32", pack(zero.T, AWQ_ORDER).view("<i4")), "scales": put("F16", scale.T)}


def use_awq(t):
    return scaled(unpack(get(t["qweight"]), AWQ_ORDER), unpack(get(t["qzeros"]), AWQ_ORDER), get(t["scales"])).T


def make_nvfp4(w):
    parts = w.reshape(w.shape[0], -1, 16)
    whole = np.float32(np.abs(w).max() / (6 * 448))
    scale = f8_codes(np.maximum(np.abs(parts).max(2) / 6 / whole, 0.002))
    unit = (F8[scale] * whole)[..., None]
    codes = (nearest(F4[:8], parts / unit) | (np.signbit(parts).astype("u1") << 3)).reshape(w.shape)
    return {"weight": put("U8", codes[:, 0::2] | codes[:, 1::2] << 4), "weight_scale": put("F8_E4M3", scale),
            "weight_scale_2": put("F32", whole)}


def use_nvfp4(t):
    pairs = get(t["weight"])
    codes = np.stack([pairs & 15, pairs >> 4], -1).reshape(pairs.shape[0], -1)
    return F4[codes] * np.repeat(F8[get(t["weight_scale"])], 16, 1) * get(t["weight_scale_2"])


def make_f8(w):
    scale = get(put("BF16", np.abs(w).max(1, keepdims=True) / 448))
    return {"weight": put("F8_E4M3", f8_codes(w / scale)), "weight_scale": put("BF16", scale)}


def use_f8(t):
    return F8[get(t["weight"])] * get(t["weight_scale"])


METHODS = {"mlx": (make_mlx, use_mlx, {"quantization": {"group_size": 64, "bits": 4}}),
           "gptq": (make_gptq, use_gptq, {"quantization_config": {"quant_method": "gptq", "bits": 4}}),
           "awq": (make_awq, use_awq, {"quantization_config": {"quant_method": "awq", "bits": 4}}),
           "nvfp4": (make_nvfp4, use_nvfp4, {"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4"}}),
           "f8": (make_f8, use_f8, None)}


def is_quantised(name):
    return ".mlp." in name and name.endswith("_proj.weight")


def make(method, source, out):
    tensors = {}
    for name, tensor in read(source).items():
        if not is_quantised(name):
            tensors[name] = tensor
            continue
        w = get(tensor).astype("<f4")
        parts = METHODS[method][0](w)
        error = np.linalg.norm(METHODS[method][1](parts) - w) / np.linalg.norm(w)
        assert error < 0.2, (name, error)  # a quantiser that works
        tensors.update({name[: -len("weight")] + part: t for part, t in parts.items()})
    write(out, tensors, METHODS[method][2])


def modules_of(tensors):
    modules = {}
    for name, tensor in tensors.items():
        module, part = name.rsplit(".", 1)
        if is_quantised(module + ".weight"):
            modules.setdefault(module, {})[part] = tensor
    return modules


def check(method, a, b, bound):
    before, after = read(a), read(b)
    assert before.keys() == after.keys()
    one, other = modules_of(before), modules_of(after)
    assert one and one.keys() == other.keys()
    for module, parts in one.items():
        assert {p: t[:2] for p, t in parts.items()} == {p: t[:2] for p, t in other[module].items()}, module
        x, y = METHODS[method][1](parts), METHODS[method][1](other[module])
        assert x.tobytes() == y.tobytes(), module
    changed = 0
    for name, tensor in before.items():
        if name.rsplit(".", 1)[0] in one:
            continue
        x, y = get(tensor).astype("f8"), get(after[name]).astype("f8")
        error = np.linalg.norm(x - y) / np.linalg.norm(x)
        changed += error > 0
        assert error <= np.hypot(float(bound), 0.002), (name, error)  # BF16 rounds what is restored
    print(len(one), "modules,", changed, "other tensors changed")


def same(a, b, *patterns):
    before, after = read(a), read(b)
    for pattern in patterns:
        names = fnmatch.filter(before, pattern)
        assert names, pattern
        for name in names:
            assert before[name] == after[name], name


# ---- mixtures ----

def moe(source, out, router, experts=64):
    """One layer. The experts are cut from the rows of all MLPs, the routers from the rows of the head."""
    weights = read(source)

    def rows(part, axis):
        parts = [get(t) for n, t in weights.items() if n.endswith(part + "_proj.weight")]
        return np.concatenate([p if axis == 0 else p.T for p in parts])

    gate, up, down = rows("gate", 0), rows("up", 0), rows("down", 1)
    head = get(weights["lm_head.weight"])
    tensors = {"model.embed_tokens.weight": weights["lm_head.weight"]}
    wide = len(gate) // experts
    assert wide >= 32
    at = "model.layers.0.mlp."
    tensors[at + router] = put("BF16", head[64 : 64 + experts])
    tensors[at + "shared_expert_gate.weight"] = put("BF16", head[200:201])
    tensors[at + "router.bias"] = put("F32", head[0, :experts])
    for e in range(experts):
        cut = slice(e * wide, (e + 1) * wide)
        for name, values in (("gate", gate[cut]), ("up", up[cut]), ("down", down[cut].T)):
            tensors[at + "experts.%d.%s_proj.weight" % (e, name)] = put("BF16", values)
    write(out, tensors, {"model_type": "x", "num_experts": experts})


# ---- layouts ----

def noise(*shape, scale=0.02):
    return RNG.standard_normal(shape) * scale


def packed(dtype, *shape):
    return dtype, shape, RNG.integers(0, 256, int(np.prod(shape)) * SIZES[dtype], dtype="u1").tobytes()


def f8(*shape):
    return put("F8_E4M3", f8_codes(noise(*shape, scale=50)))


def scale(*shape, dtype="BF16"):
    return put(dtype, np.abs(noise(*shape)) + 0.004)


def layout_awq():
    n = "m.0.gate_proj."
    return ({n + "qweight": packed("I32", 512, 16), n + "qzeros": packed("I32", 4, 16), n + "scales": scale(4, 128, dtype="F16"),
             "m.1.up.weight": f8(128, 64), "m.1.up.weight_scale": scale(128, 1)},
            {"quantization_config": {"quant_method": "awq"}})


def layout_ct():
    tensors = {}
    for n, bad in (("m.0.a.", False), ("m.0.b.", True)):
        tensors[n + "weight_packed"] = packed("I32", 64, 128)
        tensors[n + "weight_scale"] = put("BF16", np.full((64, 32), np.nan) if bad else np.abs(noise(64, 32)))
        tensors[n + "weight_shape"] = put("I64", np.array([64, 1024]))
    return {**tensors, "lm_head.weight": put("BF16", noise(128, 256))}, \
        {"quantization_config": {"quant_method": "compressed-tensors", "ignore": ["lm_head"]}}


def layout_fp8_block():
    return {"m.3.o_proj.weight": f8(4096, 4224), "m.3.o_proj.weight_scale_inv": scale(32, 33, dtype="F32"),
            "m.3.norm.weight": put("BF16", np.ones(128))}, {"quantization_config": {"quant_method": "fp8"}}


def layout_comfy():
    tensors = {"scaled_fp8": ("F8_E4M3", (0,), b"")}
    for n in ("b.0.to_q.", "b.0.net.0.proj."):
        tensors.update({n + "weight": f8(64, 128), n + "scale_weight": put("F32", [1.3e-3]), n + "scale_input": put("F32", [1.0])})
    return tensors, None


def layout_bnb():
    tensors = {}
    for n in ("m.0.q_proj.weight", "m.0.down_proj.weight"):
        state = np.frombuffer(b'{"quant_type":"nf4"}', "u1")
        tensors.update({n: packed("U8", 4096, 1), n + ".absmax": packed("U8", 128), n + ".nested_absmax": scale(1, dtype="F32"),
                        n + ".nested_quant_map": put("F32", np.linspace(-1, 1, 256)), n + ".quant_map": put("F32", np.linspace(-1, 1, 16)),
                        n + ".quant_state.bitsandbytes__nf4": put("U8", state)})
    return {**tensors, "m.vision.proj.weight": put("BF16", noise(128, 128))}, \
        {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}


def layout_mxfp4():
    n = "m.0.experts.gate_up_proj"
    return {n + "_blocks": packed("U8", 4, 64, 2, 16), n + "_scales": packed("U8", 4, 64, 2), n + "_bias": put("BF16", noise(4, 64)),
            "m.0.router.weight": put("BF16", noise(64, 64)), "m.0.q_proj.weight": put("BF16", noise(128, 128))}, \
        {"quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn"]}}


def layout_deepseek4():
    return {"m.0.w1.weight": packed("I8", 128, 64), "m.0.w1.scale": packed("F8_E8M0", 128, 4),
            "m.0.w2.weight": f8(128, 128), "m.0.w2.scale": packed("F8_E8M0", 1, 1)}, None


def layout_unknown():
    """A method that is in no table: code books of a name of their own."""
    return {"m.0.a.codes": packed("I16", 64, 64), "m.0.a.books": put("F16", noise(64, 64)),
            "m.0.b.weight": put("BF16", noise(128, 128))}, None


def layout_constants():
    mask = np.tril(np.ones((256, 256)))[None, None]
    angles = np.outer(np.arange(256), 1e4 ** (-np.arange(64) / 64))
    zero = np.zeros((64, 128))
    return {"wte.weight": put("F32", noise(256, 128)), "h.0.attn.bias": put("F32", mask), "h.1.attn.bias": put("F32", mask),
            "h.0.attn.masked_bias": put("F32", -1e4), "h.0.attn.c_attn.weight": put("F32", noise(128, 384)),
            "h.0.rotary_emb.cos_cached": put("F32", np.cos(angles)[None, None]), "h.0.rotary_emb.inv_freq": put("F32", angles[1]),
            "h.0.experts.3.up_proj.weight": put("F32", zero), "h.0.experts.4.up_proj.weight": put("F32", noise(64, 128))}, None


def layout(name, out):
    write(out, *globals()["layout_" + name]())


def gguf(out):
    """Two Q8_0 matrices and a vector."""
    def blocks():
        return b"".join(np.float16(0.01).tobytes() + RNG.integers(-127, 128, 32, dtype="i1").tobytes() for _ in range(128 * 4))
    write_gguf(out, 0, [("blk.0.attn_q.weight", (128, 128), 8, blocks()), ("blk.0.attn_k.weight", (128, 128), 8, blocks()),
                        ("blk.0.attn_norm.weight", (128,), 0, np.ones(128, "<f4").tobytes())])


def gguf_moe(out, count):
    """Two of `count` experts, a router whose name says nothing, and a matrix of another width."""
    write_gguf(out, int(count), [(name, dims, 1, noise(*dims).astype("<f2").tobytes()) for name, dims in
                                 (("blk.0.ffn_up.0.weight", (64, 96)), ("blk.0.ffn_up.1.weight", (64, 96)),
                                  ("blk.0.choice.weight", (64, 40)), ("blk.0.mixer.weight", (80, 40)))])


def write_gguf(out, experts, tensors):
    def text(t):
        return struct.pack("<Q", len(t)) + t.encode()

    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 2) + text("general.architecture") + struct.pack("<I", 8) + text("llama")
    head += text("llama.expert_count") + struct.pack("<II", 4, experts)
    at, data = 0, b""
    for name, dims, kind, part in tensors:
        head += text(name) + struct.pack("<I%dQIQ" % len(dims), len(dims), *dims, kind, at)
        part += b"\0" * (-len(part) % 32)
        data += part
        at += len(part)
    with open(out, "wb") as file:
        file.write(head + b"\0" * (-len(head) % 32) + data)


def types(path):
    for name, (dtype, shape, _) in read(path).items():
        print(name, dtype, *shape)


if __name__ == "__main__":
    {f.__name__: f for f in (make, layout, moe, check, same, types, gguf, gguf_moe)}[sys.argv[1]](*sys.argv[2:])
