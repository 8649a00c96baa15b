"""Rerankers: the order is the scorer's, places of what it cannot judge stay, and failing changes nothing."""

import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mmsdk import Chunk, Collection, Hit, Image, Locator
from mmsdk.rerank import CrossScorer, JudgeScorer, Reranker, words_of
from mmsdk.runtime import Runtime
from mmsdk.testing import HashingEncoder, ScriptedLLM
from mmsdk.types import Filter, Query

TEXTS = ("The tent costs 90 euros.", "The tent weighs 2 kg.", "Boots are for the winter.")


class Found:
    """A retriever that found these."""

    def __init__(self, *contents: str | Image) -> None:
        self.hits = [
            Hit(
                Chunk(str(n), str(n), content, content if isinstance(content, str) else "", "text", Locator("image")),
                0.9 - n / 10,
            )
            for n, content in enumerate(contents)
        ]
        self.asked: list[tuple[int, Filter | None]] = []

    def retrieve(self, query: Query, k: int = 8, *, where: Filter | None = None) -> list[Hit]:
        self.asked.append((k, where))
        return self.hits[:k]


def picture() -> Image:
    return Image(np.zeros((2, 2, 3), np.uint8))


def ids(hits: Sequence[Hit]) -> str:
    return "".join(hit.chunk.id for hit in hits)


def test_a_function_scores_and_the_trace_says_what_was_before() -> None:
    found = Found(*TEXTS)
    reranker = Reranker(found, lambda _, hits: [n / 10 for n in range(len(hits))], depth=3)
    hits = reranker.retrieve("tent", 2, where={"a": 1})
    assert ids(hits) == "21"
    assert found.asked == [(3, {"a": 1})]
    assert [hit.score for hit in hits] == [0.2, 0.1]
    assert hits[0].trace["rerank"] == {
        "by": "<lambda>",
        "score": 0.2,
        "rank_before": 3,
        "score_before": pytest.approx(0.7),
    }
    assert ids(Reranker(found, lambda _, hits: [0.5] * len(hits)).retrieve("tent")) == "012"
    assert Reranker(Found(), lambda *_: []).retrieve("tent") == []
    assert len(Reranker(found, lambda _, hits: [0.5] * len(hits), depth=1).retrieve("tent", 3)) == 3


def test_what_cannot_be_judged_keeps_its_place() -> None:
    scores = [0.1, math.nan, 0.9]
    hits = Reranker(Found(TEXTS[0], picture(), TEXTS[1]), lambda *_: scores).retrieve("tent")
    assert ids(hits) == "210"
    assert hits[1].score == pytest.approx(0.8)
    assert "rerank" not in hits[1].trace


@pytest.mark.parametrize(("scores", "said"), [([0.5], "1 scores for 3 hits"), ([0.5, 1.5, 0], "the score 1.5")])
def test_scores_that_are_none_are_refused(scores: list[float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Reranker(Found(*TEXTS), lambda *_: scores).retrieve("tent")


def test_a_cross_encoder_reads_question_and_passage_together(bundled: Runtime) -> None:
    from mmsdk.encoders.cross import CrossEncoder

    scorer = CrossScorer(CrossEncoder(settings=bundled.settings))
    found = Found(TEXTS[2], TEXTS[1], picture(), TEXTS[0])
    hits = Reranker(found, scorer).retrieve(["How much is the tent?", picture()])
    assert ids(hits)[0] == "3"
    assert hits[2].chunk.id == "2"
    judged = [hit.score for hit in hits if "rerank" in hit.trace]
    assert judged == sorted(judged, reverse=True)
    assert all(0 < score < 1 for score in judged)
    assert ids(Reranker(found, scorer).retrieve(picture())) == "0123"


def test_a_judge_grades_in_batches() -> None:
    replies = [
        json.dumps({"grades": [{"passage": 1, "grade": 1}, {"passage": 2, "grade": 3}, {"passage": 9, "grade": 3}]}),
        json.dumps({"grades": []}),
    ]
    llm = ScriptedLLM(replies=replies)
    hits = Reranker(Found(*TEXTS), JudgeScorer(llm, batch=2, length=8)).retrieve("How heavy is the tent?")
    assert ids(hits) == "102"
    assert [hit.score for hit in hits] == pytest.approx([1.0, 1 / 3, 0.7])
    assert "[1] The tent\n[2] The tent" in str(llm.asked[0][-1].content)
    assert "How heavy" in str(llm.asked[1][-1].content)


def test_a_judge_that_fails_changes_nothing_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    llm = ScriptedLLM(replies=["no grades here"])
    with caplog.at_level(logging.WARNING, "mmsdk.rerank"):
        hits = Reranker(Found(*TEXTS), JudgeScorer(llm)).retrieve("tent", 2)
    assert ids(hits) == "01"
    assert "stay in the order of the search" in caplog.text
    assert "valid _Grades" in caplog.text


def test_a_real_llm_gives_valid_grades(bundled: Runtime) -> None:
    hits = Reranker(Found(*TEXTS), JudgeScorer(bundled.llm())).retrieve("How heavy is the tent?")
    assert sorted(ids(hits)) == ["0", "1", "2"]
    assert all(0 <= hit.score <= 1 for hit in hits)


def test_rerankers_wrap_rerankers_and_collections(tmp_path: Path) -> None:
    with Collection.open(tmp_path, True, HashingEncoder()) as shop:
        shop.add_texts(list(TEXTS))
        longest = Reranker(shop, lambda _, hits: [len(hit.chunk.text) / 100 for hit in hits])
        twice = Reranker(longest, lambda _, hits: [0.5] * len(hits))
        assert [hit.chunk.text for hit in twice.retrieve("the tent")] == sorted(TEXTS, key=len, reverse=True)


def test_words_of_a_question() -> None:
    assert words_of(["What is", picture(), "this?"]) == "What is this?"
    assert words_of(picture()) == ""
