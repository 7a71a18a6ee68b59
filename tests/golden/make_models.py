#!/usr/bin/env python3
"""make_models.py DIR: writes the small models whose containers stand in tests/golden (make_containers.sh compresses them).

    tiny.gguf         matrices and vectors of every way to store a tensor: F32, F16, BF16, Q8_0, Q4_0, Q6_K
    tiny-hf/          two shards with an index, a stack of experts with a slice of zeros, BF16, F32, F64, I64, two side files
    wide.safetensors  one matrix wider than a block of integers
    both.safetensors  two experts under a strong component, large enough for factors beside integers in each version
    one.safetensors   one matrix, for factors of a rank above 1
    tuned.gguf        a fine-tune of tiny.gguf: every third number differs
    imatrix.dat       importances of the columns of tiny.gguf, in the legacy form
    rows.safetensors  an embedding whose rows have norms over eight octaves, a head with its bytes, a convolution, huge weights
    tree/             a pipeline of two folders with tensors of the same name
    fork.gguf         a tensor of a type that no table has

Every number comes from integers of random.Random and exact arithmetic, so each machine writes the same bytes.
"""
import json
import os
import random
import struct
import sys

rng = random.Random(14)


def noise():
    """About normal, of standard deviation 1, an exact binary number."""
    return (sum(rng.getrandbits(8) for _ in range(12)) - 1530) / 256


def matrix(rows, cols, scale=0.02, rank=1, strength=1):
    """A few components above noise, and some outliers. A strong component is worth factors beside integers."""
    out = [[noise() / 2 for _ in range(cols)] for _ in range(rows)]
    for _ in range(rank):
        left, right = [noise() for _ in range(rows)], [noise() for _ in range(cols)]
        out = [[x + strength * a * b for x, b in zip(row, right)] for row, a in zip(out, left)]
    for _ in range(rows * cols // 500):
        out[rng.randrange(rows)][rng.randrange(cols)] *= 16
    return [x * scale for row in out for x in row]


def f32(values):
    return struct.pack(f"<{len(values)}f", *values)


def f16(values):
    return struct.pack(f"<{len(values)}e", *values)


def bf16(values):
    data = f32(values)
    return b"".join(data[i + 2 : i + 4] for i in range(0, len(data), 4))


def blocks(count, size, halves):
    """Blocks of random bytes whose scales, at these offsets, are small numbers."""
    out = b""
    for _ in range(count):
        block = bytearray(rng.randbytes(size))
        for at in halves:
            struct.pack_into("<e", block, at, (1 + rng.randrange(64)) / 4096)
        out += block
    return out


def write_gguf(path):
    tensors = [
        ("token_embd.weight", (64, 24), 1, f16(matrix(24, 64))),
        ("blk.0.attn_norm.weight", (64,), 0, f32([1 + noise() / 16 for _ in range(64)])),
        ("blk.0.attn_q.weight", (64, 48), 1, f16(matrix(48, 64))),
        ("blk.0.attn_k.weight", (64, 32), 30, bf16(matrix(32, 64))),
        ("blk.0.attn_v.weight", (64, 40), 0, f32(matrix(40, 64))),
        ("blk.0.ffn_up.weight", (64, 32), 8, blocks(64 * 32 // 32, 34, [0])),
        ("blk.0.ffn_down.weight", (32, 64), 2, blocks(64 * 32 // 32, 18, [0])),
        ("blk.0.ffn_gate.weight", (256, 3), 14, blocks(3, 210, [208])),
    ]

    def text(value):
        return struct.pack("<Q", len(value)) + value.encode()

    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 4)
    head += text("general.architecture") + struct.pack("<I", 8) + text("llama")
    head += text("general.name") + struct.pack("<I", 8) + text("golden")
    head += text("general.file_type") + struct.pack("<II", 4, 1)
    head += text("llama.block_count") + struct.pack("<II", 4, 1)
    at = 0
    for name, dims, kind, data in tensors:
        head += text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, at)
        at += -(-len(data) // 32) * 32
    with open(path, "wb") as file:
        for piece in [head] + [t[3] for t in tensors]:
            file.write(piece + bytes(-len(piece) % 32))
    return -(-len(head) // 32) * 32


def write_tuned(path, base, head):
    with open(base, "rb") as file:
        data = bytearray(file.read())
    for i in range(head, len(data), 6):
        data[i] ^= 1
    with open(path, "wb") as file:
        file.write(data)


def write_safetensors(path, tensors):
    head, at = {}, 0
    for name, dtype, shape, data in tensors:
        head[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(t[3] for t in tensors))


def write_hf(folder):
    os.mkdir(folder)
    experts = bf16(matrix(24, 64, strength=16) + [0.0] * (24 * 64) + matrix(24, 64, 0.5, strength=16))
    shards = [
        [
            ("model.embed_tokens.weight", "BF16", [24, 64], bf16(matrix(24, 64))),
            ("model.layers.0.mlp.experts.up_proj", "BF16", [3, 24, 64], experts),
            ("model.layers.0.input_layernorm.weight", "F32", [64], f32([1 + noise() / 16 for _ in range(64)])),
        ],
        [
            ("model.layers.0.self_attn.q_proj.weight", "F32", [48, 64], f32(matrix(48, 64, strength=16))),
            ("model.layers.0.self_attn.o_proj.weight", "F16", [64, 32], f16(matrix(64, 32, strength=16))),
            ("rope.freqs", "F64", [8], struct.pack("<8d", *(1 / (1 + i) for i in range(8)))),
            ("position_ids", "I64", [16], struct.pack("<16q", *range(16))),
        ],
    ]
    places, total = {}, 0
    for i, tensors in enumerate(shards):
        name = f"model-0000{i + 1}-of-00002.safetensors"
        write_safetensors(os.path.join(folder, name), tensors)
        places.update((t[0], name) for t in tensors)
        total += sum(len(t[3]) for t in tensors)
    with open(os.path.join(folder, "model.safetensors.index.json"), "w", encoding="utf-8") as file:
        json.dump({"metadata": {"total_size": total}, "weight_map": places}, file, indent=2)
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump({"architectures": ["LlamaForCausalLM"], "hidden_size": 64}, file)
    with open(os.path.join(folder, "empty.txt"), "wb"):
        pass


def write_rows(path):
    embedding = [x * 2.0 ** (i // 32 % 9 - 4) for i, x in enumerate(matrix(64, 32))]
    huge = matrix(64, 32, strength=16)
    huge[100], huge[1500] = 3e4, -2e4
    write_safetensors(path, [
        ("model.embed_tokens.weight", "BF16", [64, 32], bf16(embedding)),
        ("model.layers.0.self_attn.q_proj.weight", "BF16", [64, 32], bf16(huge)),
        ("model.layers.0.conv.weight", "F16", [32, 16, 3], f16(matrix(32, 48))),
        ("lm_head.weight", "BF16", [64, 32], bf16(embedding)),
    ])


def write_tree(folder):
    for part in ("unet", "vae"):
        os.makedirs(os.path.join(folder, part))
        write_safetensors(os.path.join(folder, part, "model.safetensors"), [("w", "F32", [32, 32], f32(matrix(32, 32)))])
    with open(os.path.join(folder, "model_index.json"), "w", encoding="utf-8") as file:
        json.dump({"_class_name": "Golden"}, file)


def write_fork(path):
    def text(value):
        return struct.pack("<Q", len(value)) + value.encode()

    known, raw = f32(matrix(32, 32)), rng.randbytes(416)
    head = b"GGUF" + struct.pack("<IQQ", 3, 2, 1) + text("general.architecture") + struct.pack("<I", 8) + text("llama")
    head += text("a") + struct.pack("<IQQIQ", 2, 32, 32, 0, 0) + text("b") + struct.pack("<IQQIQ", 2, 64, 13, 156, len(known))
    with open(path, "wb") as file:
        file.write(head + bytes(-len(head) % 32) + known + raw)


def write_imatrix(path):
    names = {"blk.0.attn_q.weight": 64, "blk.0.attn_k.weight": 64, "blk.0.attn_v.weight": 64, "token_embd.weight": 64}
    with open(path, "wb") as file:
        file.write(struct.pack("<i", len(names)))
        for name, count in names.items():
            file.write(struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", 1, count))
            file.write(f32([2.0 ** rng.randrange(-4, 5) for _ in range(count)]))


def main():
    folder = sys.argv[1]
    head = write_gguf(os.path.join(folder, "tiny.gguf"))
    write_tuned(os.path.join(folder, "tuned.gguf"), os.path.join(folder, "tiny.gguf"), head)
    write_hf(os.path.join(folder, "tiny-hf"))
    write_safetensors(os.path.join(folder, "wide.safetensors"), [("model.layers.0.mlp.up_proj.weight", "BF16", [16, 8448], bf16(matrix(16, 8448)))])
    experts = matrix(64, 128, strength=16) + matrix(64, 128, 0.5, strength=16)
    write_safetensors(os.path.join(folder, "both.safetensors"), [("model.layers.0.mlp.experts.up_proj", "BF16", [2, 64, 128], bf16(experts))])
    write_safetensors(os.path.join(folder, "one.safetensors"), [("model.layers.0.mlp.up_proj.weight", "F32", [40, 48], f32(matrix(40, 48, 0.02, 6)))])
    write_imatrix(os.path.join(folder, "imatrix.dat"))
    write_rows(os.path.join(folder, "rows.safetensors"))
    write_tree(os.path.join(folder, "tree"))
    write_fork(os.path.join(folder, "fork.gguf"))


main()
