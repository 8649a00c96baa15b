"""Fusion: order, range and comparability of scores."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsdk.fusion import DENSE, UNREAD, Ranking, calibrated, fuse
from mmsdk.runtime import Runtime
from mmsdk.search import dense_share, knows_chinese
from mmsdk.testing import HashingEncoder

LISTS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["text", "image"]),
        st.sampled_from(["text", "image"]),
        st.sampled_from(["s", "t", None]),
        st.dictionaries(st.sampled_from("abcdefgh"), st.floats(-1, 1), max_size=8),
    ),
    max_size=6,
)


@given(LISTS)
def test_scores_are_in_range_and_in_order(lists: list[tuple[int, str, str, str | None, dict[str, float]]]) -> None:
    rankings = []
    for part, query, content, space, found in lists:
        values = {name: value if space else abs(value) + 0.1 for name, value in found.items()}
        ordered = sorted(values.items(), key=lambda pair: -pair[1])
        names = [(f"{content} {name}", value) for name, value in ordered]
        kind = content if space else "text"
        rankings.append(Ranking(part, query, kind, space, names))  # type: ignore[arg-type]
    fused = fuse(rankings)
    assert [result.score for result in fused] == sorted((result.score for result in fused), reverse=True)
    assert all(0 <= result.score <= 1 for result in fused)
    assert {result.id for result in fused} == {name for ranking in rankings for name, _ in ranking.found}
    assert all(result.trace["fused"] == result.score for result in fused)


def test_both_kinds_of_evidence_beat_one() -> None:
    fused = fuse(
        [
            Ranking(0, "text", "text", "s", [("both", 0.5), ("near", 0.5), ("far", 0.1)]),
            Ranking(0, "text", "text", None, [("both", 9.0), ("words", 8.0)]),
        ]
    )
    assert [result.id for result in fused] == ["both", "near", "words", "far"]
    assert fused[0].score == pytest.approx(DENSE * 0.5 + (1 - DENSE))
    assert fused[0].trace["spaces"][0]["rank"] == fused[0].trace["text"][0]["rank"] == 1


def test_a_picture_is_not_punished_for_having_no_words() -> None:
    related_text = Ranking(0, "text", "text", "s", [("text", 0.45)])
    words = Ranking(0, "text", "text", None, [("text", 5.0)])
    related_picture = Ranking(0, "text", "image", "s", [("picture", 0.35)])
    fused = {result.id: result.score for result in fuse([related_text, words, related_picture])}
    assert abs(fused["picture"] - fused["text"]) < 0.05


def test_parts_of_a_question_count_equally() -> None:
    fused = fuse(
        [
            Ranking(0, "text", "text", "s", [("a", 0.8), ("b", 0.2), ("c", 0.4)]),
            Ranking(1, "image", "text", "s", [("b", 0.4), ("c", 0.2), ("a", -0.2)]),
        ]
    )
    assert {result.id for result in fused} == {"a", "b", "c"}
    expected = (0.8 + calibrated(-0.2, "image", "text")) / 2
    assert {result.id: result.score for result in fused}["a"] == pytest.approx(expected)


def test_without_vectors_words_decide() -> None:
    fused = fuse([Ranking(0, "text", "text", None, [("a", 6.0), ("b", 3.0)])])
    assert [(result.id, result.score) for result in fused] == [("a", 1.0), ("b", 0.5)]
    assert fuse([]) == []


def test_an_encoder_without_chinese_counts_less_for_chinese(bundled: Runtime) -> None:
    text = bundled.encoder("text")
    assert not knows_chinese(text)
    assert dense_share(text, "退货需要多少天？") == UNREAD
    assert dense_share(text, "How many days?") == DENSE
    assert dense_share(text, "MiniLM 模型 what is it") == DENSE
    assert dense_share(HashingEncoder(), "2024?") == DENSE
