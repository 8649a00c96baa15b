"""Measure filters that few rows match: 1 % of 2,000, 20,000 and 200,000 rows, ask 10, every kind of index, 5 seeds.

    python -m benchmarks.filters [--rows 2000 20000 200000] [--seeds 5] [--index exact IVF,Flat ...]

Vectors are those of ``benchmarks.scale``. Each seed marks another random 1 % of the rows and asks 20 new
queries. Recall is against float32 comparison with every marked row; every cosine is checked against it.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.scale import BLOCK, K, blocks, entry, opened, rows
from mmsdk.stores.indexes.exact import Numbers
from mmsdk.stores.local import LocalStore
from mmsdk.types import Vectors

KINDS = ("exact", "Flat", "IVF,Flat", "IVF,SQ8", "IVF,PQ96x4", "HNSW16")
QUERIES = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, nargs="+", default=[2000, 20_000, 200_000])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--index", nargs="+", default=KINDS)
    chosen = parser.parse_args()
    print(f"{'rows':>8} {'index':>22} {'fewest':>6} {'recall':>7} {'cosine off':>10} {'median ms':>9}")
    for count in chosen.rows:
        with tempfile.TemporaryDirectory() as folder:
            vectors = np.concatenate([block for _, block in blocks(count)])
            with opened(Path(folder) / "c", "exact", create=True) as store:
                marks = {seed: set(_marked(seed, count).tolist()) for seed in range(chosen.seeds)}
                for start in range(0, count, BLOCK):
                    numbers = range(start, min(start + BLOCK, count))
                    about = {n: {f"seed{seed}": True for seed, marked in marks.items() if n in marked} for n in numbers}
                    store.upsert([entry(n, vectors[n : n + 1], about[n]) for n in numbers])
            for kind in chosen.index:
                with opened(Path(folder) / "c", kind) as store:
                    _asked(store, vectors, chosen.seeds)


def _marked(seed: int, count: int) -> Numbers:
    return np.sort(np.random.default_rng(seed).permutation(count)[: count // 100])


def _asked(store: LocalStore, vectors: Vectors, seeds: int) -> None:
    store._publish()
    fewest, met, off, seconds = K, 0, 0.0, []
    for seed in range(seeds):
        marked, queries = _marked(seed, len(vectors)), rows(500 + seed, QUERIES)
        truth = queries @ vectors[marked].T
        for query, cosines in zip(queries, truth, strict=True):
            begin = time.perf_counter()
            found = store.search("s", query[None], K, where={f"seed{seed}": True})[0]
            seconds.append(time.perf_counter() - begin)
            numbers = [int(name[1:-2]) for name, _ in found]
            best = marked[np.argsort(-cosines)[:K]]
            fewest = min(fewest, len(set(numbers) & set(marked.tolist())))
            met += len(set(numbers) & set(best.tolist()))
            off = max([off, *(abs(float(vectors[int(name[1:-2])] @ query) - cosine) for name, cosine in found)])
    index = store.info()["spaces"][0]["index"]["kind"]
    recall = met / (K * QUERIES * seeds)
    print(
        f"{len(vectors):>8} {index:>22} {fewest:>6} {recall:>7.4f} {off:>10.1e} {1000 * np.median(seconds):>9.2f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
