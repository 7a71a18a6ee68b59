#!/usr/bin/env python3
"""Pairs of a fine-tune and its base, and what an adapter of them must hold.

    pairs.py make DIR                 all pairs, GGUF and Hugging Face, into DIR
    pairs.py peft DIR BASE TUNED      prints module, rank and error of each module of the PEFT adapter in DIR
    pairs.py gguf FILE BASE TUNED     the same of a GGUF adapter
    pairs.py tensors FILE             names and shapes of a GGUF or safetensors file, a line each

Errors are those of base + adapter against the fine-tune, over the rows of the base. Needs numpy."""
import json
import os
import struct
import sys

import numpy as np

TYPES = {"F32": (0, "<f4"), "F16": (1, "<f2"), "BF16": (30, None)}
RNG = np.random.default_rng(17)


def normal(*shape):
    return (RNG.standard_normal(shape) * 0.05).astype(np.float32)


def low(rows, cols, rank, weight=None):
    """An update of this rank; 3 % of the norm of a weight, if one is given."""
    update = RNG.standard_normal((rows, rank)) @ RNG.standard_normal((rank, cols))
    return (update * (0.1 if weight is None else 0.03 * np.linalg.norm(weight) / np.linalg.norm(update))).astype(np.float32)


def encode(kind, values):
    if kind != "BF16":
        return np.asarray(values).astype(TYPES[kind][1]).tobytes()
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()


def decode(kind, data, shape):
    if kind == "Q8_0":
        blocks = np.frombuffer(data, np.dtype([("d", "<f2"), ("q", "i1", 32)]))
        return (blocks["d"].astype(np.float32)[:, None] * blocks["q"]).reshape(shape)
    if kind == "BF16":
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
    return np.frombuffer(data, TYPES[kind][1]).astype(np.float32).reshape(shape)


# ---- files ----

def text(value):
    return struct.pack("<Q", len(value)) + value.encode()


def write_gguf(path, tensors, arch="llama", keys=()):
    every = [("general.architecture", arch), *keys]
    out = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(every))
    for key, value in every:
        out += text(key) + (struct.pack("<I", 8) + text(value) if isinstance(value, str) else struct.pack("<If", 6, value)
                            if isinstance(value, float) else struct.pack("<II", 4, value))
    offset, data = 0, b""
    for name, (kind, values) in tensors.items():
        out += text(name) + struct.pack(f"<I{values.ndim}Q", values.ndim, *reversed(values.shape)) + struct.pack("<IQ", TYPES[kind][0], offset)
        stored = encode(kind, values)
        data += stored + b"\0" * (-len(stored) % 32)
        offset = len(data)
    with open(path, "wb") as f:
        f.write(out + b"\0" * (-len(out) % 32) + data)


def read_gguf(path):
    with open(path, "rb") as f:
        b = f.read()
    at = 24
    tensors, keys = struct.unpack_from("<QQ", b, 8)

    def take(form):
        nonlocal at
        values = struct.unpack_from("<" + form, b, at)
        at += struct.calcsize("<" + form)
        return values

    def string():
        nonlocal at
        n = take("Q")[0]
        at += n
        return b[at - n:at].decode()

    for _ in range(keys):
        string()
        kind = take("I")[0]
        string() if kind == 8 else take({4: "I", 6: "f"}[kind])
    found = []
    for _ in range(tensors):
        name, n = string(), take("I")[0]
        found.append((name, tuple(reversed(take(f"{n}Q"))), *take("IQ")))
    start = (at + 31) // 32 * 32
    names = {0: "F32", 1: "F16", 8: "Q8_0", 30: "BF16"}
    sizes = {0: 4, 1: 2, 8: 34 / 32, 30: 2}
    return {n: (names[k], s, b[start + o:start + o + int(np.prod(s) * sizes[k])]) for n, s, k, o in found}


def write_hf(folder, tensors, config):
    os.makedirs(folder, exist_ok=True)
    header, data = {}, b""
    for name, (kind, values) in tensors.items():
        stored = encode(kind, values)
        header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": [len(data), len(data) + len(stored)]}
        data += stored
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with open(f"{folder}/model.safetensors", "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head + data)
    with open(f"{folder}/config.json", "w", encoding="utf-8") as f:
        json.dump(config, f)


def read_safetensors(path):
    with open(path, "rb") as f:
        b = f.read()
    n = struct.unpack("<Q", b[:8])[0]
    header = json.loads(b[8:8 + n])
    header.pop("__metadata__", None)
    return {k: (v["dtype"], tuple(v["shape"]), b[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]]) for k, v in header.items()}


# ---- the pairs ----

def changed(tensors, **updates):
    out = dict(tensors)
    for name, update in updates.items():
        kind, values = out[name]
        out[name] = (kind, values + update)
    return out


def make_gguf(folder):
    base = {"token_embd.weight": ("F16", normal(100, 64)), "output.weight": ("F16", normal(100, 64)), "output_norm.weight": ("F32", normal(64) + 1),
            "blk.0.attn_q.weight": ("F16", normal(64, 64)), "blk.0.attn_q.bias": ("F32", normal(64)), "blk.0.ffn_up.weight": ("F16", normal(128, 64)),
            "blk.0.ffn_up_exps.weight": ("F16", normal(4, 96, 64)), "blk.0.other.weight": ("F16", normal(64, 64))}
    q, up, e = (base[n][1] for n in ("blk.0.attn_q.weight", "blk.0.ffn_up.weight", "token_embd.weight"))
    tuned = changed(base, **{"blk.0.attn_q.weight": low(64, 64, 5, q), "blk.0.ffn_up.weight": low(128, 64, 3, up), "token_embd.weight": low(100, 64, 4, e)})
    experts = np.zeros((4, 96, 64), np.float32)
    experts[0], experts[2] = low(96, 64, 3), low(96, 64, 6)
    grown = dict(tuned, **{"output.weight": ("F16", np.concatenate([base["output.weight"][1] + low(100, 64, 2), normal(7, 64)]))})
    tied = {n: t for n, t in base.items() if n != "output.weight"}
    nan = changed(tuned, **{"blk.0.attn_q.weight": np.where(np.arange(4096).reshape(64, 64) == 77, np.nan, 0)})
    heads = [("llama.attention.head_count", 8)]
    for name, tensors in {"base": base, "tuned": tuned, "norm": changed(tuned, **{"output_norm.weight": 0.1}), "bias": changed(tuned, **{"blk.0.attn_q.bias": 0.1}),
                          "only-norm": changed(base, **{"output_norm.weight": 0.1}), "grown": grown, "nan": nan,
                          "experts": changed(base, **{"blk.0.ffn_up_exps.weight": experts}), "other": changed(base, **{"blk.0.other.weight": low(64, 64, 2)}),
                          "shape": dict(tuned, **{"blk.0.ffn_up.weight": ("F16", normal(120, 64))}), "tied": tied,
                          "tied-tuned": changed(tied, **{"token_embd.weight": low(100, 64, 2)}),
                          "noise": changed(base, **{"blk.0.ffn_up.weight": (RNG.standard_normal((128, 64)) * 2e-6).astype(np.float32)}),
                          "f32": {n: ("F32", decode(k, encode(k, v), v.shape)) for n, (k, v) in base.items()}}.items():
        write_gguf(f"{folder}/{name}.gguf", tensors)
    write_gguf(f"{folder}/arch.gguf", tuned, "qwen2")
    write_gguf(f"{folder}/heads.gguf", tuned, keys=[(heads[0][0], 4)])
    write_gguf(f"{folder}/heads-base.gguf", base, keys=heads)
    write_gguf(f"{folder}/rope.gguf", tuned, keys=[("llama.rope.freq_base", 5e5)])
    write_gguf(f"{folder}/rope-base.gguf", base, keys=[("llama.rope.freq_base", 1e4)])


def make_hf(folder):
    base = {"model.embed_tokens.weight": ("BF16", normal(100, 64)), "lm_head.weight": ("BF16", normal(100, 64)), "model.norm.weight": ("BF16", normal(64) + 1),
            "model.norm.bias": ("BF16", normal(64)), "layers.1.q_proj.weight": ("BF16", normal(96, 64)), "layers.1.q_proj.bias": ("BF16", normal(96)),
            "layers.11.q_proj.weight": ("BF16", normal(96, 64))}
    base = {n: (k, decode(k, encode(k, v), v.shape)) for n, (k, v) in base.items()}
    names = {"model.embed_tokens.weight": 2, "layers.1.q_proj.weight": 5, "layers.11.q_proj.weight": 2}
    tuned = changed(base, **{n: low(*base[n][1].shape, r, base[n][1]) for n, r in names.items()})
    config = {"model_type": "llama", "num_attention_heads": 4}
    for name, tensors in {"hf-base": base, "hf": tuned, "hf-norm": changed(tuned, **{"model.norm.bias": 0.1}),
                          "hf-only-norm": changed(base, **{"model.norm.weight": 0.1}), "hf-bias": changed(tuned, **{"layers.1.q_proj.bias": 0.1})}.items():
        write_hf(f"{folder}/{name}", tensors, config)
    write_hf(f"{folder}/hf-other", tuned, dict(config, model_type="qwen2"))
    tied = {n: t for n, t in base.items() if n != "lm_head.weight"}
    write_hf(f"{folder}/hf-tied-base", tied, config)
    write_hf(f"{folder}/hf-tied", changed(tied, **{"model.embed_tokens.weight": low(100, 64, 2)}), config)
    conv = {"h.0.attn.c_attn.weight": ("BF16", normal(64, 192)), "wte.weight": ("BF16", normal(100, 64))}
    conv = {n: (k, decode(k, encode(k, v), v.shape)) for n, (k, v) in conv.items()}
    write_hf(f"{folder}/gpt2-base", conv, {"model_type": "gpt2"})
    write_hf(f"{folder}/gpt2", changed(conv, **{"h.0.attn.c_attn.weight": low(64, 192, 6, conv["h.0.attn.c_attn.weight"][1])}), {"model_type": "gpt2"})


# ---- what an adapter holds ----

def say(name, rank, update, base, tuned):
    want = decode(*tuned).astype(np.float64) - decode(*base)
    print(f"{name} {rank} {np.linalg.norm(update - want) / np.linalg.norm(want):.4f}")


def check_peft(folder, base, tuned):
    found, a, b = (read_safetensors(f) for f in (f"{folder}/adapter_model.safetensors", f"{base}/model.safetensors", f"{tuned}/model.safetensors"))
    with open(f"{folder}/adapter_config.json", encoding="utf-8") as f:
        config = json.load(f)
    for name in found:
        module = name[len("base_model.model."):]
        for end, other in ((".lora_A.weight", ".lora_B.weight"), (".lora_embedding_A", ".lora_embedding_B")):
            if module.endswith(end):
                module = module[:-len(end)]
                left, right = decode(*swap(found[name.replace(end, other)])), decode(*swap(found[name]))
                key = module.replace(".", "\\.")
                rank = config["rank_pattern"].get(key, config["r"])
                assert rank == config["alpha_pattern"].get(key, config["lora_alpha"]) == right.shape[0], module
                assert module in config["target_modules"], module
                update = left @ right
                turned = "embedding" in end or (config["fan_in_fan_out"] and module.endswith("c_attn"))
                say(module, rank, update.T if turned else update, swap(a[module + ".weight"]), swap(b[module + ".weight"]))


def swap(tensor):
    """(kind, data, shape), as decode takes it."""
    return tensor[0], tensor[2], tensor[1]


def check_gguf(path, base, tuned):
    found, a, b = read_gguf(path), read_gguf(base), read_gguf(tuned)
    for name in found:
        if name.endswith(".lora_a"):
            first, second = decode(*swap(found[name])), decode(*swap(found[name[:-1] + "b"]))
            of = name[:-len(".lora_a")]
            update = first @ second.T if of == "token_embd.weight" else second @ first
            base_values, tuned_values = decode(*swap(a[of])).astype(np.float64), decode(*swap(b[of]))
            want = tuned_values[:base_values.shape[0]] - base_values
            print(f"{of} {second.shape[-1]} {np.linalg.norm(update - want) / np.linalg.norm(want):.4f}")


def say_all(path):
    read = read_gguf if path.endswith(".gguf") else read_safetensors
    for name, (kind, shape, _) in read(path).items():
        print(name, kind, "x".join(map(str, shape)))


def main():
    what, *rest = sys.argv[1:]
    if what == "make":
        make_gguf(rest[0])
        make_hf(rest[0])
    else:
        {"peft": check_peft, "gguf": check_gguf, "tensors": say_all}[what](*rest)


main()
