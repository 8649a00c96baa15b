"""What adding, updating and deleting do to a collection, and what bad input does not do. Plumbing only: no models."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from mmsdk.collection import Collection
from mmsdk.errors import (
    CollectionError,
    CollectionNotFoundError,
    DecodeError,
    InputError,
    InvalidFilterError,
    UnsupportedMediaError,
)
from mmsdk.settings import Chunking, Settings
from mmsdk.testing import HashingEncoder
from mmsdk.types import Content, Document, Locator, Part, Role, Vectors


@pytest.fixture
def collection(tmp_path: Path) -> Iterator[Collection]:
    with _open(tmp_path / "c") as opened:
        yield opened


def _open(folder: Path, **options: Any) -> Collection:
    return Collection.open(folder, True, [HashingEncoder()], settings=Settings(), **options)


def _texts(collection: Collection) -> set[str]:
    return {hit.chunk.text for hit in collection.search("x", k=1000)}


def test_texts_are_documents_named_by_content_or_by_you(collection: Collection) -> None:
    ids = collection.add_texts(["one", "two", "one"])
    assert ids[0] == ids[2]
    assert len(collection) == 2
    assert collection.add_texts(["three", "四"], ids=["a", "b"], metadata=[{"n": 3}, {"n": 4}]) == ["a", "b"]
    assert collection.add_texts(["THREE"], ids=["a"], metadata={"n": 33}) == ["a"]
    assert [chunk.text for chunk in collection.get(["b", "a"])] == ["四", "THREE"]
    assert collection.get("a")[0].metadata == {"n": 33}
    assert len(collection) == 4
    assert collection.add_texts([]) == []
    assert collection.add_texts(["x"], metadata={"source": "shelf 9"})
    assert collection.search("x", k=1, where={"source": "shelf 9"})[0].chunk.source == "shelf 9"


def test_a_long_text_is_cut_and_found_in_pieces(collection: Collection) -> None:
    text = " ".join(f"Sentence number {number} about boots." for number in range(200))
    name = collection.add_texts([text])[0]
    pieces = collection.get(name)
    assert len(pieces) > 5
    for piece in pieces:
        start, stop = piece.locator.start, piece.locator.stop
        assert start is not None
        assert stop is not None
        assert text[int(start) : int(stop)] == piece.text
    assert collection.get(pieces[2].id) == [pieces[2]]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"texts": "one"}, TypeError),
        ({"texts": ["one", 2]}, TypeError),
        ({"texts": ["one"], "ids": ["a", "b"]}, ValueError),
        ({"texts": ["one"], "ids": [""]}, ValueError),
        ({"texts": ["one"], "ids": [7]}, ValueError),
        ({"texts": ["one", "two"], "metadata": [{}]}, ValueError),
        ({"texts": ["one", "two"], "metadata": [{}, {"a": float("nan")}]}, InputError),
        ({"texts": ["one", "two"], "metadata": [{}, {"a": object()}]}, InputError),
        ({"texts": ["one", "\ud800"]}, InputError),
    ],
)
def test_wrong_texts_leave_nothing_behind(
    collection: Collection, arguments: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        collection.add_texts(**arguments)
    assert len(collection) == 0
    assert collection.store.documents() == {}


def test_wrong_metadata_is_refused_before_anything_is_read(collection: Collection, tmp_path: Path) -> None:
    for metadata in ({"a": float("inf")}, {"a": {1, 2}}, {1: 2}, ["a"]):
        with pytest.raises(InputError):
            collection.add(tmp_path, metadata=metadata)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="on_error"):
        collection.add(tmp_path, on_error="ignore")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown kind"):
        collection.add(tmp_path, mask=["names"])
    assert collection.info()["revision"] == 1


def test_a_changed_file_replaces_its_chunks(collection: Collection, tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old words")
    assert collection.add(file).documents == 1
    assert collection.add(str(file)).skipped == 1
    file.write_text("new words")
    report = collection.add(file)
    assert (report.documents, report.chunks, report.skipped) == (1, 1, 0)
    assert _texts(collection) == {"new words"}


def test_another_way_of_adding_makes_a_document_again(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("Mail a@b.com. " * 40)
    with _open(tmp_path / "c") as collection:
        assert collection.add(file).documents == 1
        assert collection.add(file, metadata={"year": 2024}).documents == 1
        assert collection.count({"year": 2024}) == len(collection) == 1
        assert collection.add(file, metadata={"year": 2024}).skipped == 1
        report = collection.add(file, mask=True)
        assert report.masked == 40
        assert "a@b.com" not in collection.get(collection.search("mail")[0].chunk.id)[0].text
    cut = Settings(chunking=Chunking(size=50))
    with Collection.open(tmp_path / "c", encoders=[HashingEncoder()], settings=cut) as collection:
        assert collection.add(file).chunks > 5


def test_masking_keeps_locators_right_and_secrets_out_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_text("# Kontakt a@b.com\n\nRuf 13812345678 an.\n\n电话13912345678，谢谢。\n")
    with _open(tmp_path / "c") as collection:
        report = collection.add(file, mask=True)
        assert report.masked == 4  # the address stands in the title, too
        for hit in collection.search("kontakt", k=10):
            assert "1381234" not in hit.chunk.text
            assert hit.chunk.text in "# Kontakt [EMAIL]\n\nRuf [PHONE] an.\n\n电话[PHONE]，谢谢。\n"
    for kept in (tmp_path / "c").iterdir():
        assert b"13812345678" not in kept.read_bytes()
        assert b"a@b.com" not in kept.read_bytes()


def test_bad_sources_are_reported_and_the_rest_goes_in(collection: Collection, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "good.txt").write_text("good words")
    (tmp_path / "s" / "bad.pdf").write_bytes(b"%PDF-1.7 and then nothing")
    (tmp_path / "s" / "bad.xyz").write_bytes(bytes(range(256)))
    report = collection.add([tmp_path / "s", tmp_path / "absent.txt"])
    assert report.documents == 1
    assert {Path(failure.source).name: failure.stage for failure in report.failed} == {
        "bad.pdf": "decode",
        "bad.xyz": "decode",
        "absent.txt": "decode",
    }
    assert all(failure.code and failure.reason for failure in report.failed)
    with pytest.raises((DecodeError, UnsupportedMediaError), match=r"bad\.xyz"):
        collection.add(tmp_path / "s" / "bad.xyz", on_error="raise")


def test_a_source_that_fails_keeps_what_was_there(collection: Collection, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('{"words": "first"}')
    assert collection.add(file).documents == 1
    before = _texts(collection)
    file.write_text('{"words": ')
    assert [failure.source for failure in collection.add(file).failed] == [str(file)]
    assert _texts(collection) == before
    file.write_text('{"words": "second"}')
    assert collection.add(file).documents == 1
    assert _texts(collection) != before


class _Failing(HashingEncoder):
    """Fail on a word."""

    def __init__(self, error: type[BaseException]) -> None:
        super().__init__()
        self.error = error

    def encode(self, inputs: Sequence[Content], *, role: Role = "document") -> Vectors:
        if any("poison" in str(content) for content in inputs):
            raise self.error("poisoned")
        return super().encode(inputs, role=role)


def test_one_document_that_cannot_be_encoded_fails_alone(tmp_path: Path) -> None:
    documents = [_document(name) for name in ("one", "poison", "two")]
    with Collection.open(tmp_path / "c", True, [_Failing(RuntimeError)], settings=Settings()) as collection:
        report = collection.add(documents)
        assert [(failure.source, failure.stage, failure.reason) for failure in report.failed] == [
            ("poison", "encode", "poisoned")
        ]
        assert _texts(collection) == {"one", "two"}
        with pytest.raises(InputError, match=r"poison \(encode\): poisoned"):
            collection.add(_document("poison"), on_error="raise")


def test_an_interrupted_add_leaves_whole_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmsdk.ingestion._DOCUMENTS", 2)
    documents = [_document(name) for name in ("one", "two", "three", "poison", "five")]
    with Collection.open(tmp_path / "c", True, [_Failing(KeyboardInterrupt)], settings=Settings()) as collection:
        with pytest.raises(KeyboardInterrupt):
            collection.add(documents)
        assert _texts(collection) == {"one", "two"}
        assert collection.verify() == []
        assert collection.add([_document("one"), _document("six")]).skipped == 1


def test_a_failure_that_is_raised_leaves_the_batches_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmsdk.ingestion._DOCUMENTS", 2)
    documents = [_document(name) for name in ("one", "two", "poison", "four", "five", "six", "seven", "eight")]
    with Collection.open(tmp_path / "c", True, [_Failing(ValueError)], settings=Settings()) as collection:
        with pytest.raises(InputError, match=r"poison \(encode\)"):
            collection.add(documents, on_error="raise")
        assert _texts(collection) == {"one", "two"}
        report = collection.add(documents)
        assert (report.documents, report.skipped, [failure.source for failure in report.failed]) == (5, 2, ["poison"])
        assert [chunk.text for name in ("id-four", "id-eight") for chunk in collection.get(name)] == ["four", "eight"]
        assert collection.info()["activity"]["seconds"].keys() >= {"read", "cut", "encode", "store"}


def test_update_changes_metadata_or_text(collection: Collection) -> None:
    collection.add_texts(["old words", "other"], ids=["a", "b"], metadata=[{"year": 2023, "kind": "x"}, {}])
    collection.update("a", {"year": 2024, "标签": ["新"]})
    assert collection.get("a")[0].metadata == {"year": 2024, "kind": "x", "标签": ["新"]}
    assert collection.count({"标签": "新"}) == 1
    collection.update(collection.get("a")[0].id, text="new words")
    assert [chunk.text for chunk in collection.get("a")] == ["new words"]
    assert collection.get("a")[0].metadata["year"] == 2024
    assert collection.search("new words", k=1)[0].chunk.document_id == "a"
    with pytest.raises(InputError, match="no document or chunk 'absent'"):
        collection.update("absent", {"a": 1})
    with pytest.raises(InputError, match="not a finite number"):
        collection.update("a", {"a": float("nan")})
    assert len(collection) == 2


def test_delete_by_id_source_filter_and_chunk(collection: Collection, tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("from a file")
    collection.add(file)
    collection.add_texts(["one", "two", "three", "four"], ids=list("abcd"), metadata=[{"n": n} for n in range(4)])
    assert collection.delete("a") == 1
    assert collection.delete(ids=["b", "absent"]) == 1
    assert collection.delete(where={"n": {"$gte": 3}}) == 1
    assert collection.delete(source=str(file)) == 1
    assert collection.delete(collection.get("c")[0].id) == 1
    assert len(collection) == 0
    assert collection.store.documents() == {}
    assert collection.add(file).documents == 1
    with pytest.raises(ValueError, match="say what to delete"):
        collection.delete()
    with pytest.raises(InvalidFilterError):
        collection.delete(where={"n": {"$like": "x"}})
    assert len(collection) == 1
    assert collection.delete(where={}) == 1


def test_a_document_that_lost_chunks_is_restored_by_adding_it_again(collection: Collection, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("name,price\ntent,200\nboots,90\n")
    collection.add(file)
    count = len(collection)
    victim = collection.search("boots", k=1)[0].chunk
    assert collection.delete(victim.id) == 1
    assert collection.add(file).documents == 1
    assert len(collection) == count
    assert collection.add(file).skipped == 1


def test_filters_and_k_are_checked(collection: Collection) -> None:
    collection.add_texts(["one"])
    with pytest.raises(InvalidFilterError, match=r"where\.n\.\$like: unknown operator"):
        collection.search("one", where={"n": {"$like": "x"}})
    for k in (0, -1, True, 2.5, "8"):
        with pytest.raises(ValueError, match="k must be"):
            collection.search("one", k=k)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one part"):
        collection.search([])
    with pytest.raises(TypeError, match="not int"):
        collection.search(5)  # type: ignore[arg-type]
    assert collection.search("", k=3)


def test_an_empty_collection_gives_nothing(collection: Collection) -> None:
    assert collection.search("anything") == []
    assert collection.search_many(["a", ["b", "c"]]) == [[], []]
    assert collection.search_many([]) == []
    assert len(collection) == 0
    assert collection.get(["x"]) == []
    assert collection.verify() == []


def test_every_k_gives_k_hits(collection: Collection) -> None:
    collection.add_texts([f"text {number}" for number in range(450)], metadata=[{"n": n} for n in range(450)])
    for k in (1, 200, 201, 449, 450, 1000):
        assert len(collection.search("text", k=k)) == min(k, 450)
        assert len(collection.search("nothing like it", k=k, where={"n": {"$lt": 300}})) == min(k, 300)


def test_progress_is_told(collection: Collection) -> None:
    told: list[tuple[str, int, int]] = []
    collection.add([_document("one"), _document("two")], progress=lambda *step: told.append(step))
    assert told[-1] == ("documents", 2, 0)
    assert collection.add([_document("three")], progress=True).documents == 1


def test_opening(tmp_path: Path) -> None:
    with pytest.raises(CollectionNotFoundError, match="create=True"):
        Collection.open(tmp_path / "absent", encoders=[HashingEncoder()], settings=Settings())
    with _open(tmp_path / "c") as collection:
        collection.add_texts(["one"])
    with pytest.raises(CollectionError, match="is closed"):
        collection.search("one")
    with _open(tmp_path / "c", read_only=True) as collection:
        assert collection.search("one")[0].chunk.text == "one"
        with pytest.raises(CollectionError, match="read-only"):
            collection.add_texts(["two"])


def test_documents_with_the_same_chunk_ids_do_not_mix(collection: Collection) -> None:
    first, second = _document("same", name="a"), _document("same", name="b")
    assert collection.add([first, second]).documents == 2
    assert {hit.chunk.document_id for hit in collection.search("same")} == {"a", "b"}


def _document(text: str, name: str | None = None) -> Document:
    part = Part(text, Locator("characters", 0, len(text)))
    return Document(name or f"id-{text}", (part,), text, f"digest of {text}")
