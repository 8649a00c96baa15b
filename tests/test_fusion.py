"""Fusion: order, range and comparability of scores, and that they can be taken apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsdk.fusion import DENSE, SCALES, UNREAD, Fusion, Ranking, calibrated, scale_of
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


def scores(*rankings: Ranking) -> dict[str, float]:
    return dict(Fusion(rankings).ranked())


@given(LISTS, st.sampled_from(["scores", "ranks"]))
def test_scores_are_in_order_and_are_the_sum_of_what_the_lists_say(
    lists: list[tuple[int, str, str, str | None, dict[str, float]]], method: str
) -> None:
    rankings = []
    for part, query, content, space, found in lists:
        kind = content if space else "text"
        values = {f"{kind} {name}": value if space else abs(value) + 0.1 for name, value in found.items()}
        ordered = sorted(values.items(), key=lambda pair: -pair[1])
        rankings.append(Ranking(part, query, kind, space, ordered))  # type: ignore[arg-type]
    fusion = Fusion(rankings, method=method, spoken={"text a"})  # type: ignore[arg-type]
    ranked = fusion.ranked()
    assert [score for _, score in ranked] == sorted((score for _, score in ranked), reverse=True)
    assert all(0 <= score <= 1 for _, score in ranked)
    assert {name for name, _ in ranked} == {name for ranking in rankings for name, _ in ranking.found}
    traces = fusion.traces([name for name, _ in ranked])
    for name, score in ranked:
        said = [*traces[name].get("spaces", []), *traces[name].get("text", [])]
        assert sum(voice["weight"] * voice["value"] for voice in said) == pytest.approx(score, abs=1e-9)


def test_both_kinds_of_evidence_beat_one() -> None:
    fusion = Fusion(
        [
            Ranking(0, "text", "text", "s", [("both", 0.5), ("near", 0.5), ("far", 0.1)]),
            Ranking(0, "text", "text", None, [("both", 9.0), ("words", 8.0)], asked="tents"),
        ]
    )
    ranked = fusion.ranked()
    assert [name for name, _ in ranked] == ["both", "near", "words", "far"]
    assert ranked[0][1] == pytest.approx(DENSE * 0.5 + (1 - DENSE))
    trace = fusion.traces(["both", "far"])
    assert trace["both"]["spaces"][0]["rank"] == trace["both"]["text"][0]["rank"] == 1
    assert trace["both"]["text"][0]["asked"] == "tents"
    assert trace["far"]["text"][0] == {
        "part": 0,
        "score": None,
        "asked": "tents",
        "value": 0.0,
        "weight": 1 - DENSE,
        "rank": None,
    }


def test_what_a_list_did_not_reach_counts_as_its_last() -> None:
    found = scores(
        Ranking(0, "text", "text", "s", [("a", 0.9), ("b", 0.3)]),
        Ranking(0, "text", "text", None, [("c", 4.0)]),
    )
    assert found["c"] == pytest.approx(DENSE * 0.3 + (1 - DENSE))


def test_a_picture_is_not_punished_for_having_no_words() -> None:
    related_text = Ranking(0, "text", "text", "s", [("text", 0.45)])
    words = Ranking(0, "text", "text", None, [("text", 5.0)])
    related_picture = Ranking(0, "text", "image", "s", [("picture", 0.35)])
    found = scores(related_text, words, related_picture)
    assert abs(found["picture"] - found["text"]) < 0.05


def test_parts_of_a_question_count_equally() -> None:
    found = scores(
        Ranking(0, "text", "text", "s", [("a", 0.8), ("b", 0.2), ("c", 0.4)]),
        Ranking(1, "image", "text", "s", [("b", 0.4), ("c", 0.2), ("a", -0.2)]),
    )
    assert found["a"] == pytest.approx((0.8 + calibrated(-0.2, SCALES["image", "text"])) / 2)


def test_without_vectors_words_decide() -> None:
    assert Fusion([Ranking(0, "text", "text", None, [("a", 6.0), ("b", 3.0)])]).ranked() == [("a", 1.0), ("b", 0.5)]
    assert Fusion([]).ranked() == []


def test_ranks_ask_only_for_the_order() -> None:
    lists = [
        Ranking(0, "text", "text", "s", [("a", 0.31), ("b", 0.3)]),
        Ranking(0, "text", "text", None, [("b", 90.0), ("a", 0.1)]),
    ]
    found = dict(Fusion(lists, method="ranks").ranked())
    assert found["a"] == pytest.approx(DENSE + (1 - DENSE) * 61 / 62)
    assert found["a"] > found["b"] > 0.98


def test_recorded_scales_win_and_recordings_have_their_own() -> None:
    near = Ranking(0, "text", "text", "s", [("said", 0.3), ("written", 0.3)])
    found = dict(Fusion([near], spoken={"said"}).ranked())
    assert found["said"] > found["written"] == pytest.approx(0.3)
    recorded = {("s", "text", "text"): (0.2, 0.4), ("s", "text", "audio"): (0.0, 3.0)}
    found = dict(Fusion([near], scales=recorded, spoken={"said"}).ranked())  # type: ignore[arg-type]
    assert found == pytest.approx({"written": 0.5, "said": 0.1})
    assert scale_of({}, "s", "image", item="audio") == SCALES["image", "text"]


@given(st.floats(-0.5, 0.5), st.floats(0.1, 1.5), st.floats(-1, 1), st.floats(-1, 1))
def test_calibration_keeps_the_order_and_never_ties_above(low: float, width: float, one: float, other: float) -> None:
    scale = (low, low + width)
    less, more = sorted((one, other))
    assert 0 <= calibrated(less, scale) <= calibrated(more, scale) <= 1
    if more > less + 1e-6 and less > low:
        assert calibrated(more, scale) > calibrated(less, scale)


def test_an_encoder_without_chinese_counts_less_for_chinese(bundled: Runtime) -> None:
    text = bundled.encoder("text")
    assert not knows_chinese(text)
    assert dense_share(text, "退货需要多少天？") == UNREAD
    assert dense_share(text, "How many days?") == DENSE
    assert dense_share(text, "MiniLM 模型 what is it") == DENSE
    assert dense_share(HashingEncoder(), "2024?") == DENSE
