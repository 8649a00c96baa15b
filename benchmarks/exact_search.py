"""Exact search beside FAISS's flat index, results checked against float64, with the limits of the machine.

    python benchmarks/exact_search.py [--rows 100000] [--dimension 384] [--rounds 9] [--threads 0]

Protocol: seeded Gaussian unit vectors (the hardest case: no cosine stands out). The two take turns; a turn is a rest of
a fifth of a second, a call that does not count and a call that does: torch and FAISS bring an OpenMP of their own each,
whose threads stay awake for a while after a call, and have to be woken after a rest. Printed are medians of wall time
and of processor time, and the ratios of both. On a shared machine, compare processor time with one thread. Run it
without OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE in the environment, which slow FAISS's OpenBLAS.
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import faiss
import numpy as np
import torch
from numpy.typing import NDArray

from mmsdk.stores.indexes.exact import ExactIndex
from mmsdk.types import Vectors

REST = 0.2
"""Seconds before each turn."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
        faiss.omp_set_num_threads(arguments.threads)
    vectors, queries = unit(arguments.rows, arguments.dimension, 0), unit(256, arguments.dimension, 1)
    ours, flat = ExactIndex(arguments.dimension), faiss.IndexFlatIP(arguments.dimension)
    ours.add(np.arange(arguments.rows), vectors)
    flat.add(vectors)
    set_here = sorted(name for name in os.environ if name.startswith(("OPENBLAS", "OMP_")))
    print(f"faiss {faiss.__version__}, torch {torch.__version__}, {torch.get_num_threads()} threads; set: {set_here}")
    print(f"{vectors.shape} float32; recall@10 against float64: {recalls(ours, flat, vectors, queries)}")
    for count in (1, 256):
        runs: list[Callable[[], Any]] = [
            partial(ours.search, queries[:count], 10),
            partial(flat.search, queries[:count], 10),
        ]
        pairs = turns(runs, arguments.rounds)
        for name, (own, other) in zip(("wall", "processor"), np.median(pairs, axis=0).T * 1e3, strict=True):
            print(f"{count} queries, {name}: ours {own:.2f} ms, FAISS {other:.2f} ms, {other / own:.1f} times")
    limits(vectors, arguments.rounds)


def recalls(ours: ExactIndex, flat: Any, vectors: Vectors, queries: Vectors) -> dict[str, float]:
    exact = queries.astype(np.float64) @ vectors.T.astype(np.float64)
    nearest = np.argsort(-exact, axis=1)[:, :10]
    found = {"ours": [numbers for numbers, _ in ours.search(queries, 10)], "FAISS": flat.search(queries, 10)[1]}
    return {
        name: float(np.mean([len(set(row) & set(wanted)) / 10 for row, wanted in zip(rows, nearest, strict=True)]))
        for name, rows in found.items()
    }


def limits(vectors: Vectors, rounds: int) -> None:
    """Print what reading and multiplying cost here when nothing else is done."""
    rows = torch.from_numpy(vectors)
    codes = torch.randint(-127, 128, vectors.shape, dtype=torch.int8)
    flops = 2 * 256 * vectors.size
    times = turns(
        [lambda: rows.sum(), lambda: torch._int_mm(codes[:256], codes.T), lambda: rows[:256] @ rows.T], rounds
    )
    read, by_bytes, by_floats = np.median(times, axis=0)[:, 0]
    print(
        f"limits, wall: float32 read at {vectors.nbytes / read / 1e9:.1f} GB/s in {read * 1e3:.2f} ms; 256 queries in"
    )
    print(f"  int8 {by_bytes * 1e3:.1f} ms ({flops / by_bytes / 1e9:.0f} G/s), float32 {by_floats * 1e3:.1f} ms")


def turns(runs: Sequence[Callable[[], Any]], rounds: int) -> NDArray[np.float64]:
    """Give seconds ``[rounds, runs, 2]``: wall and processor time, after a round that does not count."""
    times = np.empty((rounds + 1, len(runs), 2))
    for number in range(rounds + 1):
        for place, run in enumerate(runs):
            time.sleep(REST)
            run()
            start = time.perf_counter(), time.process_time()
            run()
            times[number, place] = time.perf_counter() - start[0], time.process_time() - start[1]
    return times[1:]


def unit(rows: int, dimension: int, seed: int) -> Vectors:
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension), dtype=np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


if __name__ == "__main__":
    main()
