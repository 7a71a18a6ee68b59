#!/usr/bin/env python3
"""Bars of `lort extract-lora` (ADAPTERS.md, section 6), each figure beside its bar.

    [LORT_ORACLE=FOLDER] tests/models/adapter_kl.py [--lort LORT] [--keep FOLDER]

In numpy: GPT-2 with lora-gpt2 merged comes back at rank 8; planted updates of rank 8 and 16 come back at exactly these ranks, from Hugging Face models. In
llama.cpp (../shared/oracle/kl.py): what an adapter leaves of the base's KL, with planted updates and on the real fine-tune kjv-3m-ft. The part in llama.cpp needs
FOLDER with node_modules/node-llama-cpp and @node-llama-cpp/linux-x64, and is skipped, saying so, without. Needs ../shared and numpy. Ends with "N passed, N failed"."""
import argparse
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SHARED = os.path.join(ROOT, "..", "shared")
MODELS = os.path.join(SHARED, "models")
ORACLE = os.environ.get("LORT_ORACLE", "")
if not os.path.isdir(MODELS):
    sys.exit("adapter_kl: skipped: ../shared/models is not here")
sys.path.insert(0, os.path.join(SHARED, "oracle"))
import kl  # noqa: E402
import mini  # noqa: E402
import numpy as np  # noqa: E402

PLANTED = {"layers.0.self_attn.q_proj": 16, "layers.0.mlp.up_proj": 8, "layers.1.self_attn.v_proj": 8, "layers.2.mlp.down_proj": 16,
           "layers.3.self_attn.k_proj": 8, "layers.3.self_attn.o_proj": 16}
PLANTED_GGUF = {"blk.0.attn_q": 16, "blk.0.ffn_up": 8, "blk.1.attn_v": 8, "blk.2.ffn_down": 16, "blk.3.attn_k": 8, "blk.3.attn_output": 16}
KJV_BASE, KJV_TUNED = "kjv-3m/kjv-3m-f16.gguf", "kjv-3m-ft/kjv-3m-ft-f16.gguf"
results = []


def bar(what, value, most):
    good = value <= most
    results.append(good)
    print(f"{'ok  ' if good else 'MISS'} {what:<86} {value:<10.5g} bar {most:g}", flush=True)


def numbers(kind, data, shape):
    if kind == "BF16":
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
    return np.frombuffer(data, {"F16": "<f2", "F32": "<f4"}[kind]).astype(np.float32).reshape(shape)


def rounded(kind, values):
    return mini.bf16(values).tobytes() if kind == "BF16" else np.asarray(values).astype({"F16": "<f2", "F32": "<f4"}[kind]).tobytes()


def plant(rng, weight, rank, share):
    update = rng.standard_normal((weight.shape[0], rank)) @ rng.standard_normal((rank, weight.shape[1]))
    return (update * share * np.linalg.norm(weight) / np.linalg.norm(update)).astype(np.float32)


def extract(lort, tuned, base, out, *options):
    report = out.rstrip("/") + ".json"
    done = subprocess.run([lort, "extract-lora", tuned, "--base", base, "-o", out, "--json", report, "-q", *options], stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"adapter_kl: lort extract-lora ended with {done.returncode}: {done.stderr.strip()}")
    with open(report, encoding="utf-8") as f:
        return json.load(f)


def read_hf(folder):
    tensors = {}
    for name in sorted(os.listdir(folder)):
        if name.endswith(".safetensors"):
            tensors.update(mini.st_read(os.path.join(folder, name))[1])
    return tensors


def write_hf(folder, tensors, config):
    os.makedirs(folder)
    mini.st_write(os.path.join(folder, "model.safetensors"), [(n, k, s, d) for n, (k, s, d) in tensors.items()])
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as f:
        json.dump(config, f)


def read_peft(folder):
    """Updates by module, as PEFT adds them (n_out x n_in; embeddings n_vocab x n_embd), with their ranks."""
    tensors = read_hf(folder)
    with open(os.path.join(folder, "adapter_config.json"), encoding="utf-8") as f:
        config = json.load(f)
    found = {}
    for name, (kind, shape, data) in tensors.items():
        for end, other in ((".lora_A.weight", ".lora_B.weight"), (".lora_embedding_A", ".lora_embedding_B")):
            if not name.endswith(end):
                continue
            module = name[len("base_model.model."):-len(end)]
            a = numbers(kind, data, shape)
            b = numbers(*[tensors[name[:-len(end)] + other][i] for i in (0, 2, 1)])
            escaped = module.replace(".", "\\.")
            rank = config["rank_pattern"].get(escaped, config["r"])
            if rank != a.shape[0] or config["alpha_pattern"].get(escaped, config["lora_alpha"]) != rank:
                sys.exit(f"adapter_kl: {module}: rank or alpha of the configuration is not {a.shape[0]}")
            found[module] = ((b @ a).T if "embedding" in end else b @ a, a.shape[0])
    return found, config, tensors


# ---- in numpy ----

def gpt2(lort, folder):
    stored = read_hf(os.path.join(MODELS, "gpt2-attn-bf16-sharded"))
    base = {n: t for n, t in stored.items() if not any(f".attn.{x}." in n for x in "qkv")}
    for layer in range(12):
        at = f"transformer.h.{layer}.attn."
        joined = np.concatenate([numbers("BF16", stored[f"{at}{x}.weight"][2], (768, 768)) for x in "qkv"], axis=1)
        base[at + "c_attn.weight"] = ("BF16", [768, 2304], rounded("BF16", joined))
    adapter = mini.st_read(os.path.join(MODELS, "lora-gpt2/adapter_model.safetensors"))[1]
    tuned, truth = dict(base), {}
    for layer in range(12):
        name = f"transformer.h.{layer}.attn.c_attn"
        a, b = (numbers(*[adapter[f"base_model.model.{name}.lora_{x}.weight"][i] for i in (0, 2, 1)]) for x in "AB")
        truth[name] = b @ a
        weight = numbers("BF16", base[name + ".weight"][2], (768, 2304))
        tuned[name + ".weight"] = ("BF16", [768, 2304], rounded("BF16", weight + truth[name].T))
    config = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}
    write_hf(f"{folder}/gpt2", base, config)
    write_hf(f"{folder}/gpt2-tuned", tuned, config)
    for options in ([], ["--rank", "8"]):
        out = f"{folder}/gpt2-lora{len(options)}"
        extract(lort, f"{folder}/gpt2-tuned", f"{folder}/gpt2", out, *options)
        found, made, _ = read_peft(out)
        label = " ".join(options) or "default"
        bar(f"gpt2, {label}: modules with another rank than 8", sum(r != 8 for _, r in found.values()) + abs(len(found) - 12), 0)
        bar(f"gpt2, {label}: fan_in_fan_out missing", 0 if made["fan_in_fan_out"] else 1, 0)
        bar(f"gpt2, {label}: worst error of an update", max(np.linalg.norm(found[n][0] - t) / np.linalg.norm(t) for n, t in truth.items()), 0.01)
    return base, tuned, truth


def gpt2_gguf(lort, folder, base, tuned, truth):
    for side, tensors in (("base", base), ("tuned", tuned)):
        listed = []
        for layer in range(12):
            weight = numbers("BF16", tensors[f"transformer.h.{layer}.attn.c_attn.weight"][2], (768, 2304))
            listed.append((f"blk.{layer}.attn_qkv.weight", (768, 2304), "BF16", rounded("BF16", np.ascontiguousarray(weight.T))))
        mini.gguf_write(f"{folder}/gpt2-{side}.gguf", [("general.architecture", mini.STR, "gpt2")], listed)
    report = extract(lort, f"{folder}/gpt2-tuned.gguf", f"{folder}/gpt2-base.gguf", f"{folder}/gpt2-lora.gguf", "--outtype", "f32")
    found = read_gguf(f"{folder}/gpt2-lora.gguf")
    errors = {n: np.linalg.norm(found[f"blk.{n.split('.')[2]}.attn_qkv.weight"][0] - t) / np.linalg.norm(t) for n, t in truth.items()}
    bar("gpt2 as GGUF, default: modules with another rank than 8", sum(r != 8 for _, r in found.values()) + abs(len(found) - 12), 0)
    bar("gpt2 as GGUF, default: worst error of an update", max(errors.values()), 0.01)
    worst = 0
    for t in report["tensors"]:
        layer = t["name"].split(".")[1]
        change = numbers("BF16", tuned[f"transformer.h.{layer}.attn.c_attn.weight"][2], (768, 2304)) - numbers(
            "BF16", base[f"transformer.h.{layer}.attn.c_attn.weight"][2], (768, 2304))
        error = np.linalg.norm(found[t["name"]][0] - change.T) / np.linalg.norm(change)
        worst = max(worst, abs(error - t["rel_error"]) / error)
    bar("gpt2 as GGUF: reported error beside numpy's", worst, 0.01)


def read_gguf(path):
    """Updates by tensor, as llama.cpp adds them, with their ranks."""
    tensors = {n: (k, ne, d) for n, ne, k, d in mini.gguf_read(path)[1]}
    found = {}
    for name, (kind, ne, data) in tensors.items():
        if name.endswith(".lora_a"):
            other = tensors[name[:-1] + "b"]
            a, b = plain(kind, data, ne), plain(other[0], other[2], other[1])
            found[name[:-7]] = (a @ b.T if name.startswith("token_embd") else b @ a, other[1][0])
    return found


def plain(kind, data, ne):
    shape = tuple(reversed(ne))
    if kind != "Q8_0":
        return numbers(kind, data, shape)
    blocks = np.frombuffer(data, np.dtype([("d", "<f2"), ("q", "i1", 32)]))
    return (blocks["d"].astype(np.float32)[:, None] * blocks["q"]).astype(np.float32).reshape(shape)


def planted_hf(lort, folder):
    rng = np.random.default_rng(17)
    base = read_hf(os.path.join(MODELS, "kjv-3m/hf"))
    tuned, truth = dict(base), {}
    for name, rank in PLANTED.items():
        kind, shape, data = base[f"model.{name}.weight"]
        weight = numbers(kind, data, shape)
        truth["model." + name] = plant(rng, weight, rank, 0.03)
        tuned[f"model.{name}.weight"] = ("BF16", shape, rounded("BF16", weight + truth["model." + name]))
        base[f"model.{name}.weight"] = ("BF16", shape, rounded("BF16", weight))
    config = {"model_type": "llama"}
    write_hf(f"{folder}/kjv", base, config)
    write_hf(f"{folder}/kjv-tuned", tuned, config)
    for options in ([], ["--energy", "0.98"], ["--max-error", "0.1"]):
        out = f"{folder}/kjv-lora-{'-'.join(options) or 'default'}"
        extract(lort, f"{folder}/kjv-tuned", f"{folder}/kjv", out, *options)
        found, _, _ = read_peft(out)
        label = " ".join(options) or "default"
        wrong = sum(found.get("model." + n, (0, 0))[1] != r for n, r in PLANTED.items())
        bar(f"planted in kjv-3m (HF), {label}: ranks that are not those planted, other modules", wrong + abs(len(found) - len(PLANTED)), 0)
        bar(f"planted in kjv-3m (HF), {label}: worst error of an update", max(np.linalg.norm(found[n][0] - t) / np.linalg.norm(t) for n, t in truth.items()), 0.05)


# ---- in llama.cpp ----

def share(reference, base, adapter, text, context=256):
    rows = kl.measure(reference, text, [base, (base, adapter, 1)], context=context)
    for row in rows:
        if row.error:
            sys.exit(f"adapter_kl: {row.name()}: {row.error}")
    return rows[2].ratio(rows[1])


def planted_gguf(lort, folder):
    rng = np.random.default_rng(18)
    base = os.path.join(MODELS, KJV_BASE)
    keys, tensors = mini.gguf_read(base)
    tuned = []
    for name, ne, kind, data in tensors:
        rank = PLANTED_GGUF.get(name[:-len(".weight")], 8 if name == "token_embd.weight" else 0)
        if rank:
            weight = numbers(kind, data, tuple(reversed(ne)))
            data = rounded(kind, weight + plant(rng, weight, rank, 0.1))
        tuned.append((name, ne, kind, data))
    mini.gguf_write(f"{folder}/planted.gguf", keys, tuned)
    text = os.path.join(MODELS, "kjv-3m/heldout-20k.txt")
    for options, most in (([], 0.01), (["--outtype", "q8_0"], 0.03), (["--outtype", "bf16"], 0.03)):
        out = f"{folder}/planted-lora{len(options)}.gguf"
        extract(lort, f"{folder}/planted.gguf", base, out, "--force", *options)
        found = read_gguf(out)
        bar(f"planted in kjv-3m (GGUF), {' '.join(options) or 'default'}: embedding missing", 0 if "token_embd.weight" in found else 1, 0)
        bar(f"planted in kjv-3m (GGUF), {' '.join(options) or 'default'}: KL that remains, share of the base's", share(f"{folder}/planted.gguf", base, out, text)[0],
            most)


def real(lort, folder):
    base, tuned = os.path.join(MODELS, KJV_BASE), os.path.join(MODELS, KJV_TUNED)
    with open(os.path.join(MODELS, "text/eval-40k.txt"), "rb") as f:
        text = f.read()[-6000:]
    with open(f"{folder}/text.txt", "wb") as f:
        f.write(text)
    plain_f16 = sum(2 * 32 * sum(ne) for _, ne, _, _ in mini.gguf_read(base)[1] if len(ne) > 1)
    low, high = 0.5, 0.999
    for _ in range(12):  # the energy at these bytes
        middle = (low + high) / 2
        report = extract(lort, tuned, base, f"{folder}/ft.gguf", "--drop-unsupported", "--force", "--outtype", "q8_0", "--energy", str(middle))
        if sum(t["bytes_out"] for t in report["tensors"]) <= plain_f16:
            low = middle
        else:
            high = middle
    extract(lort, tuned, base, f"{folder}/ft.gguf", "--drop-unsupported", "--force", "--outtype", "q8_0", "--energy", str(low))
    bar(f"kjv-3m-ft, --energy {low:.4f}, q8_0: KL that remains at {plain_f16} bytes of factors", share(tuned, base, f"{folder}/ft.gguf", f"{folder}/text.txt")[0], 0.006)
    extract(lort, tuned, base, f"{folder}/ft.gguf", "--drop-unsupported", "--force", "--outtype", "q8_0", "--size", str(plain_f16))
    bar(f"kjv-3m-ft, --size {plain_f16}: bytes of the file", os.path.getsize(f"{folder}/ft.gguf"), plain_f16)
    bar(f"kjv-3m-ft, --size {plain_f16}, q8_0: KL that remains", share(tuned, base, f"{folder}/ft.gguf", f"{folder}/text.txt")[0], 0.006)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lort", default=os.path.join(ROOT, "build/release/lort"))
    parser.add_argument("--keep")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as own:
        folder = given.keep or own
        os.makedirs(folder, exist_ok=True)
        gpt2_gguf(given.lort, folder, *gpt2(given.lort, folder))
        planted_hf(given.lort, folder)
        if os.path.isdir(os.path.join(ORACLE, "node_modules/node-llama-cpp")):
            planted_gguf(given.lort, folder)
            real(given.lort, folder)
        else:
            print("adapter_kl: the part in llama.cpp is skipped: LORT_ORACLE names no folder with node-llama-cpp")
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    sys.exit(not all(results))


if __name__ == "__main__":
    main()
