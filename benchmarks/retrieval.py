"""Measure search by text: Cranfield, CISI and CMRC 2018, hybrid beside its parts.

    python -m benchmarks.retrieval [cranfield cisi cmrc-trial cmrc-dev] [--titles-in-text]

Documents go in by ``Collection.add_texts`` with the bundled encoders, titles as their metadata, so that every
chunk is found by the title too (``--titles-in-text``: as the beginning of the text instead). A document's rank is
that of its first chunk among 50 hits. Constants of fusion, and that titles go in as titles, were chosen on CISI and
the CMRC trial set, never on Cranfield or the CMRC dev set. Queries of Cranfield are joined to judgements by position.
Its rows of grade 0 are no ordinary negatives (see the data's SOURCE.md): the figures drop them, and the line
"0 as relevant" counts them as relevant. Its documents 471 and 995 are empty and cannot be found. Its texts begin with
their titles.
"""

import argparse
import json
import math
import os
import re
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

from mmsdk.collection import Collection
from mmsdk.evaluation import Estimate, hits, ndcg, paired_bootstrap
from mmsdk.settings import Settings
from mmsdk.types import Hit

DATA = Path(os.environ.get("MMSDK_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
Run = dict[str, list[str]]


@dataclass(frozen=True)
class Task:
    """Hold a test collection: texts and queries by id, and query to relevant ids."""

    name: str
    texts: Mapping[str, str]
    titles: Mapping[str, str]
    queries: Mapping[str, str]
    judged: Mapping[str, Mapping[str, int]]


def cranfield(zeros: int = 0) -> Task:
    """Read Cranfield; ``zeros`` is the grade that rows of grade 0 get."""
    folder = DATA / "ir_cranfield"
    documents = (folder / "cran.all.1400.xml").read_text("utf-8")
    found = re.findall(r"<docno>(.*?)</docno>.*?<title>(.*?)</title>.*?<text>(.*?)</text>", documents, re.DOTALL)
    texts = {number.strip(): " ".join(text.split()) for number, _, text in found}
    titles = {number.strip(): " ".join(title.split()) for number, title, _ in found}
    asked = ElementTree.fromstring((folder / "cran.qry.xml").read_bytes()).iter("title")
    queries = {str(place): " ".join((title.text or "").split()) for place, title in enumerate(asked, 1)}
    judged: dict[str, dict[str, int]] = defaultdict(dict)
    for line in (folder / "cranqrel.trec.txt").read_text().splitlines():
        query, _, document, grade = line.split()
        judged[query][document] = 1 if int(grade) > 0 else zeros
    return Task("cranfield", texts, titles, queries, judged)


def cisi() -> Task:
    """Read CISI."""
    folder = DATA / "ir_cisi"

    def records(name: str) -> dict[str, dict[str, str]]:
        pieces = re.split(r"^\.I ", (folder / name).read_text("latin-1"), flags=re.MULTILINE)[1:]
        return {
            piece.split("\n", 1)[0].strip(): dict(
                re.findall(r"^\.([TABWX]) *\n(.*?)(?=^\.[TABWX] *\n|\Z)", piece, re.MULTILINE | re.DOTALL)
            )
            for piece in pieces
        }

    documents = records("CISI.ALL")
    texts = {name: " ".join(fields.get("W", "").split()) for name, fields in documents.items()}
    titles = {name: " ".join(fields.get("T", "").split()) for name, fields in documents.items()}
    queries = {name: " ".join(fields.get("W", "").split()) for name, fields in records("CISI.QRY").items()}
    judged: dict[str, dict[str, int]] = defaultdict(dict)
    for line in (folder / "CISI.REL").read_text().splitlines():
        query, document, *_ = line.split()
        judged[query][document] = 1
    return Task("cisi", texts, titles, {name: queries[name] for name in judged if name in queries}, judged)


def cmrc(part: str) -> Task:
    """Read CMRC 2018: a question's relevant text is the paragraph it was asked about."""
    shape = json.loads((DATA / "zh_cmrc2018" / f"cmrc2018_{part}.json").read_text("utf-8"))
    texts: dict[str, str] = {}
    queries: dict[str, str] = {}
    judged: dict[str, dict[str, int]] = {}
    names: dict[str, str] = {}
    for article in shape["data"]:
        for paragraph in article["paragraphs"]:
            name = names.setdefault(paragraph["context"], str(len(names)))
            texts[name] = paragraph["context"]
            for question in paragraph["qas"]:
                queries[question["id"]] = question["question"]
                judged[question["id"]] = {name: 1}
    return Task(f"cmrc-{part}", texts, {}, queries, judged)


def bigrams(task: Task, k: int = 50) -> Run:
    """Rank by plain BM25 (k1 1.2, b 0.75) over pairs of neighbouring characters."""
    counted = {name: Counter(pairwise(text)) for name, text in task.texts.items()}
    lengths = {name: sum(counts.values()) for name, counts in counted.items()}
    average = sum(lengths.values()) / len(lengths)
    holders: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, counts in counted.items():
        for pair in counts:
            holders[pair].append(name)
    run: Run = {}
    for query, text in task.queries.items():
        scores: dict[str, float] = defaultdict(float)
        for pair in set(pairwise(text)):
            rarity = math.log(1 + (len(counted) - len(holders[pair]) + 0.5) / (len(holders[pair]) + 0.5))
            for name in holders[pair]:
                count = counted[name][pair]
                scores[name] += rarity * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * lengths[name] / average))
        run[query] = sorted(scores, key=lambda name: (-scores[name], name))[:k]
    return run


def main(words: Sequence[str]) -> None:
    readers: dict[str, Callable[[], Task]] = {
        "cranfield": cranfield,
        "cisi": cisi,
        "cmrc-trial": lambda: cmrc("trial"),
        "cmrc-dev": lambda: cmrc("dev"),
    }
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(readers)}; all when none is given")
    parser.add_argument("--titles-in-text", action="store_true", help="put titles in front of texts")
    chosen = parser.parse_args(words)
    unknown = sorted(set(chosen.names) - set(readers))
    if unknown:
        parser.error(f"there is no set {', '.join(unknown)}; there are {', '.join(readers)}")
    for name in chosen.names or readers:
        measure(readers[name](), titles_in_text=chosen.titles_in_text)


def put(collection: Collection, task: Task, *, titles_in_text: bool = False) -> None:
    """Take the documents of a test collection in."""
    titles = {name: task.titles.get(name, "") for name in task.texts}
    if titles_in_text:
        texts, metadata = [f"{titles[name]} {text}".strip() for name, text in task.texts.items()], None
    else:
        texts = [text or titles[name] for name, text in task.texts.items()]
        metadata = [{"title": title} if title else {} for title in titles.values()]
    collection.add_texts(texts, list(task.texts), metadata)


def measure(task: Task, *, titles_in_text: bool = False) -> None:
    """Print the figures of one collection."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Collection.open(folder, create=True, settings=Settings()) as collection,
    ):
        begin = time.perf_counter()
        put(collection, task, titles_in_text=titles_in_text)
        seconds = time.perf_counter() - begin
        print(f"\n{task.name}: {len(task.texts)} texts, {len(collection)} chunks in {seconds:.0f} s")
        found = collection.search_many(list(task.queries.values()), k=50)
        runs = {
            "hybrid": {query: ranked(hits_) for query, hits_ in zip(task.queries, found, strict=True)},
            **parts(collection, task),
        }
        if task.name.startswith("cmrc"):
            runs["bigram BM25"] = bigrams(task)
        report(task, runs)


def parts(collection: Collection, task: Task) -> dict[str, Run]:
    """Rank by each space alone and by full text alone."""
    space = collection.encoders[0]
    vectors = space.encode(list(task.queries.values()), role="query")
    dense = collection.store.search(space.space, vectors, 50)
    words = [collection.store.search_text(text, 50) for text in task.queries.values()]
    owners = {chunk.id: chunk.document_id for name in task.texts for chunk in collection.store.chunks(name)}

    def run(lists: Sequence[Sequence[tuple[str, float]]]) -> Run:
        return {
            query: list(dict.fromkeys(owners[name] for name, _ in found))
            for query, found in zip(task.queries, lists, strict=True)
        }

    return {"dense": run(dense), "full text": run(words)}


def ranked(found: Sequence[Hit]) -> list[str]:
    """Give document ids by their first chunk."""
    return list(dict.fromkeys(hit.chunk.document_id for hit in found))


def report(task: Task, runs: Mapping[str, Run]) -> None:
    """Print one line a run, with 95 % intervals."""
    chinese = task.name.startswith("cmrc")

    def figure(run: Run, judged: Mapping[str, Mapping[str, int]]) -> Estimate:
        return hits(run, judged, k=5) if chinese else ndcg(run, judged, k=10, binary=True)

    figures = {name: figure(run, task.judged) for name, run in runs.items()}
    for name, value in figures.items():
        print(f"  {name:12s} {'hit@5' if chinese else 'nDCG@10'} {value}")
    for name in runs.keys() - {"hybrid"}:
        print(f"  hybrid minus {name}: {signed(paired_bootstrap(figures['hybrid'].samples, figures[name].samples))}")
    if task.name == "cranfield":
        print(f"  hybrid, 0 as relevant: {figure(runs['hybrid'], cranfield(zeros=1).judged)}")


def signed(difference: Estimate) -> str:
    """Write a difference with its 95 % interval."""
    return f"{difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]"


if __name__ == "__main__":
    main(sys.argv[1:])
