"""Choosing among candidates: quotas are kept, diversity spreads, near-duplicates stand for each other."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsdk import Collection, Image
from mmsdk.runtime import Runtime
from mmsdk.selection import Candidate, Selection, collapsed, select
from mmsdk.testing import HashingEncoder
from mmsdk.types import Document, Locator, Modality, Part

MODALITIES = st.sampled_from(["text", "image", "audio"])


@given(st.lists(MODALITIES, max_size=30), st.integers(1, 10), st.dictionaries(MODALITIES, st.integers(0, 3)))
def test_quotas_are_kept_while_there_are_so_many(kinds: list[Modality], k: int, quota: dict[Modality, int]) -> None:
    if sum(quota.values()) > k:
        with pytest.raises(ValueError, match=f"the quota asks for {sum(quota.values())} hits, but k is {k}"):
            Selection(quota=quota).check(k)
        return
    candidates = [Candidate(str(place), 1 - place / 100, place + 1) for place in range(len(kinds))]
    modalities = {str(place): kind for place, kind in enumerate(kinds)}
    ordered = select(candidates, k, selection=Selection(quota=quota), modalities=modalities)
    assert sorted(ordered, key=lambda found: found.rank) == candidates
    chosen = [modalities[found.id] for found in ordered[:k]]
    for kind, count in quota.items():
        assert chosen.count(kind) >= min(count, kinds.count(kind))
    scores = [found.score for found in ordered[:k]]
    assert scores == sorted(scores, reverse=True)
    if not quota:
        assert ordered == candidates


def test_diversity_follows_the_definition() -> None:
    candidates = [Candidate("a", 0.9, 1), Candidate("a again", 0.89, 2), Candidate("b", 0.6, 3), Candidate("c", 0.1, 4)]
    similar = np.eye(4, dtype=np.float32)
    similar[0, 1] = similar[1, 0] = 0.95
    even = select(candidates, 3, selection=Selection(diversity=0.5), modalities={}, similar=similar)
    assert [found.id for found in even] == ["a", "b", "c", "a again"]
    little = select(candidates, 3, selection=Selection(diversity=0.1), modalities={}, similar=similar)
    assert [found.id for found in little] == ["a", "a again", "b", "c"]


def test_near_duplicates_are_noted_with_the_best_of_them() -> None:
    candidates = [Candidate(name, 1 - place / 10, place + 1) for place, name in enumerate("abcd")]
    similar = np.eye(4, dtype=np.float32)
    similar[0, 2] = similar[2, 0] = similar[0, 3] = similar[3, 0] = 0.99
    kept, places = collapsed(candidates, similar, 0.98)
    assert [found.id for found in kept] == ["a", "b"]
    assert places == [0, 1]
    assert kept[0].note == {"collapsed": ["c", "d"]}
    assert not kept[1].note


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        (Selection(diversity=-0.1), "diversity is in"),
        (Selection(collapse=0.0), "collapse is a cosine"),
        (Selection(quota={"video": 1}), "'video'"),  # type: ignore[dict-item]
        (Selection(quota={"text": -1}), "-1"),
        (Selection(quota={"text": True}), "True"),
    ],
)
def test_what_makes_no_sense_is_refused(selection: Selection, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        selection.check(8)


def pictures(count: int) -> list[Document]:
    documents = []
    for number in range(count):
        image = Image(np.full((4, 4, 3), number, np.uint8))
        documents.append(Document(f"p{number}", (Part(image, Locator("image"), "picture"),), f"p{number}.png", "x"))
    return documents


def test_a_quota_reaches_beyond_the_candidates(tmp_path: Path) -> None:
    """What was said in two recordings is far down among 300 texts that all fit better."""
    with Collection.open(tmp_path, True, HashingEncoder()) as shop:
        shop.add_texts([f"boots number {number}" for number in range(300)], metadata={"kind": "new"})
        said = "a talk about sailing and one word about boots"
        parts = (Part(said, Locator("seconds", 0.0, 3.0), "transcript"),)
        shop.add([Document("talk", parts, "talk.wav", "1"), Document("other", parts, "other.wav", "2"), *pictures(3)])
        plain = shop.search("boots", 5)
        assert {hit.chunk.modality for hit in plain} == {"text"}
        hits = shop.search("boots", 5, quota={"audio": 2, "image": 1})
        assert [hit.chunk.modality for hit in hits].count("audio") == 2
        assert [hit.chunk.modality for hit in hits].count("image") == 1
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        assert hits[0] == plain[0]
        assert not shop.search("boots", 5, {"kind": "old"}, quota={"audio": 2})
        narrowed = shop.search("boots", 5, {"source": "talk.wav"}, quota={"audio": 2})
        assert [hit.chunk.source for hit in narrowed] == ["talk.wav"]
        only = shop.retriever(quota={"audio": 2}).retrieve("boots", 2)
        assert [hit.chunk.modality for hit in only] == ["audio", "audio"]


def test_diversity_and_collapse_over_real_vectors(bundled: Runtime, tmp_path: Path) -> None:
    texts = [
        "The tent is waterproof and weighs two kilograms.",
        "The tent is waterproof, and weighs two kilograms!",
        "Our tent keeps water out and weighs 2 kg.",
        "Tents can be returned within thirty days.",
        "The museum opens at nine.",
    ]
    with Collection.open(tmp_path, True, bundled.encoders(), settings=bundled.settings) as shop:
        ids = shop.add_texts(texts)
        asked = "Is the tent waterproof?"
        assert {hit.chunk.document_id for hit in shop.search(asked, 3)} == set(ids[:3])
        hits = shop.search(asked, 3, collapse=0.97)
        found = {hit.chunk.document_id: hit for hit in hits}
        assert set(ids[2:4]) < found.keys()
        (kept,) = found.keys() & set(ids[:2])
        assert len(found[kept].trace["collapsed"]) == 1  # type: ignore[arg-type]
        spread = shop.search(asked, 3, diversity=0.6)
        assert spread[0] == shop.search(asked, 1)[0]
        assert ids[3] in {hit.chunk.document_id for hit in spread}
        with pytest.raises(ValueError, match="diversity is in"):
            shop.search(asked, diversity=3)
