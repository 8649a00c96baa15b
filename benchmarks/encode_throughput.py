"""Texts a second of the text encoder, beside sentence-transformers with its defaults, same model, same texts.

    python benchmarks/encode_throughput.py [--data ../shared/data/ir_cranfield] [--texts 1400] [--rounds 5]

Protocol: Cranfield abstracts, each cut to between 20 and 1,200 characters (seeded), so that lengths
vary as passages do. The two take turns after a warm-up; the ratio is taken round by round.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree  # the benchmark's own, trusted file

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from mmsdk import weights
from mmsdk.encoders.text import TextEncoder
from mmsdk.settings import Settings

SHARED = os.environ.get("MMSDK_SHARED_DATA", str(Path(__file__).resolve().parents[2] / "shared" / "data"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(SHARED) / "ir_cranfield")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="threads of PyTorch, for both")
    parser.add_argument("--texts", type=int, default=1400)
    arguments = parser.parse_args()
    texts = passages(arguments.data / "cran.all.1400.xml")[: arguments.texts]
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    settings = Settings.load()
    ours = TextEncoder(settings=settings)
    theirs = SentenceTransformer(str(weights.resolve("all-MiniLM-L6-v2", settings=settings)), device="cpu")
    cosines = (ours.encode(texts[:256]) * theirs.encode(texts[:256], normalize_embeddings=True)).sum(axis=1)
    print(f"{len(texts)} texts, run as {ours.way.name}, least cosine {cosines.min():.5f}")
    rates = []
    for number in range(arguments.rounds):
        pair = [len(texts) / seconds(run, texts) for run in (ours.encode, theirs.encode)]
        print(f"round {number + 1}: {pair[0]:.0f}/s and {pair[1]:.0f}/s, {pair[0] / pair[1]:.2f}x", flush=True)
        rates.append(pair)
    ratios = [first / second for first, second in rates]
    print(f"median ratio {np.median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f}")


def passages(file: Path) -> list[str]:
    root = ElementTree.fromstring(f"<all>{file.read_text('utf-8')}</all>")
    texts = [" ".join((node.text or "").split()) for node in root.iter("text")]
    rng = np.random.default_rng(0)
    return [text[: int(rng.integers(20, 1200))] for text in texts if text]


def seconds(run: Callable[[list[str]], object], texts: list[str]) -> float:
    """Give processor time, which a busy machine distorts less than the clock; wall time is this over the threads."""
    start = time.process_time()
    run(texts)
    return (time.process_time() - start) / torch.get_num_threads()


if __name__ == "__main__":
    main()
