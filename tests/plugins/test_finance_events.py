"""Which items tell one story."""

import pytest

from mmsdk.testing import HashingEncoder
from mmsdk_finance.events import Stories, Story, sketch

HOUR = 3600.0
LEAD = "Calder Motors cuts its 2025 profit outlook to $1.2 bn after a weak second quarter in Europe"


def _stories() -> Stories:
    stories = Stories()
    stories.add(Story(1, 0.0, sketch(LEAD, ["CLD"])))
    return stories


@pytest.mark.parametrize(
    ("text", "how"),
    [
        (LEAD.upper(), "exact"),
        (f"{LEAD}.", "exact"),
        (f"UPDATE 2-{LEAD}", "exact"),
        (f"{LEAD} $CLD", "exact"),
        ("Calder Motors cuts 2025 profit outlook to $1.2 bn after weak second quarter", "near"),
        ("After a weak second quarter in Europe, Calder Motors cuts its 2025 profit outlook to $1.2 bn", "near"),
        (f"{LEAD}, shares fall - Newswire", "near"),
    ],
)
def test_edited_copies_are_found(text: str, how: str) -> None:
    assert _stories().match(sketch(text, ["CLD"]), 2 * HOUR) == (1, how)


@pytest.mark.parametrize(
    ("text", "ticker"),
    [
        (LEAD.replace("1.2", "1.4"), "CLD"),
        (LEAD.replace("second", "Q2").replace("2025", "2024"), "CLD"),
        (LEAD.replace("cuts", "raises").replace("weak", "strong"), "CLD"),
        (LEAD.replace("cuts", "does not cut"), "CLD"),
        (LEAD.replace("Calder Motors", "Brightwater Foods"), "BRW"),
        ("Calder Motors names a new head of its European business", "CLD"),
    ],
)
def test_other_figures_names_and_directions_are_other_stories(text: str, ticker: str) -> None:
    assert _stories().match(sketch(text, [ticker]), 2 * HOUR) is None


def test_the_same_words_a_week_later_are_news_again() -> None:
    stories = _stories()
    assert stories.match(sketch(LEAD, ["CLD"]), 7 * 24 * HOUR) is None
    assert stories.match(sketch(LEAD, ["CLD"]), -HOUR) == (1, "exact")


def test_meaning_decides_where_words_differ() -> None:
    encoder = HashingEncoder()
    vectors = encoder.encode([LEAD, "something else entirely"])
    stories = Stories()
    stories.add(Story(1, 0.0, sketch(LEAD, ["CLD"]), vectors[0]))
    other = sketch("Carmaker lowers guidance", ["CLD"])
    assert stories.match(other, HOUR, vector=vectors[0]) == (1, "meaning")
    assert stories.match(other, HOUR, vector=vectors[1]) is None
    assert stories.match(sketch("Carmaker lowers guidance", ["BRW"]), HOUR, vector=vectors[0]) is None


def test_what_is_forgotten_leaves_nothing_behind() -> None:
    stories = _stories()
    stories.add(Story(2, 100 * HOUR, sketch("Brightwater Foods buys a mill", ["BRW"])))
    stories.forget(HOUR)
    assert len(stories) == 1
    assert stories.match(sketch(LEAD, ["CLD"]), HOUR) is None
    stories.forget(1000 * HOUR)
    assert not stories._index


def test_chinese_copies_are_found() -> None:
    stories = Stories()
    stories.add(Story(1, 0.0, sketch("贵州茅台第三季度净利润同比增长百分之十三", ["600519"])))
    assert stories.match(sketch("快讯：贵州茅台第三季度净利润同比增长百分之十三", ["600519"]), HOUR) == (1, "near")
    assert stories.match(sketch("贵州茅台第三季度净利润同比下降百分之十三", ["600519"]), HOUR) is None
