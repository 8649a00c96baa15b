"""What is read of what was found, and what is known of it when it is weighed."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from mmsdk import answerability, encoders
from mmsdk.chunking import chunks
from mmsdk.settings import Settings
from mmsdk.types import Document, Hit, Locator, Part

SETTINGS = Settings(offline=True)
FACTS = [f"The boat number {number} lies at the pier of Norden." for number in range(20)]
PRICE = "An hour on the water costs 12 euros."


class Favours:
    """Score what holds some words highest, and note what was asked."""

    def __init__(self, words: str) -> None:
        self.words = words
        self.read: list[tuple[str, str]] = []

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        self.read += pairs
        return np.array([3.0 if self.words in text else -1.0 for _, text in pairs], np.float32)


def hits(*lines: str) -> list[Hit]:
    text = "\n\n".join(lines)
    part = Part(text, Locator("characters", 0, len(text)))
    return [Hit(chunk, 1.0) for chunk in chunks(Document("d", (part,), "lake.txt", ""), size=4000)]


def ranked(question: str, found: list[Hit], *scorers: Favours) -> list[answerability.Candidate]:
    encoder = encoders.shared(answerability.table()["encoder"], SETTINGS)
    return answerability.rank(question, found, encoder=encoder, scorers=scorers)


def test_the_first_scorer_chooses_what_the_other_one_reads() -> None:
    first, other = Favours("12 euros"), Favours("12 euros")
    best, *rest = ranked("Where does the boat lie?", hits(*FACTS, PRICE), first, other)
    assert len(first.read) == len(FACTS) + 1
    assert len(other.read) == answerability.CLOSEST == 1 + len(rest)
    assert best.sentence.text == PRICE


def test_the_best_sentence_of_both_scorers_is_agreed_on() -> None:
    found = ranked("What does an hour cost?", hits(*FACTS, PRICE), Favours("12 euros"), Favours("12 euros"))
    assert [one.features["agreed"] for one in found] == [1.0] + [0.0] * (answerability.CLOSEST - 1)
    apart = ranked("What does an hour cost?", hits(*FACTS, PRICE), Favours("12 euros"), Favours("boat"))
    assert {one.features["agreed"] for one in apart} == {0.0}
    assert {one.features["logit"] for one in apart} == {1.0}
    assert apart[0].probability < found[0].probability


@pytest.mark.parametrize(
    ("question", "sentence", "out"),
    [
        ("What does it cost on Sunday?", "On Saturday an hour costs 12 euros.", True),
        ("What does it cost on Sunday?", PRICE, False),
        ("Can I come on Sunday?", "We are there from Tuesday to Friday.", False),
        ("Hello! Can I come on Sunday?", "The choir comes on Saturday.", True),
    ],
)
def test_another_day_rules_out_and_a_list_of_days_answers_yes_or_no(question: str, sentence: str, *, out: bool) -> None:
    (found,) = ranked(question, hits(sentence), Favours("o"))
    assert (found.features["contradicted"] > 0) == out
    assert (found.probability == 0) == out
    assert found.features["unsaid"] == 1


@pytest.mark.parametrize("question", ["", "?!", "the of and"])
def test_a_question_without_content_is_answered_by_nothing(question: str) -> None:
    assert ranked(question, hits(PRICE), Favours("o")) == []
