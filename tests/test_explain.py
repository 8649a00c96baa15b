"""Explanations: they add up, and they name what matched."""

import json
from pathlib import Path

import pytest

from mmsdk import Chunk, Collection, Hit, Locator, load
from mmsdk.explain import explain, matched
from mmsdk.rerank import Reranker
from mmsdk.runtime import Runtime
from mmsdk.settings import Settings
from mmsdk.testing import HashingEncoder

SHOP = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize("method", ["scores", "ranks"])
def test_contributions_add_up_over_texts_pictures_and_recordings(bundled: Runtime, tmp_path: Path, method: str) -> None:
    settings = bundled.settings.model_copy(
        update={"retrieval": Settings().retrieval.model_copy(update={"fusion": method})}
    )
    with Collection.open(tmp_path, True, bundled.encoders(), settings=settings) as shop:
        shop.add([SHOP / "data" / "faq.md", *sorted((SHOP / "data" / "pictures").glob("*.png"))[:2]])
        picture = load(SHOP / "questions" / "picture-question.png")
        for query in ("How do I return a tent?", picture, [picture, "Which tents are waterproof?"]):
            hits = shop.search(query, 6, where={"modality": {"$in": ["text", "image"]}})
            for rank, hit in enumerate(hits, 1):
                why = explain(hit)
                assert sum(found.amount for found in why.contributions) == pytest.approx(hit.score, abs=1e-9)
                assert why.rank == rank
                assert why.method == method
                assert why.where == {"modality": {"$in": ["text", "image"]}}
                assert json.loads(json.dumps(why.to_json()))["fused"] == hit.score


def test_it_reads_like_this(tmp_path: Path) -> None:
    with Collection.open(tmp_path, True, HashingEncoder()) as shop:
        shop.add_texts(["Tents are waterproof.", "A waterproof coat.", "Winter boots."], metadata={"year": 2024})
        hits = Reranker(shop, lambda _, hits: [1 - 0.1 * n for n in range(len(hits), 0, -1)]).retrieve(
            "waterproof tents", where={"year": 2024}
        )
        assert str(explain(hits[-1])).splitlines() == [
            "score 0.700",
            "  by <lambda>; before it rank 1, score 0.862",
            "  rank 1 and 0.862 after fusion by scores:",
            "    0.612 = 0.75 x 0.816 (hashing: cosine 0.816, rank 1)",
            "    0.250 = 0.25 x 1.000 (full text: BM25 0.486, rank 1)",
            "  matched words: tents, waterproof",
            "  filter: {'year': 2024}",
        ]


def test_matched_words_are_stems_and_chinese_pairs() -> None:
    assert matched("return policies of tents", "The policy: a tent is returned.") == ("policy", "tent", "returned")
    assert matched("帐篷怎么退货", "两人帐篷，可以退货") == ("帐篷", "退货")
    assert matched("", "anything") == ()


def test_a_hit_from_elsewhere_cannot_be_explained() -> None:
    chunk = Chunk("c", "d", "text", "text", "text", Locator("characters", 0, 4))
    with pytest.raises(ValueError, match="no trace of a search"):
        explain(Hit(chunk, 0.5))
