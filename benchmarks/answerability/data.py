"""Questions over documents of our own, with the words of the answering sentence."""

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
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

    ``gold`` is a pattern of the answering sentence, empty when there is none.
    """

    place: str
    question: str
    gold: str
    hits: tuple[Hit, ...]


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


def invented(
    encoder: Encoder, file: Path = HERE / "invented.md", *, keep: Callable[[int], bool] = lambda _: True
) -> Iterator[Case]:
    """Give the questions of the invented places; ``keep`` chooses places by number."""
    blocks = re.split(r"(?m)^(?=# )", re.sub(r"(?s)<!--.*?-->", "", file.read_text("utf-8")))
    for block in (block for number, block in enumerate(filter(str.strip, blocks)) if keep(number)):
        lines = block.splitlines(keepends=True)
        text = "".join(line for line in lines if not line.startswith(("? ", "- ")))
        place = block.partition("\n")[0].lstrip("# ")
        whole = document(place, text)
        for line in lines:
            question, _, gold = line[2:].strip().partition(" => ")
            if line.startswith("- "):
                yield Case(place, question, "", retrieve(question, [whole], encoder=encoder))
            elif line.startswith("? "):
                golds = gold.split(" || ")
                for missing in (one for one in golds if one not in text):
                    raise ValueError(f"{place}: {missing!r} is not in the text")
                pattern = "|".join(map(re.escape, golds))
                yield Case(place, question, pattern, retrieve(question, [whole], encoder=encoder))


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
