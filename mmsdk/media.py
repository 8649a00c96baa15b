"""Bytes become an ``Image`` or an ``Audio``; the only place that sniffs a media type.

This module knows nothing of documents, files, processes or models. Decoders of third parties raise
whatever they like on damaged data; every such error leaves here as ``DecodeError``. Pillow and
PyAV are imported where they are used.
"""

import io
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmsdk import registry
from mmsdk.errors import DecodeError, MmsdkError, UnsupportedMediaError
from mmsdk.types import Audio, Image

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

RATE = 16_000
"""Hz; every recording is resampled to it."""

_PICTURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"II+\x00": "TIFF",
    b"MM\x00+": "TIFF",
}
_RECORDINGS = {
    b"fLaC": "flac",
    b"OggS": "ogg",
    b"ID3": "mp3",
    b"RF64": "wav",
    b"\x1aE\xdf\xa3": "matroska",
    b".snd": "au",
    b"#!AMR": "amr",
    b"0&\xb2u\x8ef\xcf\x11": "asf",
}
_RIFF = {b"WAVE": "wav", b"AVI ": "avi", b"WEBP": "WEBP", b"AIFF": "aiff", b"AIFC": "aiff"}
_STILLS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif", b"avis")
_REFUSED = {
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "a Microsoft Office file of before 2007, or an encrypted one",
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a rar archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"\x7fELF": "a program",
    b"SQLite format 3\x00": "an SQLite database",
    b"{\\rtf": "an RTF file",
}
_OFFICE = {"word/document.xml": "docx", "ppt/presentation.xml": "pptx", "xl/workbook.xml": "xlsx"}
_SUFFIXES = {
    "text": "txt text log rst",
    "markdown": "md markdown mkd",
    "html": "html htm xhtml",
    "pdf": "pdf",
    "docx": "docx",
    "pptx": "pptx pptm",
    "xlsx": "xlsx xlsm",
    "csv": "csv tsv",
    "json": "json",
    "jsonl": "jsonl ndjson",
    "eml": "eml",
    "feed": "rss atom",
    "image": "png jpg jpeg jfif webp gif bmp dib tif tiff",
    "audio": "wav wave flac mp3 ogg oga opus m4a m4b mp4 m4v mov mkv mka webm avi aac aif aiff wma amr au",
}
_LOADERS = {f".{suffix}": loader for loader, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}
BOMS: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_MAIL_HEADER = re.compile(
    rb"^(?:Return-Path|Received|From|To|Subject|Date|Message-ID|MIME-Version|Delivered-To|Content-Type):",
    re.MULTILINE | re.IGNORECASE,
)


class Recording(NamedTuple):
    """Hold a decoded recording and how many damaged packets were left out of it."""

    audio: Audio
    damaged: int


def sniff(data: bytes, name: str = "") -> str:
    """Name the loader that reads ``data``; what the content says goes before the suffix of ``name``.

    A suffix unknown to mmsdk goes to the ``mmsdk.loaders`` entry point of that name, when there is
    one; without it, what has no control characters is text, such as ``main.py`` or ``setup.toml``.
    Raises ``DecodeError`` for no bytes and ``UnsupportedMediaError`` naming what was seen.

    >>> sniff(b"%PDF-1.7", "notes.txt")
    'pdf'
    """
    if not data:
        raise DecodeError("the file is empty: 0 bytes")
    suffix = PurePath(name).suffix.lower()
    known = _LOADERS.get(suffix)
    found = _by_signature(data)
    if found is None and suffix and known is None and suffix[1:] in registry.offers("loaders"):
        found = suffix[1:]
    found = found or _by_words(data, known) or known
    if found is None and (_written(data, suffix) if suffix else not _binary(data)):
        found = "text"
    if found in ("text", "markdown", "html", "csv", "json", "jsonl", "eml", "feed") and _binary(data):
        found = None
    if found is None:
        raise UnsupportedMediaError(f"no loader reads {_seen(data)}{f' called *{suffix}' if suffix else ''}; {_ADVICE}")
    return found


_ADVICE = "convert it to a format that mmsdk reads, or install a plugin with a loader for it"


def _by_signature(data: bytes) -> str | None:
    """Name the loader by the first bytes."""
    if b"%PDF-" in data[:1024]:
        return "pdf"
    if data[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _in_zip(data)
    if picture_format(data) is not None:
        return "image"
    return "audio" if recording_format(data) is not None else None


def picture_format(data: bytes) -> str | None:
    """Give the Pillow format of a picture by its first bytes, or None."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:2] == b"BM" and data[6:10] == bytes(4) and data[14:18] in {bytes([size, 0, 0, 0]) for size in _BITMAPS}:
        return "BMP"
    return next((kind for magic, kind in _PICTURES.items() if data.startswith(magic)), None)


_BITMAPS = (12, 16, 40, 52, 56, 64, 108, 124)


def recording_format(data: bytes) -> str | None:
    """Give the FFmpeg demuxer of a recording or film by its first bytes, or None."""
    if data[:4] in (b"RIFF", b"RIFX", b"FORM"):
        kind = _RIFF.get(data[8:12])
        return None if kind == "WEBP" else kind
    if data[4:8] == b"ftyp":
        return None if data[8:12] in _STILLS else "mp4"
    if data[4:8] in (b"moov", b"mdat", b"wide") and len(data) > 64:
        return "mp4"
    for magic, kind in _RECORDINGS.items():
        if data.startswith(magic):
            return kind
    return _by_frame(data)


def _by_frame(data: bytes) -> str | None:
    """Tell a bare MPEG audio stream by the fields of its first frame header."""
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return None
    layer, version, bitrate, rate = data[1] >> 1 & 3, data[1] >> 3 & 3, data[2] >> 4, data[2] >> 2 & 3
    if layer == 0 and data[1] & 0xF0 == 0xF0:
        return "aac"
    return "mp3" if layer in (1, 2) and version != 1 and bitrate not in (0, 15) and rate != 3 else None


def _in_zip(data: bytes) -> str | None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return None
    return next((loader for name, loader in _OFFICE.items() if name in names), None)


def _by_words(data: bytes, known: str | None) -> str | None:
    """Name the loader of marked-up text by its first words, where they leave no doubt."""
    head = _start(data)
    opening = head.lower()
    if opening.startswith(("<!doctype html", "<html")):
        return "html"
    if opening.startswith(("<?xml", "<rss", "<feed", "<rdf:rdf")):
        root = re.search(r"<(?![?!])(?:\w+:)?(\w+)", opening)
        return {"rss": "feed", "feed": "feed", "rdf": "feed", "html": "html"}.get(root[1] if root else "")
    header = re.split(rb"\r?\n\r?\n", data[:16384], maxsplit=1)[0]
    looks_mailed = re.match(rb"[A-Za-z][A-Za-z-]*:", header) and len(_MAIL_HEADER.findall(header)) >= 3
    return "eml" if looks_mailed and known in (None, "text") else None


def _start(data: bytes) -> str:
    encoding = next((name for bom, name in BOMS if data.startswith(bom)), "latin-1")
    text = data[:4096].decode(encoding, "replace").lstrip("\ufeff")
    return re.sub(r"\A(?:\s+|<!--.*?-->)+", "", text, flags=re.DOTALL)


def _binary(data: bytes) -> bool:
    """Tell whether more than a tenth of the first 64 KiB are control characters that no text has."""
    head = data[: 1 << 16]
    if any(head.startswith(bom) for bom, _ in BOMS) or wide_encoding(head):
        return False
    controls = np.isin(np.frombuffer(head, np.uint8), _CONTROLS)
    return bool(controls.sum() * 10 > len(head))


_CONTROLS = np.array([byte for byte in range(32) if byte not in b"\t\n\r\f\x1b"], np.uint8)


def _written(data: bytes, suffix: str) -> bool:
    """Tell whether a file of an unknown suffix is text: no control characters in its first 64 KiB, and no drawing."""
    head = data[: 1 << 16]
    if suffix in _DRAWINGS or data.startswith(tuple(_REFUSED)):
        return False
    if any(head.startswith(bom) for bom, _ in BOMS) or wide_encoding(head):
        return True
    return not np.isin(np.frombuffer(head, np.uint8), _CONTROLS).any()


_SUBFILE = 254
"""The TIFF tag whose first bit says that a frame is a reduced copy of another."""
_DRAWINGS = (".svg", ".eps", ".ps")


def _seen(data: bytes) -> str:
    for magic, description in _REFUSED.items():
        if data.startswith(magic):
            return description
    if data.startswith(b"PK"):
        return "a zip archive that holds no Office document"
    if data[4:8] == b"ftyp":
        return f"a picture of type {data[8:12].decode('latin-1')!r}"
    kind = "binary data" if _binary(data) else "text of an unknown kind"
    return f"{kind} that starts with {data[:16]!r}"


def wide_encoding(data: bytes) -> str | None:
    """Tell UTF-16 without a mark by the NULs of its ASCII characters, all on one side."""
    pairs = np.frombuffer(data[: len(data[: 1 << 16]) // 2 * 2], np.uint8).reshape(-1, 2) == 0
    if not len(pairs):
        return None
    left, right = pairs.mean(axis=0)
    if max(left, right) < (0.3 if len(pairs) > 16 else 0.9) or min(left, right) > 0.02:
        return None
    return "utf-16-le" if right > left else "utf-16-be"


@contextmanager
def _decoding(what: str) -> Iterator[None]:
    """Turn whatever a third-party decoder raises into ``DecodeError``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (MmsdkError, MemoryError):
        raise
    except Exception as error:
        said = (
            re.sub(r"\s*<_io\.BytesIO object at \w+>|\[Errno -?\d+\] |: '<none>'", "", str(error))
            or type(error).__name__
        )
        raise DecodeError(f"the {what} is damaged or of an unknown variant: {said}") from error


def page_numbers(data: bytes) -> list[int]:
    """Give the frames of a picture that are pages, from 0: all full ones of a TIFF, of any other kind the first."""
    import PIL.Image

    if picture_format(data) != "TIFF":
        return [0]
    found = []
    with _decoding("TIFF picture"), PIL.Image.open(io.BytesIO(data), formats=["TIFF"]) as picture:
        for frame in range(getattr(picture, "n_frames", 1)):
            picture.seek(frame)
            if not picture.tag_v2.get(_SUBFILE, 0) & 1:  # type: ignore[attr-defined]  # a smaller copy of another
                found.append(frame)
    return found or [0]


def decode_image(data: bytes, *, pixels: int = 100_000_000, frame: int = 0) -> Image:
    """Decode a frame of a picture, turned as its EXIF says, transparency over white, 8 bits RGB.

    Raises ``DecodeError`` when it is damaged, truncated or has more than ``pixels`` pixels, and
    ``UnsupportedMediaError`` when it is no picture.
    """
    import PIL.Image
    import PIL.ImageOps

    kind = picture_format(data)
    if kind is None:
        raise UnsupportedMediaError(f"this is no picture but {_seen(data)}; {_ADVICE}")
    with _decoding(f"{kind} picture"), PIL.Image.open(io.BytesIO(data), formats=[kind]) as picture:
        if frame:
            picture.seek(frame)
        size = picture.width * picture.height
        if size > pixels:
            raise DecodeError(f"the picture has {size} pixels, more than limits.pixels = {pixels}")
        picture.load()
        return Image(np.ascontiguousarray(_rgb(PIL.ImageOps.exif_transpose(picture))))


def _rgb(picture: "Picture") -> NDArray[np.uint8]:
    """Give uint8 ``[height, width, 3]``."""
    import PIL.Image

    if picture.mode.startswith(("I", "F")):
        return _scaled(np.asarray(picture).astype(np.float64))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        ground = PIL.Image.new("RGBA", picture.size, "white")
        picture = PIL.Image.alpha_composite(ground, picture)
    return np.asarray(picture.convert("RGB"), np.uint8)


def _scaled(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Bring deep grey values to 8 bits: 16-bit ones by their range, others by their extremes."""
    values = np.nan_to_num(values)
    low, high = float(values.min()), float(values.max())
    if low >= 0 and 255 < high <= 65535:
        low, high = 0.0, 65535.0
    elif low >= 0 and 1 < high <= 255:
        low, high = 0.0, 255.0
    grey = np.clip((values - low) / max(high - low, 1e-12) * 255, 0, 255).round().astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def decode_audio(data: bytes, *, seconds: float = 4 * 3600.0) -> Recording:
    """Decode a recording, or the sound track of a film, to mono float32 at 16 kHz in [-1, 1].

    Raises ``DecodeError`` when nothing in it can be decoded or it is longer than ``seconds``, and
    ``UnsupportedMediaError`` when it is no recording or a film without sound. FFmpeg is told the
    container found by ``recording_format``: it never guesses one that reads other files or addresses.
    """
    import av

    kind = recording_format(data)
    if kind is None:
        raise UnsupportedMediaError(f"this is no recording but {_seen(data)}; {_ADVICE}")
    with _decoding(f"{kind} recording"), av.open(io.BytesIO(data), format=kind, metadata_errors="ignore") as container:
        if not container.streams.audio:
            raise UnsupportedMediaError(f"the {kind} film has no sound track")
        samples = bytearray()
        damaged = 0
        for block in _blocks(container):
            samples += block or b""
            damaged += block is None
            if len(samples) > seconds * RATE * 4:
                raise DecodeError(f"the recording is longer than limits.audio_seconds = {seconds:g}")
    if not samples:
        raise DecodeError(f"the {kind} recording holds no sound that can be decoded ({damaged} damaged packets)")
    wave = np.frombuffer(samples, np.float32)
    np.nan_to_num(wave, copy=False, posinf=1.0, neginf=-1.0)
    return Recording(Audio(np.clip(wave, -1.0, 1.0, out=wave), RATE), damaged)


def _blocks(container: Any) -> Iterator[bytes | None]:
    """Give resampled sound as float32 bytes; None for each packet that cannot be decoded."""
    import av

    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
    packets = container.demux(audio=0)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                break
            for frame in packet.decode():
                for piece in resampler.resample(frame):
                    yield piece.to_ndarray().tobytes()
        except (av.error.InvalidDataError, av.error.EOFError, av.error.PatchWelcomeError):
            yield None
    for piece in resampler.resample(None):
        yield piece.to_ndarray().tobytes()
