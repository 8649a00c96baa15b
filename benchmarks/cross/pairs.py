"""Questions with sentences that answer them and sentences nearby that do not, to train the cross-encoder on.

DSTC9 knowledge (Apache-2.0): a FAQ's title asks and its body answers; bodies of the same place to other titles do not.
Invented places (ours): the sentences of a place nearest to the question; those that hold the gold words answer.
Titles of DSTC9 that nearly say the same are paraphrases, and stand above a body now and then as a FAQ's heading does.
"""

import json
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.answerability.data import SHARED, Case
from benchmarks.cross.noise import noisy
from mmsdk.lexicon import is_cjk
from mmsdk.protocols import Encoder, PairScorer
from mmsdk.statements import Sentence, split

SAME, OTHER = 0.82, 0.62
"""Cosines of titles: from ``SAME`` on they ask the same, below ``OTHER`` something else; between, nobody knows."""

ALONE = 0.4
ANSWERS, JOINED = 1.0, 0.2
_ROW = re.compile(r"[^:;]{1,40}: [^;]+;")
_BEGINS = re.compile(
    r"(?:The|It|We|You|They|An?|In|On|If|For|There|All|Every|Each|This|At|And|But|To|From|Please|Our|Your)\b"
)


@dataclass(frozen=True)
class Pair:
    """A question, a text in the form of ``Sentence.passage``, and whether the text answers it."""

    question: str
    text: str
    answers: bool


def dstc9(encoder: Encoder, *, questions: int, negatives: int, seed: int = 1) -> Iterator[Pair]:
    """Give pairs of DSTC9: hotels, restaurants and attractions, questions drawn by entity."""
    generator = np.random.default_rng(seed)
    knowledge = json.loads((SHARED / "cs_dstc9_kb" / "knowledge.json").read_text("utf-8"))
    places = [
        (str(entity["name"] or kind).title(), list(entity["docs"].values()))
        for kind, entities in sorted(knowledge.items())
        for _, entity in sorted(entities.items())
    ]
    titles = sorted({doc["title"] for _, docs in places for doc in docs})
    row = {title: place for place, title in enumerate(titles)}
    vectors = encoder.encode(titles)
    share = questions / sum(len(docs) for _, docs in places)
    for name, docs in places:
        bodies = encoder.encode([doc["body"] for doc in docs])
        asked = vectors[[row[doc["title"]] for doc in docs]]
        for one in np.flatnonzero(generator.random(len(docs)) < share):
            title = docs[one]["title"]
            likeness = asked @ asked[one]
            others = np.flatnonzero(likeness < OTHER)
            hard = others[np.argsort(-(bodies[others] @ asked[one]))]
            chosen = [*hard[: negatives - 1], *generator.permutation(hard[negatives - 1 :])[:1]]
            alike = np.flatnonzero((vectors @ asked[one] >= SAME) & (vectors @ asked[one] < 0.99))
            twin = titles[generator.choice(alike)] if len(alike) else ""
            headed, named = generator.random() < 0.25, generator.random() < 0.6
            if twin and generator.random() < 0.5:
                title, twin = twin, title
            for place in [one, *chosen]:
                lead = twin if place == one else docs[place]["title"]
                context = " . ".join(part for part in (name if named else "", lead if headed else "") if part)
                body = docs[place]["body"]
                yield Pair(title, f"{context}: {body}" if context else body, bool(place == one))


def invented(
    cases: Iterable[Case], encoder: Encoder, *, negatives: int, seed: int = 1, share: float = 1.0, noise: float = 0.0
) -> Iterator[Pair]:
    """Give pairs of a ``share`` of the questions: what answers, and the nearest sentences that do not.

    A share of ``noise`` of them is written as a customer might; for ``ALONE`` the sentence before is left out.
    """
    generator, draw = np.random.default_rng(seed), random.Random(seed)
    for case in cases:
        if is_cjk(case.question) or draw.random() >= share:
            continue
        question = noisy(case.question, draw) if draw.random() < noise else case.question
        left, alone = negatives, generator.random() < ALONE
        for sentence in nearest(case, encoder):
            answers = bool(case.gold) and bool(re.search(case.gold, sentence.text))
            if answers or left > 0:
                left -= not answers
                yield Pair(question, sentence.statement if alone else sentence.passage, answers)


def doubted(
    cases: Iterable[Case], encoder: Encoder, scorer: PairScorer, *, seed: int = 1, noise: float = 0.3
) -> Iterator[Pair]:
    """Give pairs whose wrong sentences are near, less those that probably answer and that nobody listed.

    A question that is answered gets three wrong ones, another four. One that a scorer holds for an answer is left out,
    unless it is a row of a table, whose writers list all that answer. A fifth of the sentences is joined with another
    of the passage, as people do; noise and ``ALONE`` as in ``invented``.
    """
    draw = random.Random(seed)
    for case in cases:
        if is_cjk(case.question):
            continue
        question = noisy(case.question, draw) if draw.random() < noise else case.question
        gold = [one for one in split(case.hits) if case.gold and re.search(case.gold, one.text)]
        if case.gold and not gold:  # it ends in the middle of what is taken for a sentence
            continue
        wrong = [sentence for sentence in nearest(case, encoder, 14) if sentence not in gold]
        if gold and wrong:
            scores = scorer.score([(case.question, sentence.passage) for sentence in wrong])
            kept = zip(wrong, scores, strict=True)
            wrong = [sentence for sentence, score in kept if score < ANSWERS or _ROW.match(sentence.text)]
        chosen = draw.sample(wrong[:5], min(2 if gold else 3, len(wrong[:5])))
        chosen += draw.sample(wrong[5:], min(1, len(wrong[5:])))
        alone = draw.random() < ALONE
        for sentence in [*gold, *chosen]:
            text = sentence.statement if alone else sentence.passage
            if draw.random() < JOINED:
                others = [one for one in split([sentence.hit]) if one.text != sentence.text and one not in gold]
                text = text.removesuffix(sentence.text) + _joined(sentence.text, others, draw)
            yield Pair(question, text, sentence in gold)


def _joined(text: str, others: Sequence[Sentence], draw: random.Random) -> str:
    """Say two sentences in one, where the other begins with a word that can be written small."""
    fit = [one.text for one in others if len(one.text) < 120 and _BEGINS.match(one.text)]
    if not fit or _ROW.match(text):
        return text
    other = draw.choice(fit).rstrip(" .")
    return text.rstrip(" .") + draw.choice([" and ", ", and ", ", while ", "; "]) + other[0].lower() + other[1:] + "."


def nearest(case: Case, encoder: Encoder, count: int = 12) -> list[Sentence]:
    """Give the sentences nearest to a question by vectors, nearest first."""
    pool = split(case.hits)
    asked = encoder.encode([case.question])[0]
    near = np.maximum(
        encoder.encode([s.text for s in pool]) @ asked, encoder.encode([s.statement for s in pool]) @ asked
    )
    return [pool[place] for place in np.argsort(-near, kind="stable")[:count]]


def counted(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Count pairs for the log."""
    return {"pairs": len(pairs), "answers": sum(pair.answers for pair in pairs)}
