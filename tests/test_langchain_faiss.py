"""Folders that LangChain's FAISS store really wrote are taken over; a pickle that would run something is refused."""

import datetime
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document

from mmsdk.errors import DecodeError, EncoderMismatchError, InputError, UnsupportedMediaError
from mmsdk.langchain import Embeddings, VectorStore, faiss_folder
from mmsdk.langchain.faiss_folder import Saved
from mmsdk.testing import HashingEncoder
from tests.data.faiss.make import DOCUMENTS, Trigrams

FOLDERS = Path(__file__).parent / "data" / "faiss"


@pytest.mark.parametrize("folder", ["pydantic1/unit", "pydantic2/unit"])
def test_a_saved_folder_becomes_a_store_without_encoding_anew(folder: str) -> None:
    encoded: list[str] = []

    class Counting(Trigrams):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            encoded.extend(texts)
            return super().embed_documents(texts)

    with VectorStore.from_faiss(FOLDERS / folder, Counting()) as store:
        assert len(encoded) == 3  # the check that these embeddings made the folder
        found = store.get_by_ids(list(DOCUMENTS))
        assert [document.page_content for document in found] == [one.page_content for one in DOCUMENTS.values()]
        assert found[0].metadata == DOCUMENTS["tent"].metadata
        assert found[2].metadata == {"day": "2024-05-06", "at": {"page": 3}}
        assert found[3].metadata == {"pair": [1, "a"]}
        for name, document in DOCUMENTS.items():
            (nearest,) = store.similarity_search_by_vector(Trigrams().embed_query(document.page_content), k=1)
            assert nearest.id == name
        assert store.similarity_search("lockers", k=1, filter={"at.page": 3})[0].id == "locker"


def test_vectors_and_documents_are_read_as_they_were_saved() -> None:
    saved, vectors = faiss_folder.read(FOLDERS / "pydantic2" / "raw")
    assert saved[2] == Saved("locker", DOCUMENTS["locker"].page_content, DOCUMENTS["locker"].metadata)
    assert saved[2].metadata["day"] == datetime.date(2024, 5, 6)
    texts = [document.page_content for document in DOCUMENTS.values()]
    assert np.array_equal(vectors, np.asarray(Trigrams().embed_documents(texts), np.float32))


def test_vectors_of_other_norms_are_refused_unless_normalised(tmp_path: Path) -> None:
    raw = FOLDERS / "pydantic2" / "raw"
    with pytest.raises(InputError, match=r"norms from .* normalize=True"):
        VectorStore.from_faiss(raw, Trigrams(), path=tmp_path / "store")
    assert not (tmp_path / "store").exists()
    with VectorStore.from_faiss(raw, Trigrams(), normalize=True, path=tmp_path / "store") as store:
        assert store.similarity_search_by_vector(Trigrams().embed_query("Boots for the winter."), k=1)[0].id == "boots"


def test_other_embeddings_are_refused() -> None:
    with pytest.raises(EncoderMismatchError, match="have 256 components, those of the index 16"):
        VectorStore.from_faiss(FOLDERS / "pydantic2" / "unit", Embeddings(HashingEncoder()))

    class Other(Trigrams):
        def embed_query(self, text: str) -> list[float]:
            return super().embed_query(text[::-1])

    with pytest.raises(EncoderMismatchError, match="elsewhere"):
        VectorStore.from_faiss(FOLDERS / "pydantic2" / "unit", Other())


class _Calls:
    """Pickled, it calls a function when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize(
    ("hidden", "named"),
    [
        (lambda mark: _Calls(os.system, f"touch {mark}"), r"system"),
        (lambda mark: _Calls(eval, f"open({str(mark)!r}, 'w')"), r"eval"),
        (lambda mark: _Calls(Path.touch, mark), r"getattr|pathlib"),
        (lambda mark: _Calls(shutil.copy, __file__, str(mark)), r"shutil\.copy"),
        (lambda mark: np.float64(1.5), r"numpy"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_pickle_that_calls_anything_is_refused_by_name(
    hidden: Callable[[Path], Any], named: str, protocol: int, tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    _write(tmp_path, pickle.dumps(({"a": hidden(mark)}, {0: "a"}), protocol=protocol))
    with pytest.raises(DecodeError, match=rf"index\.pkl: it refers to \S*({named})"):
        faiss_folder.read(tmp_path)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "damaged"),
        (b"no pickle at all", "damaged"),
        (pickle.dumps([1, 2, 3]), "damaged"),
        (pickle.dumps(({}, {0: "a"})), "InMemoryDocstore"),
        (b"\x80\x04cos\nsystem\n.", r"os\.system"),
        (b"\x80\x04clangchain_core.load.load\nloads\n.", r"langchain_core\.load\.load\.loads"),
        (b"(S'touch x'\nios\nsystem\n.", "opcode"),
        (b"\x80\x02\x82\x01.", "opcode EXT1"),
        (b"Pan id\n.", "opcode PERSID"),
        (b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fabc.", "damaged"),
        (b"\x80\x04K\x01" + b"\x85" * 100_000 + b".", "damaged"),
    ],
)
def test_other_pickles_are_refused_with_a_reason(data: bytes, reason: str, tmp_path: Path) -> None:
    _write(tmp_path, data)
    with pytest.raises(DecodeError, match=reason):
        faiss_folder.read(tmp_path)


def test_metadata_that_unfolds_beyond_measure_is_refused(tmp_path: Path) -> None:
    nested: list[Any] = ["ha"] * 10
    for _ in range(12):
        nested = [nested] * 10
    _write(tmp_path, _docstore({"a": Document(page_content="bomb", metadata={"laughs": nested})}))
    with pytest.raises(DecodeError, match=r"'a' has more than 100000 values"):
        faiss_folder.read(tmp_path)
    inner = Document(page_content="inner")
    _write(tmp_path, _docstore({"a": Document(page_content="outer", metadata={"other": inner})}))
    with pytest.raises(DecodeError, match="'a' holds a Document"):
        faiss_folder.read(tmp_path)


def test_indexes_that_are_damaged_or_not_flat_are_refused(tmp_path: Path) -> None:
    shutil.copytree(FOLDERS / "pydantic2" / "unit", tmp_path, dirs_exist_ok=True)
    whole = (tmp_path / "index.faiss").read_bytes()
    for data, kind, reason in [
        (b"IHNf" + whole[4:], UnsupportedMediaError, "kind b'IHNf'.*IndexFlatL2"),
        (whole[:-4], DecodeError, "4 rows of 16 do not fit its 297 bytes"),
        (whole[:20], DecodeError, "cut off"),
        (whole[:-4] + struct.pack("<f", float("nan")), DecodeError, "finite"),
        (whole[:4] + struct.pack("<i", -16) + whole[8:], DecodeError, "damaged"),
    ]:
        (tmp_path / "index.faiss").write_bytes(data)
        with pytest.raises(kind, match=reason):
            faiss_folder.read(tmp_path)
    (tmp_path / "index.faiss").unlink()
    with pytest.raises(DecodeError, match=r"index\.faiss cannot be read"):
        faiss_folder.read(tmp_path)
    with pytest.raises(InputError, match="index_name"):
        faiss_folder.read(tmp_path, "../index")


def _docstore(documents: dict[str, Document]) -> bytes:
    """Pickle documents as LangChain's store does, without it."""
    plain = pickle.dumps((_Store(documents), dict(enumerate(documents))))
    here = f"{_Store.__module__}".encode()
    there = b"langchain_community.docstore.in_memory"
    named = b"\x8c" + bytes([len(here)]) + here + b"\x94\x8c\x06_Store"
    return plain.replace(named, b"\x8c" + bytes([len(there)]) + there + b"\x94\x8c\x10InMemoryDocstore")


class _Store:
    def __init__(self, documents: dict[str, Document]) -> None:
        self._dict = documents


def _write(folder: Path, data: bytes) -> None:
    (folder / "index.pkl").write_bytes(data)
    vector = np.asarray([[1.0, 0.0]], "<f4").tobytes()
    header = b"IxF2" + struct.pack("<iqqq?i", 2, 1, 1 << 20, 1 << 20, True, 1)
    (folder / "index.faiss").write_bytes(header + struct.pack("<Q", 2) + vector)
