"""Questions with their answers, and the same questions with the answer taken away."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmsdk import loaders
from mmsdk.chunking import chunks
from mmsdk.protocols import Encoder
from mmsdk.settings import Settings
from mmsdk.types import Document, Failure, Hit, Locator, Part

HERE = Path(__file__).parent
SHARED = Path(os.environ.get("MMSDK_SHARED_DATA", HERE.parents[2] / "shared" / "data"))


@dataclass(frozen=True)
class Case:
    """A question over a document.

    ``gold`` is a pattern of the answering sentence, empty when there is none; ``removed`` says that there was one.
    """

    place: str
    question: str
    gold: str
    hits: tuple[Hit, ...]
    removed: bool = False


def document(name: str, text: str) -> Document:
    """Build a document of headings and paragraphs out of markdown."""
    parts, position = [], 0
    for line in text.splitlines(keepends=True):
        kind = "heading" if line.startswith("#") else "paragraph"
        parts.append(Part(line, Locator("characters", position, position + len(line)), kind))
        position += len(line)
    return Document(name, tuple(parts), f"{name}.md", "")


def retrieve(question: str, documents: Sequence[Document], *, encoder: Encoder, k: int = 12) -> tuple[Hit, ...]:
    """Find the passages nearest to a question by cosine."""
    found = [chunk for one in documents for chunk in chunks(one, size=700)]
    if len(found) <= k:  # nothing to choose: the order does not matter
        return tuple(Hit(chunk, 1.0) for chunk in found)
    vectors = encoder.encode([str(chunk.content) for chunk in found])
    scores = vectors @ encoder.encode([question])[0]
    order = np.argsort(-scores)[:k]
    return tuple(Hit(found[row], float(scores[row])) for row in order)


def without(text: str, gold: str) -> str:
    """Take the sentence with the answer out of a text."""
    pieces = re.split(r"(?<=[.!?。！？;；])(?=\s|[^\s\d.])|(?<=\n)", text)
    return "".join(piece for piece in pieces if gold not in piece)


def invented(encoder: Encoder, file: Path = HERE / "invented.md") -> Iterator[Case]:
    """Give the invented places: answerable, with the answer removed, and unanswerable."""
    for block in re.split(r"(?m)^(?=# )", re.sub(r"(?s)<!--.*?-->", "", file.read_text("utf-8"))):
        lines = block.splitlines(keepends=True)
        text = "".join(line for line in lines if not line.startswith(("? ", "- ")))
        place = block.partition("\n")[0].lstrip("# ")
        whole = document(place, text)
        for line in lines:
            question, _, gold = line[2:].strip().partition(" => ")
            if line.startswith("- "):
                yield Case(place, question, "", retrieve(question, [whole], encoder=encoder))
            elif line.startswith("? "):
                if gold not in text:
                    raise ValueError(f"{place}: {gold!r} is not in the text")
                yield Case(place, question, re.escape(gold), retrieve(question, [whole], encoder=encoder))
                rest = document(place, without(text, gold))
                yield Case(place, question, "", retrieve(question, [rest], encoder=encoder), removed=True)


def library(encoder: Encoder) -> Iterator[Case]:
    """Give the invented library of benchmarks/library with its thirty questions."""
    documents = list(
        loaders.read(HERE.parent / "library", settings=Settings(), on_failure=_refuse, on_skip=lambda _: None)
    )
    for line in (HERE.parent / "library_questions.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        yield Case(
            "library", row["question"], "|".join(row["answer"]), retrieve(row["question"], documents, encoder=encoder)
        )


def _refuse(failure: Failure) -> None:
    raise ValueError(f"{failure.source} was not read: {failure.reason}")


def dstc9(encoder: Encoder, *, entities: int = 30, questions: int = 6) -> Iterator[Case]:
    """Give hotels and restaurants of DSTC9: answers as running text, then without all answers to like questions."""
    generator = np.random.default_rng(9)
    knowledge = json.loads((SHARED / "cs_dstc9_kb" / "knowledge.json").read_text("utf-8"))
    places = [
        (entity["name"], list(entity["docs"].values()))
        for kind in ("hotel", "restaurant", "attraction")
        for entity in knowledge[kind].values()
    ]
    for index in generator.permutation(len(places))[:entities]:
        name, docs = places[index]
        vectors = encoder.encode([doc["title"] for doc in docs])
        bodies = [doc["body"].rstrip(". ") + "." for doc in docs]
        for chosen in generator.permutation(len(docs))[:questions]:
            alike = vectors @ vectors[chosen]
            if ((alike > 0.5) & (alike < 0.7)).any():
                continue
            twins = {row for row in np.flatnonzero(alike >= 0.7) if row != chosen}
            kept = [*[row for row in range(len(docs)) if row not in twins][:16], int(chosen)]
            for gold, rows in ((bodies[chosen], kept), ("", [row for row in kept if row != chosen])):
                lines = [bodies[row] for row in dict.fromkeys(rows)]
                text = f"# {name.title()}\n" + "\n\n".join(" ".join(lines[i : i + 5]) for i in range(0, len(lines), 5))
                question = docs[chosen]["title"]
                yield Case(name, question, re.escape(gold), retrieve(question, [document(name, text)], encoder=encoder))


def cmrc(encoder: Encoder, *, paragraphs: int = 40) -> Iterator[Case]:
    """Give Chinese paragraphs of CMRC 2018 (trial), with and without the sentence that answers."""
    data = json.loads((SHARED / "zh_cmrc2018" / "cmrc2018_trial.json").read_text("utf-8"))["data"]
    for article in data[:paragraphs]:
        for paragraph in article["paragraphs"]:
            context = paragraph["context"]
            for asked in paragraph["qas"][:2]:
                gold = asked["answers"][0]["text"]
                if len(gold) < 2 or gold not in context:
                    continue
                for wanted, text in ((gold, context), ("", without(context, gold))):
                    hits = retrieve(asked["question"], [document("", text)], encoder=encoder)
                    yield Case(article["paragraphs"][0]["id"], asked["question"], re.escape(wanted), hits)
