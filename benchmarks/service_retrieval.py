"""Measure retrieval for customer service beside BM25, dense and character n-grams, on questions nobody was tuned on.

    python -m benchmarks.service_retrieval [bank dstc9] [--part test] [--data ../shared/data]

Questions are parted by a seed: 30 % ``dev`` for whatever is chosen, 70 % ``test``, which is read to report alone.

``bank``: phrasings of a Chinese bank's customers to the answers of its FAQ (zh_bank_intents_trad; phrasings without an
answer are left out), beside TF-IDF of characters (1 to 3) fitted on the answers. ``dstc9``: what a person answered to
the knowledge snippet it was taken from (cs_dstc9_kb, 1,981 turns),
among all 12,039 snippets, beside full text alone and vectors alone.
"""

import argparse
import json
import random
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from sklearn.feature_extraction.text import TfidfVectorizer

from mmsdk import Collection, evaluation

T = TypeVar("T")
Runs = Mapping[str, Mapping[str, list[str]]]


def bank(data: Path, part: str) -> None:
    rows = json.loads((data / "zh_bank_intents_trad" / "intents.json").read_text("utf-8"))
    flat = [(str(row["intent"]), str(row["text"]), str(row.get("answer") or "")) for row in rows]
    answers = {intent: answer for intent, _, answer in flat if answer.strip()}
    known = [(text, intent) for intent, text, _ in flat if intent in answers]
    asked = {str(n): one for n, one in enumerate(parted(known, part))}
    names, texts = list(answers), list(answers.values())
    counts = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True).fit(texts)
    near = (counts.transform([text for text, _ in asked.values()]) @ counts.transform(texts).T).toarray()
    grams = {q: [names[place] for place in row.argsort()[::-1][:10]] for q, row in zip(asked, near, strict=True)}
    with tempfile.TemporaryDirectory() as folder, Collection.open(f"{folder}/bank", create=True) as collection:
        collection.add_texts(texts, ids=names)
        ours = {q: found(collection, text) for q, (text, _) in asked.items()}
    report(
        "bank", {"collection": ours, "character TF-IDF": grams}, {q: {intent: 1} for q, (_, intent) in asked.items()}
    )


def dstc9(data: Path, part: str) -> None:
    folder = data / "cs_dstc9_kb"
    knowledge = json.loads((folder / "knowledge.json").read_text("utf-8"))
    labels = [one for one in json.loads((folder / "labels.json").read_text("utf-8")) if one.get("target")]
    snippets = {
        f"{domain}/{entity}/{number}": f"{held['name'] or domain}: {doc['title']} {doc['body']}"
        for domain, entities in knowledge.items()
        for entity, held in entities.items()
        for number, doc in held["docs"].items()
    }
    chosen = parted(labels, part)
    asked = {str(n): one["response"] for n, one in enumerate(chosen)}
    gold = {
        str(n): {f"{k['domain']}/{k['entity_id']}/{k['doc_id']}": 1 for k in one["knowledge"]}
        for n, one in enumerate(chosen)
    }
    with tempfile.TemporaryDirectory() as place, Collection.open(f"{place}/dstc9", create=True) as collection:
        names = list(snippets)
        for start in range(0, len(names), 2000):
            some = names[start : start + 2000]
            collection.add_texts([snippets[name] for name in some], ids=some)
        hybrid = {q: found(collection, text) for q, text in asked.items()}
        owner = {chunk.id: chunk.document_id for name in names for chunk in collection.store.chunks(name)}
        full = {q: [owner[i] for i, _ in collection.store.search_text(text, 10)] for q, text in asked.items()}
        encoder = next(one for one in collection.encoders if "text" in one.modalities)
        vectors = encoder.encode(list(asked.values()), role="query")
        rows = collection.store.search(encoder.space, vectors, 10)
        dense = {q: [owner[i] for i, _ in row] for q, row in zip(asked, rows, strict=True)}
    report(
        f"dstc9, {len(snippets)} snippets",
        {"hybrid": hybrid, "full text (BM25)": full, "dense": dense},
        gold,
    )


def parted(rows: Sequence[T], part: str) -> list[T]:
    """Give the rows of a part, ``dev`` or ``test``."""
    mixed = random.Random(0).sample(list(rows), len(rows))
    cut = round(0.3 * len(mixed))
    return mixed[:cut] if part == "dev" else mixed[cut:]


def found(collection: Collection, text: str) -> list[str]:
    return list(dict.fromkeys(hit.chunk.document_id for hit in collection.search(text, k=10)))


def report(name: str, runs: Runs, gold: Mapping[str, Mapping[str, int]]) -> None:
    print(f"{name}, {len(gold)} questions")
    ranks = {}
    for label, run in runs.items():
        five, mrr = evaluation.hits(run, gold, k=5), evaluation.mrr(run, gold, k=10)
        first = evaluation.hits(run, gold, k=1)
        ranks[label] = mrr.samples
        print(f"  {label:18s} first {first}, recall@5 {five}, MRR {mrr}", flush=True)
    (one, best), *others = ranks.items()
    for label, other in others:
        if len(best) == len(other) > 0:
            print(f"  MRR of {one} minus {label}: {evaluation.paired_bootstrap(list(best), list(other))}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["bank", "dstc9"])
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--part", choices=["dev", "test"], default="test")
    given = parser.parse_args()
    for name in given.what:
        {"bank": bank, "dstc9": dstc9}[name](given.data, given.part)


if __name__ == "__main__":
    main()
