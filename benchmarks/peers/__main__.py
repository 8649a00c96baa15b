"""Compare mmsdk with LangChain's FAISS store, Chroma, txtai, LanceDB and Haystack: ingestion, queries, memory, hits.

    python -m benchmarks.peers run [--engines mmsdk langchain ...] [--backend default|openvino|bfloat16]
                                   [--sets short long] [--texts N] [--results FILE]
    python -m benchmarks.peers report [--results FILE] [--plot FOLDER]

``run`` adds a line a process to FILE (JSON lines), so that a long comparison can be made in pieces; ``report`` prints
the tables of all of them. Every engine gets the same all-MiniLM-L6-v2 weights and the same texts, in a process of its
own, one after the other, set by set: 20,000 short texts (SEntFiN titles, BANKING77 training questions, Twitter
financial news, sentences of Cranfield) with 200 BANKING77 test questions, and 2,000 long ones (Cranfield and CISI
abstracts of 400 characters and more) with 200 Cranfield queries. Peers live in a virtual environment outside the
repository (in the folder MMSDK_PEERS, else the temporary one), made on first use from requirements.txt, for OpenVINO
from requirements-openvino.txt; each takes 7 GB. mmsdk keeps each text in one piece here, as the peers do.

A peer's float32 hits are those of LangChain's flat FAISS index at its defaults, which is exact. Overlap of mmsdk is
that of its vectors; what it answers is hybrid, and meant to differ.
"""

import argparse
import csv
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import retrieval
from mmsdk import weights
from mmsdk.settings import Settings

HERE = Path(__file__).parent
VENVS = Path(os.environ.get("MMSDK_PEERS", tempfile.gettempdir()))
MODEL = "all-MiniLM-L6-v2"
PEERS = ("langchain", "chroma", "txtai", "lancedb", "haystack")
CONVERT = """
import sys
from sentence_transformers import SentenceTransformer
SentenceTransformer(sys.argv[1], backend="openvino", model_kwargs={"export": True}).save_pretrained(sys.argv[2])
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("run", "report"))
    parser.add_argument("--engines", nargs="+", default=["mmsdk", *PEERS], choices=("mmsdk", *PEERS))
    parser.add_argument("--backend", default="default", choices=("default", "openvino", "bfloat16"))
    parser.add_argument("--sets", nargs="+", default=["short", "long"], choices=("short", "long"))
    parser.add_argument("--texts", type=int, default=0, help="take only so many of each set")
    parser.add_argument("--threads", type=int, default=0, help="of every engine; on a shared machine, 1: see report")
    parser.add_argument("--results", type=Path, default=Path(tempfile.gettempdir()) / "peers.jsonl")
    parser.add_argument("--plot", type=Path)
    chosen = parser.parse_args()
    if chosen.what == "run":
        run(chosen)
    else:
        report(chosen.results, chosen.plot)


def run(chosen: argparse.Namespace) -> None:
    """Let every engine take in each set and answer its queries; add what they said to the results."""
    if chosen.backend == "openvino" and set(chosen.engines) - {"mmsdk", "langchain"}:
        raise SystemExit("openvino is for --engines langchain: optimum-intel 2 and txtai 9 want different transformers")
    if set(chosen.engines) - {"mmsdk"}:
        make_venv(chosen.backend)
    for name in chosen.sets:
        texts, queries = short() if name == "short" else long()
        texts = dict(list(texts.items())[: chosen.texts or None])
        for engine in chosen.engines:
            said = process(engine, chosen.backend, texts, queries, threads=chosen.threads)
            line = {"engine": engine, "backend": chosen.backend, "set": name, "texts": len(texts), **said}
            with chosen.results.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")
            print(f"{name} {engine} {chosen.backend}: {len(texts) / said['seconds']:.0f} texts/s", flush=True)


def process(
    engine: str, backend: str, texts: Mapping[str, str], queries: Sequence[str], *, threads: int
) -> dict[str, Any]:
    """Run one engine in a process of its own and give its result."""
    with tempfile.TemporaryDirectory() as folder:
        job, result = Path(folder) / "job.json", Path(folder) / "result.json"
        model = str(weights.resolve(MODEL, settings=Settings()))
        if backend == "openvino":
            model = converted(model)
        (Path(folder) / "data").mkdir()
        shape = {"model": model, "folder": str(Path(folder) / "data"), "texts": texts, "queries": list(queries)}
        job.write_text(json.dumps(shape), "utf-8")
        python = sys.executable if engine == "mmsdk" else str(venv(backend) / "bin" / "python")
        arguments = [python, str(HERE / "engines.py"), engine, backend, str(job), str(result)]
        done = subprocess.run(arguments, env=environment(engine, threads), check=False, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{engine} failed:\n{done.stderr[-3000:]}")
        said: dict[str, Any] = json.loads(result.read_text("utf-8"))
    return said


def environment(engine: str, threads: int = 0) -> dict[str, str]:
    """Give the environment without variables that change BLAS or threads; telemetry and downloads are off."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OPENBLAS", "OMP_", "TOKENIZERS"))}
    if engine != "mmsdk":
        kept.pop("PYTHONPATH", None)
    if threads:
        kept |= {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}
    return kept | {"HF_HUB_OFFLINE": "1", "ANONYMIZED_TELEMETRY": "False", "HAYSTACK_TELEMETRY_ENABLED": "False"}


def venv(backend: str) -> Path:
    """Give the environment of the peers; OpenVINO has its own."""
    return VENVS / ("peers-openvino-venv" if backend == "openvino" else "peers-venv")


def make_venv(backend: str) -> None:
    """Make the environment of the peers where there is none."""
    folder = venv(backend)
    mark = folder / ".complete"
    if not mark.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        python = str(folder / "bin" / "python")
        wanted = HERE / ("requirements-openvino.txt" if backend == "openvino" else "requirements.txt")
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "uv"], check=True)
        uv = [python, "-m", "uv", "pip", "install", "-q", "--python", python]  # pip needs many minutes to resolve these
        subprocess.run([*uv, "--index-strategy", "unsafe-best-match", "-r", str(wanted)], check=True)
        mark.touch()


def converted(model: str) -> str:
    """Give the folder of the model converted to OpenVINO, in its environment."""
    folder = venv("openvino") / "openvino-model"
    if not (folder / "openvino").is_dir():
        python = str(venv("openvino") / "bin" / "python")
        subprocess.run([python, "-c", CONVERT, model, str(folder)], check=True, env=environment("peer"))
    return str(folder)


def short(count: int = 20_000) -> tuple[dict[str, str], list[str]]:
    """Give short texts, drawn by a fixed seed, and questions."""
    found = [row["Title"] for row in table("fin_sentfin/SEntFiN.csv")]
    found += [row["text"] for row in table("cs_banking77/train.csv")]
    found += [row["text"] for row in table("fin_twitter_news_sentiment/sent_train.csv")]
    for text in retrieval.cranfield().texts.values():
        found += re.split(r"(?<=\.) ", text)
    texts = list(dict.fromkeys(text.strip() for text in found if len(text.strip()) > 10))
    return drawn(texts, count), [row["text"] for row in table("cs_banking77/test.csv")][:: 3080 // 200][:200]


def long(count: int = 2_000) -> tuple[dict[str, str], list[str]]:
    """Give long texts, drawn by a fixed seed, and questions."""
    cranfield = retrieval.cranfield()
    found = [*cranfield.texts.values(), *retrieval.cisi().texts.values()]
    texts = list(dict.fromkeys(text for text in found if len(text) >= 400))
    return drawn(texts, count), list(cranfield.queries.values())[:200]


def table(name: str) -> Iterator[dict[str, str]]:
    with (retrieval.DATA / name).open(encoding="utf-8", newline="") as stream:
        yield from csv.DictReader(stream)


def drawn(texts: list[str], count: int) -> dict[str, str]:
    if len(texts) < count:
        raise SystemExit(f"there are {len(texts)} texts, {count} are wanted")
    places = np.random.default_rng(0).permutation(len(texts))[:count]
    return {f"t{place}": texts[place] for place in places.tolist()}


def report(results: Path, plot: Path | None) -> None:
    """Print a table a set; several runs of an engine are put together: the median of ingestion, all queries.

    In parentheses and under "of processor" is processor time, which other work distorts less than the clock.
    """
    runs: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for line in results.read_text("utf-8").splitlines():
        said = json.loads(line)
        runs[said["set"], said["engine"], said["backend"]].append(said)
    print(f"{cpu()}, {os.cpu_count()} cores; torch {version('torch')}; peers: {versions()}")
    for name in dict.fromkeys(key[0] for key in runs):
        flat = runs.get((name, "langchain", "default"))
        rows = [
            (engine, backend, figures(said, flat[0]["hits"] if flat else None))
            for (place, engine, backend), said in runs.items()
            if place == name
        ]
        ours = next((row for engine, _, row in rows if engine == "mmsdk"), None)
        print(f"\n{name}: {next(iter(said for key, said in runs.items() if key[0] == name))[0]['texts']} texts")
        print("| engine | backend | runs | texts/s | of processor | ours / it | query, ms | p95 | overlap@10 | MiB |")
        print("|---|---|---|---|---|---|---|---|---|---|")
        for engine, backend, row in rows:
            ratio = ours["rate"] / row["rate"] if ours else float("nan")
            worked = ours["work"] / row["work"] if ours else float("nan")
            print(
                f"| {engine} | {backend} | {row['runs']} | {row['rate']:.0f} | {row['work']:.0f} | "
                f"{ratio:.2f}, {worked:.2f} | {row['median']:.2f} ({row['median_work']:.2f}) | "
                f"{row['p95']:.2f} ({row['p95_work']:.2f}) | {row['overlap']:.4f} | {row['memory']:.0f} |"
            )
    if plot is not None:
        draw(runs, plot)


def figures(said: Sequence[Mapping[str, Any]], exact: Sequence[Sequence[str]] | None) -> dict[str, float]:
    took = [milliseconds for one in said for milliseconds in one["milliseconds"]]
    worked = [milliseconds for one in said for milliseconds in one["worked"]]
    hits = said[0].get("dense", said[0]["hits"])
    pairs = zip(hits, exact or hits, strict=True)
    return {
        "runs": len(said),
        "rate": float(np.median([one["texts"] / one["seconds"] for one in said])),
        "work": float(np.median([one["texts"] / one["processor"] for one in said])),
        "median": float(np.median(took)),
        "p95": float(np.percentile(took, 95)),
        "median_work": float(np.median(worked)),
        "p95_work": float(np.percentile(worked, 95)),
        "overlap": float(np.mean([len(set(own) & set(wanted)) / len(wanted) for own, wanted in pairs])),
        "memory": float(np.median([one["peak_kib"] - one["loaded_kib"] for one in said])) / 1024,
    }


def draw(runs: Mapping[tuple[str, str, str], Sequence[Mapping[str, Any]]], folder: Path) -> None:
    """Draw ingestion and query times of the short texts."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    rows = {
        f"{engine} {backend}": figures(said, None) for (name, engine, backend), said in runs.items() if name == "short"
    }
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 0.4 * len(rows) + 1.5), sharey=True)
    labels = [label.removesuffix(" default") for label in rows]
    colours = ["#2a6f97" if label.startswith("mmsdk") else "#a9b4bd" for label in rows]
    left.barh(labels, [row["rate"] for row in rows.values()], color=colours)
    left.set_xlabel("texts a second taken in")
    right.set_xscale("log")
    right.set_xlabel("ms a query: median (dot) to 95th percentile, log scale")
    for place, (row, colour) in enumerate(zip(rows.values(), colours, strict=True)):
        right.plot([row["median"], row["p95"]], [place, place], color=colour, linewidth=2)
        right.plot(row["median"], place, "o", color=colour, markersize=9)
        right.text(row["median"], place - 0.25, f"{row['median']:.1f}", ha="center", fontsize=8)
    right.grid(axis="x", alpha=0.3)
    left.invert_yaxis()
    figure.tight_layout()
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "peers.png", dpi=120)


def cpu() -> str:
    names = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return names[0] if names else "unknown processor"


def versions() -> str:
    lines = (HERE / "requirements.txt").read_text("utf-8").splitlines()
    return ", ".join(line.replace("==", " ") for line in lines if not line.startswith("#"))


if __name__ == "__main__":
    main()
