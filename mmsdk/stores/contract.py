"""The suite that every store passes; ``mmsdk.testing`` offers it to those who write one."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from mmsdk.errors import InputError, InvalidFilterError
from mmsdk.protocols import Entry, Store
from mmsdk.types import Chunk, Document, Image, Locator, Vectors


class StoreContract:
    """Test that a store keeps the protocol: inherit it and give new, empty stores in ``store``.

    A store gets what a collection records of its encoders: one space ``contract`` of 8 dimensions for texts
    and images.

    >>> import tempfile
    >>> from mmsdk.stores.local import LocalStore
    >>> class TestLocal(StoreContract):
    ...     def store(self) -> Store:
    ...         return LocalStore(tempfile.mkdtemp(), encoders=self.encoders, create=True)
    >>> TestLocal().test_search_is_exact_under_filters()
    """

    encoders: ClassVar[Sequence[Mapping[str, Any]]] = (
        {"space": "contract", "dimension": 8, "fingerprint": "contract/8", "modalities": ["image", "text"]},
    )

    def store(self) -> Store:
        """Give a new, empty store."""
        raise NotImplementedError

    def test_what_was_put_is_given_back(self) -> None:
        entries = _entries(3, 2)
        with closing(self.store()) as store:
            assert isinstance(store, Store)
            store.upsert(entries)
            chunks = [chunk for entry in entries for chunk in entry.chunks]
            names = [chunk.id for chunk in chunks]
            assert store.count() == len(chunks)
            assert store.documents() == {entry.document.id: entry.document.digest for entry in entries}
            assert store.documents(source="source 1") == {"d1": "digest 1"}
            for chunk, kept in zip(chunks, store.get(names), strict=True):
                assert vars(kept) == vars(chunk)
            assert [chunk.id for chunk in store.get([names[3], "absent", names[0]])] == [names[3], names[0]]
            assert [chunk.id for chunk in store.chunks("d2")] == ["d2-0", "d2-1"]
            assert store.verify() == []

    def test_a_document_takes_the_place_of_the_one_with_its_id(self) -> None:
        with closing(self.store()) as store:
            store.upsert(_entries(2, 3))
            store.upsert([replace(_entries(1, 1, seed=5)[0], document=_document(0, digest="new"))])
            assert store.count() == 4
            assert store.documents()["d0"] == "new"
            assert [chunk.id for chunk in store.chunks("d0")] == ["d0-0"]
            queries = _entries(1, 1, seed=5)[0].vectors["contract"]
            assert store.search("contract", queries, 1)[0][0][0] == "d0-0"
            assert len(store.search("contract", queries, 99)[0]) == 4

    def test_a_picture_is_kept_small_enough_to_show(self) -> None:
        image = _picture()
        chunk = Chunk("p", "d0", image, "", "image", Locator("image"), {}, "source 0")
        with closing(self.store()) as store:
            store.upsert([Entry(_document(0), (chunk,), {"contract": _unit(1)})])
            kept = store.get(["p"])[0].content
            assert isinstance(kept, Image)
            assert isinstance(image, Image)
            assert np.abs(kept.pixels.astype(int) - image.pixels).mean() < 8
            assert store.search("contract", _unit(1), 5, kind="image")[0][0][0] == "p"
            assert store.search("contract", _unit(1), 5, kind="text") == [[]]

    def test_vectors_modalities_and_notes_are_given_back(self) -> None:
        entries = _entries(3, 2)
        with closing(self.store()) as store:
            store.upsert(entries)
            rows = store.vectors("contract", ["d2-1", "absent", "d0-0"])
            assert np.allclose(rows[0], entries[2].vectors["contract"][1], atol=1e-6)
            assert np.isnan(rows[1]).all()
            assert np.allclose(rows[2], entries[0].vectors["contract"][0], atol=1e-6)
            assert store.vectors("contract", []).shape == (0, 8)
            assert store.modalities(["d0-0", "absent", "d1-1"]) == {"d0-0": "text", "d1-1": "text"}
            assert store.noted("calibration") is None
            store.note("calibration", {"low": 0.25, "名": ["中文", None]})
            store.note("calibration", {"low": 0.5, "名": ["中文", None]})
            assert store.noted("calibration") == {"low": 0.5, "名": ["中文", None]}
            assert store.noted("other") is None
            assert store.count() == 6

    def test_search_is_exact_under_filters(self) -> None:
        entries = _entries(200, 1)
        matrix = np.concatenate([entry.vectors["contract"] for entry in entries])
        queries = _unit(5, seed=9)
        with closing(self.store()) as store:
            store.upsert(entries)
            for most in (1, 3, 10, 150, 200):
                found = store.search("contract", queries, 10, where={"n": {"$lt": most}})
                for row, query in zip(found, queries, strict=True):
                    cosines = matrix[:most] @ query
                    nearest = [f"d{place}-0" for place in np.argsort(-cosines)[:10]]
                    assert [name for name, _ in row] == nearest
                    assert np.allclose([cosine for _, cosine in row], np.sort(cosines)[::-1][:10], atol=1e-5)
            assert store.search("contract", queries[:1], 10, where={"n": -1}) == [[]]

    def test_full_text_knows_english_and_chinese(self) -> None:
        texts = ["The tents were returned.", "退换货政策：三十天内可以退货。", 'Boots & "quotes" (NOT) for * winter']
        entries = [_entry(place, [text]) for place, text in enumerate(texts)]
        with closing(self.store()) as store:
            store.upsert(entries)
            assert store.search_text("returning a tent", 5)[0][0] == "d0-0"
            assert [name for name, _ in store.search_text("怎么退货？", 5)] == ["d1-0"]
            assert [name for name, _ in store.search_text('NOT "quotes" AND (', 5)] == ["d2-0"]
            assert store.search_text("tent", 5, where={"n": 1}) == []
            assert store.search_text("?!", 5) == []
            scores = [score for _, score in store.search_text("tents boots winter", 5)]
            assert scores == sorted(scores, reverse=True)

    def test_deleted_is_gone_everywhere(self) -> None:
        with closing(self.store()) as store:
            store.upsert(_entries(4, 2))
            assert store.search("contract", _unit(1), 99)[0]
            assert store.delete(ids=["d0", "absent"]) == 2
            assert store.delete(where={"n": 1, "id": "d1-0"}) == 1
            assert store.count() == 5
            assert store.get(["d0-0", "d1-0"]) == []
            assert "d0" not in store.documents()
            assert store.documents()["d1"] == ""
            found = {name for name, _ in store.search("contract", _unit(1), 99)[0]}
            assert found == {"d1-1", "d2-0", "d2-1", "d3-0", "d3-1"}
            assert {name for name, _ in store.search_text("passage", 99)} == found
            assert store.delete(where={}) == 5
            assert store.documents() == {}
            assert store.verify() == []

    def test_metadata_changes_are_seen_by_filters(self) -> None:
        with closing(self.store()) as store:
            store.upsert(_entries(2, 2))
            assert store.update("d1", {"colour": "红", "n": None}) == 2
            assert store.count({"colour": "红"}) == 2
            assert store.count({"n": 0}) == 2
            assert store.get(["d1-0"])[0].metadata == {"colour": "红", "n": None}
            assert store.update("absent", {"n": 1}) == 0

    def test_all_or_nothing(self) -> None:
        with closing(self.store()) as store:
            store.upsert(_entries(1, 1))
            taken = replace(_entries(3, 1)[2], chunks=(_entries(1, 1)[0].chunks[0],))
            _refused(InputError, store.upsert, [_entries(3, 1)[1], taken])
            assert store.documents() == {"d0": "digest 0"}
            assert store.count() == 1
            _refused(InvalidFilterError, store.count, {"n": {"$bad": 1}})
            assert store.verify() == []

    def test_reindexing_replaces_every_vector(self) -> None:
        other = [{"space": "other", "dimension": 4, "fingerprint": "other/4", "modalities": ["text"]}]
        with closing(self.store()) as store:
            store.upsert(_entries(3, 2))
            count = store.reindex(other, lambda chunks: {"other": _unit(len(chunks), dimension=4)})
            assert count == 6
            assert len(store.search("other", _unit(1, dimension=4), 99)[0]) == 6
            assert store.verify() == []


def _document(number: int, digest: str | None = None) -> Document:
    return Document(f"d{number}", (), f"source {number}", digest or f"digest {number}", {"n": number})


def _entry(number: int, texts: Sequence[str], seed: int = 0) -> Entry:
    document = _document(number)
    chunks = tuple(
        Chunk(
            f"d{number}-{place}",
            document.id,
            f"Heading\n\n{text}",
            text,
            "text",
            Locator("characters", 0, len(text)),
            document.metadata,
            document.source,
        )
        for place, text in enumerate(texts)
    )
    return Entry(document, chunks, {"contract": _unit(len(texts), seed=1000 * seed + number)})


def _entries(documents: int, chunks: int, seed: int = 0) -> list[Entry]:
    return [
        _entry(number, [f"passage {place} 文 {number}" for place in range(chunks)], seed) for number in range(documents)
    ]


def _unit(rows: int, seed: int = 0, dimension: int = 8) -> Vectors:
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def _picture() -> Image:
    ramp = np.linspace(0, 255, 64, dtype=np.uint8)
    return Image(np.repeat(np.broadcast_to(ramp, (64, 64))[..., None], 3, axis=2))


def _refused(kind: type[Exception], call: Any, argument: Any) -> None:
    try:
        call(argument)
    except kind:
        return
    raise AssertionError(f"{argument!r} must raise {kind.__name__}")
