"""Say why a hit was found: what every space and full text added to its score, and which words matched.

It reads the trace that a search leaves on its hits and runs no model. Words are matched by their English stems and as
CJK pairs, as full text does in a local collection.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import snowballstemmer

from mmsdk.stores.fulltext import words
from mmsdk.types import Hit


@dataclass(frozen=True)
class Contribution:
    """Hold what one list added to a score: ``amount`` = ``weight`` x ``value``.

    ``source`` is a space or ``full text``; ``raw`` its cosine or BM25 and ``rank`` the place in its list, ``None``
    when the list did not reach that far: ``value`` is then that of its last entry (0 for full text), an upper bound.
    """

    source: str
    part: int
    raw: float | None
    rank: int | None
    value: float
    weight: float

    @property
    def amount(self) -> float:
        """What it added to the score."""
        return self.weight * self.value


@dataclass(frozen=True)
class Explanation:
    """Hold why a hit was found. The contributions add up to ``fused``, the score after fusion.

    ``rank`` is that after fusion, from 1; ``rerank`` says what a reranker changed, ``matched`` are words of the
    passage, in lower case, that the question asks for, and ``notes`` what the choice among the best did.
    """

    score: float
    fused: float
    rank: int
    method: str
    contributions: tuple[Contribution, ...]
    matched: tuple[str, ...]
    where: Mapping[str, Any] | None = None
    rerank: Mapping[str, Any] | None = None
    notes: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Write it in the shape ``mmsdk search --explain --json`` prints."""
        added = [{**vars(found), "amount": found.amount} for found in self.contributions]
        return {**vars(self), "contributions": added, "matched": list(self.matched)}

    def __str__(self) -> str:
        lines = [f"score {self.score:.3f}"]
        if self.rerank is not None:
            lines.append(
                f"  by {self.rerank['by']}; before it rank {self.rerank['rank_before']}, "
                f"score {self.rerank['score_before']:.3f}"
            )
        lines.append(f"  rank {self.rank} and {self.fused:.3f} after fusion by {self.method}:")
        lines += [f"    {_line(found)}" for found in self.contributions]
        if self.matched:
            lines.append(f"  matched words: {', '.join(self.matched)}")
        for name, value in {**(self.notes or {}), **({"filter": self.where} if self.where else {})}.items():
            lines.append(f"  {name}: {value}")
        return "\n".join(lines)


def explain(hit: Hit) -> Explanation:
    """Explain a hit of a search, reranked or not. Raises ``ValueError`` for a hit without the trace of a search.

    >>> import tempfile
    >>> from mmsdk import Collection
    >>> from mmsdk.testing import HashingEncoder
    >>> with Collection.open(tempfile.mkdtemp(), create=True, encoders=[HashingEncoder()]) as shop:
    ...     ids = shop.add_texts(["Tents are waterproof.", "Winter boots.", "A lamp."])
    ...     print(explain(shop.search("waterproof tents", k=1)[0]))
    score 0.862
      rank 1 and 0.862 after fusion by scores:
        0.612 = 0.75 x 0.816 (hashing: cosine 0.816, rank 1)
        0.250 = 0.25 x 1.000 (full text: BM25 0.915, rank 1)
      matched words: tents, waterproof
    """
    trace: Mapping[str, Any] = hit.trace
    if "fused" not in trace:
        raise ValueError(f"the hit {hit.chunk.id} has no trace of a search to explain")
    spaces = [_contribution(said, said["space"], said["cosine"]) for said in trace.get("spaces", ())]
    texts = [_contribution(said, "full text", said["score"]) for said in trace.get("text", ())]
    asked = " ".join(said["asked"] for said in trace.get("text", ()))
    notes = {name: trace[name] for name in ("collapsed",) if name in trace}
    return Explanation(
        hit.score,
        trace["fused"],
        trace["rank"],
        trace["method"],
        tuple(sorted([*spaces, *texts], key=lambda found: found.part)),
        matched(asked, str(hit.chunk.content) if isinstance(hit.chunk.content, str) else hit.chunk.text),
        trace.get("where"),
        trace.get("rerank"),
        notes,
    )


def matched(question: str, passage: str) -> tuple[str, ...]:
    """Give the words of a passage that a question asks for, each once, in the order of the passage.

    A Chinese character is left out where it stands in a pair that is given.

    >>> matched("Which tents are waterproof? 帐篷", "A waterproof tent. 两人帐篷")
    ('waterproof', 'tent', '帐篷')
    """
    asked = {_stem(word) for word in words(question, is_query=True)}
    found = {_stem(word): word for word in reversed(words(passage)) if _stem(word) in asked}
    shown = dict.fromkeys(word for word in words(passage) if word in found.values())
    return tuple(word for word in shown if word.isascii() or not any(word in other != word for other in shown))


@lru_cache(4096)
def _stem(word: str) -> str:
    return str(snowballstemmer.stemmer("porter").stemWord(word))


def _contribution(said: Mapping[str, Any], source: str, raw: float | None) -> Contribution:
    return Contribution(source, said["part"], raw, said["rank"], said["value"], said["weight"])


def _line(found: Contribution) -> str:
    name = "BM25" if found.source == "full text" else "cosine"
    seen = "not in its list" if found.raw is None else f"{name} {found.raw:.3f}, rank {found.rank}"
    part = f", part {found.part + 1}" if found.part else ""
    return f"{found.amount:.3f} = {found.weight:.2f} x {found.value:.3f} ({found.source}{part}: {seen})"
