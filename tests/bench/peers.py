#!/usr/bin/env python3
"""Called by bench_peers: low-rank factorisations by scikit-learn, torch and LAPACK of a raw f32 file.

usage: peers.py FILE ROWS COLS K ROUNDS ENERGY [gesdd]

Prints one line for each run, tab-separated: name, arguments, least seconds of ROUNDS (gesdd: once),
captured energy (||U'A||^2 in f64). If a library is absent, the line is: name, "absent", 0, 0. The
randomised peers run at their usual number of iterations, and at the first that captures ENERGY."""
import sys
import time

import numpy as np


ITERATIONS = (5, 6, 7, 8, 9, 10, 12, 14, 17, 20, 25, 32)


def captured(u, a):
    return float(((np.asarray(u).T @ a).astype(np.float64) ** 2).sum())


def measure(name, how, rounds, a, run):
    best, u = float("inf"), None
    for _ in range(rounds):
        begin = time.perf_counter()
        u = run()
        best = min(best, time.perf_counter() - begin)
    energy = captured(u, a)
    print(name, how, f"{best:.4f}", f"{energy:.9g}", sep="\t", flush=True)
    return energy


def absent(name):
    print(name, "absent", 0, 0, sep="\t", flush=True)


def until_enough(name, label, usual, rounds, a, energy, run):
    """Runs the usual number of iterations, then the first of ITERATIONS that captures `energy`."""
    measure(name, f"{label}={usual}", rounds, a, lambda: run(usual))
    for n in ITERATIONS:
        if captured(run(n), a) >= energy or n == ITERATIONS[-1]:
            measure(name, f"{label}={n}", rounds, a, lambda: run(n))
            return


def run_sklearn(a, k, rounds, energy):
    try:
        from sklearn.utils.extmath import randomized_svd
    except ImportError:
        return absent("sklearn")
    until_enough("sklearn", "randomized_svd, n_iter", 4, rounds, a, energy, lambda n: randomized_svd(a, k, n_iter=n, random_state=0)[0])


def run_torch(a, k, rounds, energy):
    try:
        import torch
    except ImportError:
        return absent("torch")
    torch.manual_seed(0)
    until_enough("torch", "svd_lowrank, niter", 2, rounds, a, energy, lambda n: torch.svd_lowrank(torch.from_numpy(a), q=k, niter=n)[0].numpy())


def run_gesdd(a, k):
    try:
        from scipy.linalg.lapack import sgesdd
    except ImportError:
        return absent("gesdd")
    measure("gesdd", "LAPACK sgesdd, vectors too", 1, a, lambda: sgesdd(a, full_matrices=0)[0][:, :k])


def main():
    path, rows, cols, k, rounds = sys.argv[1], *map(int, sys.argv[2:6])
    a = np.fromfile(path, dtype=np.float32).reshape(rows, cols)
    energy = float(sys.argv[6])
    run_sklearn(a, k, rounds, energy)
    run_torch(a, k, rounds, energy)
    if sys.argv[7:] == ["gesdd"]:
        run_gesdd(a, k)


if __name__ == "__main__":
    main()
