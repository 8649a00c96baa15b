"""Damaged files and bombs: typed failures, the rest read to the last good file."""

import io
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmsdk.loaders import read
from mmsdk.settings import Settings
from mmsdk.types import Document, Failure

FILES = Path(__file__).parent / "data" / "loaders"
GOOD = sorted(path for path in FILES.iterdir() if path.suffix != ".py")
LIMITS = Settings.model_validate({"limits": {"seconds": 20, "memory_mb": 1024}})
CODES = {"decode", "unsupported_media"}


def _read(source: Any) -> tuple[list[Document], list[Failure]]:
    failures: list[Failure] = []
    return list(read(source, settings=LIMITS, on_failure=failures.append)), failures


def _rezipped(name: str, member: str, content: bytes | Callable[[Any], None]) -> bytes:
    """Give an office file with one entry replaced."""
    with zipfile.ZipFile(FILES / name) as old, zipfile.ZipFile(file := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            if entry.filename != member:
                new.writestr(entry, old.read(entry))
            elif isinstance(content, bytes):
                new.writestr(entry, content)
            else:
                with new.open(member, "w", force_zip64=True) as stream:
                    content(stream)
    return file.getvalue()


def _spaces(stream: Any) -> None:
    for _ in range(300):
        stream.write(bytes(1 << 20))


ENTITIES = "".join(f'<!ENTITY {chr(98 + step)} "{("&" + chr(97 + step) + ";") * 10}">' for step in range(10))
LAUGHS = f'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "lolololol">{ENTITIES}]>'
WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png_bomb() -> bytes:
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + _chunk(b"IDAT", zlib.compress(bytes(1 << 20))) + _chunk(b"IEND", b"")


def _looped_pdf(count: int) -> bytes:
    return (
        b"%%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
        b"2 0 obj<</Type/Pages/Kids[2 0 R 3 0 R]/Count %d>>endobj\n"
        b"3 0 obj<</Type/Pages/Parent 3 0 R/Kids[3 0 R]/Count 1/Resources 3 0 R>>endobj\n"
        b"trailer<</Root 1 0 R/Prev 9>>\n" % count
    )


def _nested_mime(levels: int) -> bytes:
    message = b"Content-Type: text/plain\n\nx"
    for level in range(levels):
        message = b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n%b\n--b%d--\n" % (
            level,
            level,
            message,
            level,
        )
    return b"From: a@b.c\nTo: x@y.z\nSubject: deep\n" + message


BAD: dict[str, Callable[[], bytes]] = {
    "bomb.docx": lambda: _rezipped("lamp.docx", "word/document.xml", _spaces),
    "bomb.xlsx": lambda: _rezipped("prices.xlsx", "xl/worksheets/sheet1.xml", _spaces),
    "bomb.pptx": lambda: _rezipped("lamp.pptx", "ppt/slides/slide1.xml", _spaces),
    "bomb.png": _png_bomb,
    "laughs.docx": lambda: _rezipped(
        "lamp.docx", "word/document.xml",
        f'{LAUGHS}<w:document xmlns:w="{WORD}"><w:body><w:p><w:r><w:t>&k;</w:t></w:r></w:p></w:body>'
        "</w:document>".encode(),
    ),
    "laughs.xlsx": lambda: _rezipped(
        "prices.xlsx", "xl/worksheets/sheet1.xml",
        f'{LAUGHS}<worksheet xmlns="{SHEET}"><sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>&k;</t></is></c>'
        "</row></sheetData></worksheet>".encode(),
    ),
    "laughs.rss": lambda: f"{LAUGHS}<rss version='2.0'><channel><title>&k;</title></channel></rss>".encode(),
    "loop.pdf": lambda: _looped_pdf(1),
    "wide_loop.pdf": lambda: _looped_pdf(1_000_000),
    "deep.json": lambda: b"[" * 200_000,
    "closed_deep.json": lambda: b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep.eml": lambda: _nested_mime(3000),
    "empty.txt": lambda: b"",
    "empty.pdf": lambda: b"",
    "blank.txt": lambda: b" \n\t\n",
    "noise.bin": lambda: bytes(range(256)) * 20,
    "noise.txt": lambda: bytes(range(256)) * 20,
    "noise.mp3": lambda: bytes(range(256)) * 20,
    "words.png": lambda: b"not a picture at all",
    "words.docx": lambda: b"not a document at all",
    "old.doc": lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2000),
    "other.zip": lambda: b"PK\x05\x06" + bytes(18),
    "header.mp4": lambda: b"\x00\x00\x00\x18ftypmp42" + bytes(3000),
    "header.pdf": lambda: b"%PDF-1.7\n",
    "header.wav": lambda: b"RIFF\xff\xff\xff\xffWAVEfmt ",
    "header.gif": lambda: b"GIF89a",
    "header.webm": lambda: b"\x1aE\xdf\xa3" + bytes(40),
}  # fmt: skip

ODD: dict[str, tuple[Callable[[], bytes], int]] = {
    "line.txt": (lambda: b"word " * 10_000_000, 50_000_000),
    "nul.txt": (lambda: b"one two three\x00four\n" * 50, 950),
    "surrogates.txt": (lambda: "lamp \ud83d and \udca1\n".encode("utf-8", "surrogatepass") * 9, 9 * 13),
    "quotes.csv": (lambda: b'a,b\n1,2\n"x,3\n' + b"4,5\n" * 500, 500),
    "page.pdf.txt": (lambda: (FILES / "lamp.pdf").read_bytes(), 20),
    "deep.html": (lambda: b"<b><i><p>" * 4000 + b"words", 5),
    "one_deep.jsonl": (lambda: b"[" * 100_000 + b"]" * 100_000 + b'\n{"a": 1}\n', 4),
}


def test_a_folder_with_bombs_is_read_to_the_last_good_file() -> None:
    """Four of five files are good; every bad one is listed with stage, code and reason."""
    folder = Path("in")
    folder.mkdir()
    for name, make in BAD.items():
        (folder / name).write_bytes(make())
    for copy in range(5):
        for path in GOOD:
            if path.name not in ("offer.eml", "prices.jsonl"):  # these report a broken piece on purpose
                shutil.copy(path, folder / f"{copy}_{path.name}")
    (folder / "zz_last.txt").write_text("the last good file")
    documents, failures = _read(folder)
    names = {Path(document.source).name for document in documents}
    assert names == {path.name for path in folder.iterdir()} - set(BAD)
    assert documents[-1].text == "the last good file"
    assert {Path(failure.source).name for failure in failures} == set(BAD)
    assert len(failures) == len(BAD)
    assert len(BAD) >= len(documents) / 5
    for failure in failures:
        assert failure.stage == "decode"
        assert failure.code in CODES
        assert len(failure.reason) > 10


@pytest.mark.parametrize("name", ODD)
def test_odd_files_are_read(name: str) -> None:
    make, least = ODD[name]
    Path(name).write_bytes(make())
    (document,), _ = _read(name)
    text = "".join(part.content for part in document.parts if isinstance(part.content, str))
    assert len(text) >= least
    assert "\x00" not in text
    text.encode("utf-8")


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name)
def test_truncations_decode_or_fail_with_a_type(path: Path) -> None:
    data = path.read_bytes()
    cuts = sorted({1, 4, 20, len(data) // 10, len(data) // 3, len(data) // 2, len(data) * 9 // 10, len(data) - 1})
    Path("in").mkdir()
    for cut in cuts:
        Path("in", f"{cut:07}{path.suffix}").write_bytes(data[:cut])
    documents, failures = _read("in")
    seen = {Path(document.source).name for document in documents} | {
        Path(failure.source.partition("#")[0]).name for failure in failures
    }
    assert seen == {file.name for file in Path("in").iterdir()}
    assert {failure.code for failure in failures} <= CODES


def test_malformed_pictures_and_sounds(shared_data: Path) -> None:
    folders = [shared_data / "sec_malformed_images", shared_data / "sec_malformed_wav"]
    documents, failures = _read(folders)
    count = sum(1 for folder in folders for path in folder.rglob("*") if path.is_file())
    assert len(documents) + len(failures) == count
    assert {failure.code for failure in failures} <= CODES


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name)
def test_fuzz(path: Path) -> None:
    data = path.read_bytes()
    places = st.lists(
        st.tuples(st.integers(0, len(data) - 1), st.binary(min_size=1, max_size=8)), min_size=1, max_size=9
    )

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(places)
    def changed(edits: list[tuple[int, bytes]]) -> None:
        damaged = bytearray(data)
        for place, piece in edits:
            damaged[place : place + len(piece)] = piece
        file = Path("fuzz" + path.suffix)
        file.write_bytes(bytes(damaged))
        documents, failures = _read(file)
        assert documents or failures
        assert {failure.code for failure in failures} <= CODES
        for document in documents:
            for part in document.parts:
                if isinstance(part.content, str):
                    part.content.encode("utf-8")

    changed()
