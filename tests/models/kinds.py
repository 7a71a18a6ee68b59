#!/usr/bin/env python3
"""What the error of each kind of tensor costs: GGUF models of F16 or F32 with one kind coded at a time, the others as they are.

    LORT_ORACLE=FOLDER tests/models/kinds.py [LORT] [--errors E ...]

Per kind and relative error: the rise of the loss per token over the original with its standard error over the windows, the mean KL of the next token's distribution, the
bytes saved against coding all losslessly, and KL per saved byte. Last column, `octaves`: KL is taken as S error^2, and bits per weight as -log2(error) plus a
constant; then at the least KL for given bytes the error of a kind of n weights is proportional to sqrt(n / S), and the column says by how many octaves it lies
below the geometric mean of all, weighted by n.
Needs what perplexity.py needs."""
import argparse
import math
import os
import tempfile

import perplexity as p

KINDS = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down", "token_embd", "output.weight")
MODELS = [m[:3] for m in p.MODELS] + [("../shared/models/stories260K/stories260K.gguf", "../shared/models/text/eval-40k.txt", 256)]
WHOLE = ("token_embd", "output.weight")  # names that begin so; the others are parts of layers
CLOSER = {"attn_k": 2, "attn_v": 2 ** 0.75, "token_embd": 2, "output.weight": 4}  # the factor by which compress keeps their errors below the target (compress/goal/kinds.c)


def is_kind(name, kind):
    return name.startswith(kind) if kind in WHOLE else "." + kind + "." in name


def pattern(kind):
    return kind + "*" if kind in WHOLE else "*." + kind + ".*"


def code(lort, model, kinds, kind, error, folder):
    others = [x for k in kinds if k != kind for x in ("--exclude", pattern(k))]
    row = p.lort_row(lort, model, f"{kind} {error}", ["--max-error", str(error * CLOSER.get(kind, 1)), *others], folder)
    mine = [t for t in row.report["tensors"] if is_kind(t["name"], kind)]
    row.kind, row.error = kind, math.sqrt(sum(t["rel_error"] ** 2 for t in mine) / len(mine))
    row.weights, row.coded = sum(math.prod(t["shape"]) for t in mine), sum(t["bytes_out"] for t in mine)
    return row


def print_kinds(original, rows, lossless):
    weights, sensitivity = sum(r.weights for r in rows), {r.kind: r.divergence() / r.error ** 2 / r.weights for r in rows}
    mean = sum(r.weights * math.log2(sensitivity[r.kind]) for r in rows) / weights
    print(f"{'kind':<14} {'weights':>8} {'error':>7} {'saved':>8} {'bits':>6} {'loss above':>20} {'KL':>9} {'KL / error^2':>12} {'KL / saved MB':>13} {'octaves':>8}")
    for r in rows:
        saved, above = lossless[r.kind] - r.coded, r.above(original)
        print(f"{r.kind:<14} {r.weights:>8} {r.error:7.4f} {saved:>8} {8 * r.coded / r.weights:6.2f} {f'{above[0]:+.5f} +- {above[1]:.5f}':>20} {r.divergence():9.5f} "
              f"{r.divergence() / r.error ** 2:12.3f} {1e6 * r.divergence() / saved:13.5f} {(math.log2(sensitivity[r.kind]) - mean) / 2:+8.2f}")


def study(lort, model, text, context, errors):
    print(os.path.basename(model))
    with tempfile.TemporaryDirectory() as folder:
        base = p.lort_row(lort, model, "lossless", ["--residual", "auto", "--lossless"], folder)
        kinds = [k for k in KINDS if any(is_kind(t["name"], k) for t in base.report["tensors"])]
        lossless = {k: sum(t["bytes_out"] for t in base.report["tensors"] if is_kind(t["name"], k)) for k in kinds}
        original = p.Row("original", model, os.path.getsize(model))
        rows = [[code(lort, model, kinds, k, e, folder) for k in kinds] for e in errors]
        p.measure([original, *[r for group in rows for r in group]], text, context)
        for error, group in zip(errors, rows):
            print(f"relative error {error:g}")
            print_kinds(original, group, lossless)
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("lort", nargs="?", default=os.path.join(p.ROOT, "build/release/lort"))
    parser.add_argument("--errors", nargs="+", type=float, default=[0.1])
    given, what = parser.parse_args(), p.missing()
    if what:
        print(f"kinds skipped: {what}")
        return
    for model, text, context in MODELS:
        model, text = (os.path.join(p.ROOT, x) for x in (model, text))
        if os.path.exists(model):
            study(given.lort, model, text, context, given.errors)
        else:
            print(f"{os.path.basename(model)} skipped: not here")


if __name__ == "__main__":
    main()
