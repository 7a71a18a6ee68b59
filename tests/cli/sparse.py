#!/usr/bin/env python3
"""Writes a large model that takes little disk: the headers of its real shapes, holes for its weights.

  sparse.py llama-70b|deepseek-gguf|deepseek OUT

deepseek is a directory of safetensors shards, with sides 1/32 of the real ones: shares stay the same, and
the plan need not look into a terabyte. The others are single files. Each tensor begins with
bytes of its own: equal tensors would be stored once, and would cost nothing. The shapes are those of
the configurations of Llama-2-70B and DeepSeek-V3, in BF16.
"""
import json
import math
import os
import struct
import sys


def llama_70b():
    """723 tensors: 80 layers of 9, embedding, norm and head."""
    yield "model.embed_tokens.weight", [32000, 8192]
    for i in range(80):
        for name, shape in (("self_attn.q_proj", [8192, 8192]), ("self_attn.k_proj", [1024, 8192]), ("self_attn.v_proj", [1024, 8192]),
                            ("self_attn.o_proj", [8192, 8192]), ("mlp.gate_proj", [28672, 8192]), ("mlp.up_proj", [28672, 8192]),
                            ("mlp.down_proj", [8192, 28672]), ("input_layernorm", [8192]), ("post_attention_layernorm", [8192])):
            yield f"model.layers.{i}.{name}.weight", shape
    yield "model.norm.weight", [8192]
    yield "lm_head.weight", [32000, 8192]


ATTENTION = (("self_attn.q_a_proj", [1536, 7168]), ("self_attn.q_a_layernorm", [1536]), ("self_attn.q_b_proj", [24576, 1536]),
             ("self_attn.kv_a_proj_with_mqa", [576, 7168]), ("self_attn.kv_a_layernorm", [512]), ("self_attn.kv_b_proj", [32768, 512]),
             ("self_attn.o_proj", [7168, 16384]), ("input_layernorm", [7168]), ("post_attention_layernorm", [7168]))


def mlp(prefix, width):
    yield f"{prefix}.gate_proj.weight", [width, 7168]
    yield f"{prefix}.up_proj.weight", [width, 7168]
    yield f"{prefix}.down_proj.weight", [7168, width]


def deepseek(stacked=False):
    yield "model.embed_tokens.weight", [129280, 7168]
    for i in range(61):
        at = f"model.layers.{i}"
        for name, shape in ATTENTION:
            yield f"{at}.{name}.weight", shape
        if i < 3:
            yield from mlp(f"{at}.mlp", 18432)
            continue
        yield f"{at}.mlp.gate.weight", [256, 7168]
        yield f"{at}.mlp.gate.e_score_correction_bias", [256]
        yield from mlp(f"{at}.mlp.shared_experts", 2048)
        if stacked:
            for name, shape in mlp(f"{at}.mlp.experts", 2048):
                yield name, [256, *shape]
        else:
            for expert in range(256):
                yield from mlp(f"{at}.mlp.experts.{expert}", 2048)
    yield "model.norm.weight", [7168]
    yield "lm_head.weight", [129280, 7168]


def hole(out, begin, sizes):
    """The tensors one after the other: a mark at the begin of each, holes else."""
    at = begin
    for size in sizes:
        out.seek(at)
        hole.mark += 1
        out.write(struct.pack("<Q", hole.mark)[: min(8, size)])
        at += size
    out.truncate(at)


hole.mark = 0


def write_safetensors(path, tensors):
    head, at = {}, 0
    for name, shape in tensors:
        size = 2 * math.prod(shape)
        head[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        hole(out, 8 + len(text), [2 * math.prod(shape) for _, shape in tensors])


def write_shards(folder, tensors, shards):
    os.makedirs(folder)
    names = {}
    for i in range(shards):
        file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
        part = tensors[len(tensors) * i // shards : len(tensors) * (i + 1) // shards]
        write_safetensors(os.path.join(folder, file), part)
        names.update((name, file) for name, _ in part)
    total = sum(2 * math.prod(shape) for _, shape in tensors)
    with open(os.path.join(folder, "model.safetensors.index.json"), "w") as out:
        json.dump({"metadata": {"total_size": total}, "weight_map": names}, out)


def text(word):
    return struct.pack("<Q", len(word)) + word.encode()


def write_gguf(path, tensors):
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 1) + text("general.architecture") + struct.pack("<I", 8) + text("deepseek2")
    at = 0
    for name, shape in tensors:
        head += text(name) + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", n) for n in reversed(shape)) + struct.pack("<IQ", 30, at)
        at += (2 * math.prod(shape) + 31) // 32 * 32
    head += b"\0" * (-len(head) % 32)
    with open(path, "wb") as out:
        out.write(head)
        hole(out, len(head), [(2 * math.prod(shape) + 31) // 32 * 32 for _, shape in tensors])


kind, path = sys.argv[1:]
if kind == "llama-70b":
    write_safetensors(path, list(llama_70b()))
elif kind == "deepseek-gguf":
    write_gguf(path, list(deepseek(stacked=True)))
else:
    write_shards(path, [(name, [max(1, n // 32) for n in shape]) for name, shape in deepseek()], 163)
