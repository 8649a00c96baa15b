"""Measure the local store from 10,000 to 1,000,000 vectors of 384 dimensions: time, memory, disk, recall.

    python -m benchmarks.scale [--rows 10000 100000 1000000] [--index auto] [--folder DIR] [--plot docs/plots]

Vectors are made: 1,000 centres, each row a centre plus a random direction of 0.8 times its length, to unit
length; queries are drawn the same way with another seed, so none is a row. Rows go in by
``LocalStore.upsert``, 10,000 a transaction, with a short text and ``{"n": row, "group": row % 100}``; the
filter is one group, 1 % of the rows. The truth is float32 comparison with every row. Cold means that the
collection's files were dropped from the page cache; each size opens in a process of its own.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmsdk.protocols import Entry
from mmsdk.settings import Indexing, Settings
from mmsdk.stores.indexes.exact import Numbers
from mmsdk.stores.local import LocalStore
from mmsdk.types import Chunk, Document, Locator, Vectors

DIMENSION, K, BLOCK, QUERIES, FILTERED = 384, 10, 10_000, 200, 20
ENCODERS = [{"space": "s", "dimension": DIMENSION, "fingerprint": "made", "modalities": ["text"]}]
WORDS = ("river", "stone", "garden", "winter", "letter", "market", "engine", "window", "bridge", "lantern", "copper")
GROUP = 7


def rows(seed: int, count: int) -> Vectors:
    chance = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((1000, DIMENSION), np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    noise = chance.standard_normal((count, DIMENSION), np.float32)
    made = centres[chance.integers(0, 1000, count)] + 0.8 * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float32)


def blocks(count: int) -> Iterator[tuple[int, Vectors]]:
    for start in range(0, count, BLOCK):
        yield start, rows(1000 + start // BLOCK, min(BLOCK, count - start))


def entry(row: int, vector: Vectors, marks: Mapping[str, bool] | None = None) -> Entry:
    name, about = f"d{row}", {"n": row, "group": row % 100, **(marks or {})}
    text = " ".join(WORDS[(row * step + step) % len(WORDS)] for step in (1, 3, 5, 9, 11)) + f" {row}"
    document = Document(name, (), f"made/{row // 1000}", "made", about)
    chunk = Chunk(f"{name}-0", name, text, text, "text", Locator("characters", 0, len(text)), about, document.source)
    return Entry(document, (chunk,), {"s": vector})


def opened(folder: Path, index: str, **options: Any) -> LocalStore:
    return LocalStore(
        folder, settings=Settings(device="cpu", store=Indexing(index=index)), encoders=ENCODERS, **options
    )


def filled(folder: Path, count: int, index: str) -> dict[str, Any]:
    """Put the rows in and build the index."""
    begin = time.perf_counter()
    with opened(folder, index, create=True) as store:
        for start, vectors in blocks(count):
            store.upsert([entry(start + place, vectors[place : place + 1]) for place in range(len(vectors))])
        added = time.perf_counter() - begin
        begin = time.perf_counter()
        store._publish()
        built = time.perf_counter() - begin
    return {"rows_a_second": count / added, "add_s": added, "build_s": built, "build_peak_mb": _peak()}


def truth(folder: Path, count: int, queries: Vectors) -> tuple[Numbers, Numbers]:
    """Give the nearest of all rows and of those of the group, ``[queries, K]`` each; kept beside the folder."""
    known = folder.with_suffix(".npz")
    if not known.is_file():
        best = [(np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)) for _ in range(2)]
        for start, vectors in blocks(count):
            numbers, cosines = np.arange(start, start + len(vectors)), queries @ vectors.T
            for place, chosen in enumerate((slice(None), numbers % 100 == GROUP)):
                among = np.broadcast_to(numbers[chosen], (len(queries), len(numbers[chosen])))
                found = np.concatenate([best[place][0], among], 1)
                scores = np.concatenate([best[place][1], cosines[:, chosen]], 1)
                kept = np.argpartition(-scores, min(K, scores.shape[1] - 1), axis=1)[:, :K]
                best[place] = np.take_along_axis(found, kept, 1), np.take_along_axis(scores, kept, 1)
        np.savez(known, every=best[0][0], group=best[1][0])
    with np.load(known) as kept_truth:
        return kept_truth["every"], kept_truth["group"]


def measured(folder: Path, count: int, index: str) -> dict[str, Any]:
    """Open the collection cold and warm, and search it."""
    queries = rows(1, QUERIES)
    first(folder, index, queries)  # loads the libraries
    drop(folder)
    found: dict[str, Any] = {"digest_cold_s": _seconds(lambda: digest(folder))}
    drop(folder)
    found["open_cold_s"] = _seconds(lambda: first(folder, index, queries))
    found["digest_warm_s"] = _seconds(lambda: digest(folder))
    found["open_warm_s"] = _seconds(lambda: first(folder, index, queries))
    with opened(folder, index, read_only=True) as store:
        store.search("s", queries[:1], K)
        found |= {"rss_mb": _status("VmRSS"), "anonymous_mb": _status("RssAnon")}
        plain, where = truth(folder, count, queries)
        found |= _searched(store, queries, plain, "plain", where=None)
        found |= _searched(store, queries[:FILTERED], where[:FILTERED], "filter", where={"group": GROUP})
        begin = time.perf_counter()
        store.search("s", queries, K)
        found["batch_ms_a_query"] = 1000 * (time.perf_counter() - begin) / len(queries)
        index_info = store.info()["spaces"][0]["index"]
        found |= {key: index_info.get(key) for key in ("kind", "effort", "widen", "recall", "mapped_bytes")}
    sizes = {file.name: file.stat().st_size for file in folder.iterdir()}
    found["disk_mb"] = sum(sizes.values()) / 1e6
    found["index_mb"] = sum(size for name, size in sizes.items() if name.startswith("index-")) / 1e6
    return found


def _searched(store: LocalStore, queries: Vectors, expected: Numbers, name: str, *, where: Any) -> dict[str, Any]:
    seconds, met, given = [], 0, 0
    for query, numbers in zip(queries, expected, strict=True):
        begin = time.perf_counter()
        hits = store.search("s", query[None], K, where=where)[0]
        seconds.append(time.perf_counter() - begin)
        met += len({int(hit[1:-2]) for hit, _ in hits} & set(numbers.tolist()))
        given += len(hits)
    median, p95 = np.percentile(seconds, [50, 95])
    return {
        f"{name}_median_ms": 1000 * median,
        f"{name}_p95_ms": 1000 * p95,
        f"{name}_recall": met / (K * len(queries)),
        f"{name}_hits": given / len(queries),
    }


def first(folder: Path, index: str, queries: Vectors) -> None:
    with opened(folder, index, read_only=True) as store:
        store.search("s", queries[:1], K)


def digest(folder: Path) -> None:
    for file in folder.iterdir():
        with file.open("rb") as stream:
            hashlib.file_digest(stream, "sha256")


def drop(folder: Path) -> None:
    """Drop the folder's files from the page cache."""
    for file in folder.iterdir():
        opened_file = os.open(file, os.O_RDONLY)
        os.fsync(opened_file)
        os.posix_fadvise(opened_file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(opened_file)


def _seconds(function: Callable[[], None]) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name + ":")).split()[1]) / 1000


def _peak() -> float:
    return _status("VmHWM")


def plot(results: list[dict[str, Any]], folder: Path) -> None:
    """Draw how the cost grows with the rows."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    counts = [result["rows"] for result in results]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4))
    for key, label in (("plain_median_ms", "median"), ("plain_p95_ms", "p95"), ("filter_median_ms", "1 % filter")):
        left.plot(counts, [result[key] for result in results], marker="o", label=label)
    left.set(xscale="log", yscale="log", xlabel="rows", ylabel="ms for k = 10", title="One query")
    for key, label in (("add_s", "add"), ("build_s", "build the index"), ("open_cold_s", "open, cold")):
        right.plot(counts, [result[key] for result in results], marker="o", label=label)
    right.set(xscale="log", yscale="log", xlabel="rows", ylabel="seconds", title="Add, build, open")
    for axis in (left, right):
        axis.grid(visible=True, which="both", alpha=0.3)
        axis.legend()
    figure.tight_layout()
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "scale.png", dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--index", default="auto")
    parser.add_argument("--folder", type=Path, help="keep the collections here, and use those that are there")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--step", choices=["fill", "measure"], help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.step:
        step = filled if chosen.step == "fill" else measured
        print(json.dumps(step(chosen.folder, chosen.rows[0], chosen.index)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        root = chosen.folder or Path(temporary)
        results = [_sized(root / str(count), count, chosen.index) for count in chosen.rows]
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; medians of {QUERIES} queries, {FILTERED} filtered")
    if chosen.plot:
        plot(results, chosen.plot)


def _sized(folder: Path, count: int, index: str) -> dict[str, Any]:
    result: dict[str, Any] = {"rows": count}
    known = folder.with_suffix(".json")
    for step in ("fill", "measure"):
        if step == "fill" and known.is_file():
            result |= json.loads(known.read_text())
            continue
        command = [sys.executable, "-m", "benchmarks.scale", "--step", step, "--rows", str(count)]
        done = subprocess.run([*command, "--index", index, "--folder", str(folder)], check=True, capture_output=True)
        result |= json.loads(done.stdout.splitlines()[-1])
        if step == "fill":
            known.write_text(json.dumps(result))
    for key, value in result.items():
        print(f"{key:>20}  {value:,.4g}" if isinstance(value, float) else f"{key:>20}  {value}", flush=True)
    return result


if __name__ == "__main__":
    main()
