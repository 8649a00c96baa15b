"""Measure the seconds of one message, understanding and retrieval, with 2,000 documents and 77 intents.

    python -m benchmarks.service_latency [--documents 2000] [--messages 300] [--chinese] [--data ../shared/data]

Documents are DSTC9 snippets (a seeded sample), intents BANKING77's with 20 examples each, messages BANKING77 test texts
and DSTC9 responses in turn, each in a session of its own. Times are the agent's own (``Reply.seconds``), and the whole
call with SQLite and masking; the first ten messages warm up. ``both`` is understanding and retrieval; ``answer`` has
the retrieval in it and the choice of the sentence, by a cross-encoder. ``--chinese`` takes pieces of 300 characters of
CMRC's articles, intents and phrasings of zh_bank_intents_trad, and CMRC's questions.
"""

import argparse
import csv
import json
import random
import tempfile
import time
from pathlib import Path

import numpy as np

from mmsdk import Collection
from mmsdk_service import IntentClassifier, ServiceAgent

WARM = 10


def examples(data: Path) -> dict[str, list[str]]:
    with (data / "cs_banking77" / "train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["category"], []).append(row["text"])
    return {name: texts[:20] for name, texts in found.items()}


def snippets(data: Path, count: int) -> list[str]:
    read = json.loads((data / "cs_dstc9_kb" / "knowledge.json").read_text("utf-8"))
    texts = [
        f"{held['name'] or domain}: {doc['title']} {doc['body']}"
        for domain, entities in read.items()
        for held in entities.values()
        for doc in held["docs"].values()
    ]
    return random.Random(0).sample(texts, count)


def messages(data: Path, count: int) -> list[str]:
    with (data / "cs_banking77" / "test.csv").open(encoding="utf-8", newline="") as file:
        asked = [row["text"] for row in csv.DictReader(file)]
    labels = json.loads((data / "cs_dstc9_kb" / "labels.json").read_text("utf-8"))
    said = [one["response"] for one in labels if one.get("target")]
    chosen = random.Random(1)
    half = (count + WARM) // 2
    pairs = zip(chosen.sample(asked, half), chosen.sample(said, half), strict=True)
    return [text for pair in pairs for text in pair]


def chinese(data: Path, count: int, asked: int) -> tuple[dict[str, list[str]], list[str], list[str]]:
    """Give examples by intent, documents and messages."""
    rows = json.loads((data / "zh_bank_intents_trad" / "intents.json").read_text("utf-8"))
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(str(row["intent"]), []).append(str(row["text"]))
    parts = [json.loads((data / "zh_cmrc2018" / f"cmrc2018_{one}.json").read_text("utf-8")) for one in ("dev", "trial")]
    paragraphs = [one for part in parts for article in part["data"] for one in article["paragraphs"]]
    contexts = list(dict.fromkeys(one["context"] for one in paragraphs))
    texts = [context[at : at + 300] for context in contexts for at in range(0, len(context), 300)]
    chosen = random.Random(1)
    half = (asked + WARM) // 2
    questions = [one["question"] for paragraph in paragraphs for one in paragraph["qas"]]
    phrasings = [text for some in found.values() for text in some]
    pairs = zip(chosen.sample(phrasings, half), chosen.sample(questions, half), strict=True)
    return found, chosen.sample(texts, count), [text for pair in pairs for text in pair]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--messages", type=int, default=300)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--chinese", action="store_true")
    given = parser.parse_args()
    if given.chinese:
        found, texts, asked = chinese(given.data, given.documents, given.messages)
    else:
        found = examples(given.data)
        texts, asked = snippets(given.data, given.documents), messages(given.data, given.messages)
    intents = IntentClassifier().fit(
        [text for texts in found.values() for text in texts], [name for name, texts in found.items() for _ in texts]
    )
    seconds: dict[str, list[float]] = {name: [] for name in ("understand", "retrieve", "both", "answer", "whole call")}
    with (
        tempfile.TemporaryDirectory() as folder,
        Collection.open(f"{folder}/documents", create=True) as collection,
    ):
        collection.add_texts(texts)
        with ServiceAgent(collection, intents, state=f"{folder}/state") as agent:
            for text in asked:
                started = time.perf_counter()
                reply = agent.reply(text)
                seconds["whole call"].append(time.perf_counter() - started)
                for name in ("understand", "retrieve", "answer"):
                    seconds[name].append(reply.seconds.get(name, 0.0))
                seconds["both"].append(seconds["understand"][-1] + seconds["retrieve"][-1])
    print(f"{given.documents} documents, {len(found)} intents, {len(seconds['both']) - WARM} messages; milliseconds")
    for name, values in seconds.items():
        kept = 1000 * np.array(values[WARM:])
        drawn = np.random.default_rng(0).choice(kept, (1000, len(kept)))
        low, high = np.percentile(np.percentile(drawn, 95, axis=1), [2.5, 97.5])
        p95 = np.percentile(kept, 95)
        print(f"  {name:10s} p50 {np.median(kept):.0f}, p95 {p95:.0f} [{low:.0f}, {high:.0f}], max {kept.max():.0f}")


if __name__ == "__main__":
    main()
