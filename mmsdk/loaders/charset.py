"""Bytes become text: byte order marks, UTF-8, declared and detected encodings.

This module knows nothing of formats. Characters that cannot be read become U+FFFD and are counted.
"""

import codecs
import re
from typing import NamedTuple

import numpy as np

from mmsdk.media import BOMS, wide_encoding
from mmsdk.types import JSON


class Text(NamedTuple):
    """Hold decoded text, the encoding it was in, and how many characters could not be read (now U+FFFD)."""

    text: str
    encoding: str
    replaced: int

    @property
    def metadata(self) -> dict[str, JSON]:
        """What a document says of its encoding."""
        return {"encoding": self.encoding, **({"replaced_characters": self.replaced} if self.replaced else {})}


def decode_text(data: bytes, encoding: str | None = None) -> Text:
    """Decode text: by its byte order mark, as UTF-8, by ``encoding`` if declared, else by detection.

    NUL, lone surrogates and bytes that mean nothing become U+FFFD and are counted.

    >>> decode_text("价格：五元".encode("gb18030"))
    Text(text='价格：五元', encoding='gb18030', replaced=0)
    """
    for bom, marked in BOMS:
        if data.startswith(bom):
            return _decoded(data[len(bom) :], marked)
    declared = _python_name(encoding)
    stateful = declared is not None and declared.startswith(("iso2022", "hz", "utf-7"))
    for name in [declared] if stateful else ["utf-8", declared]:
        if name and _decodes(data, name) and not (name == "utf-8" and wide_encoding(data)):
            return _decoded(data, name)
    return _decoded(data, wide_encoding(data) or _nearly_utf8(data) or declared or _detected(data))


def _decoded(data: bytes, encoding: str) -> Text:
    if encoding == "utf-8":
        data = re.sub(rb"\xed[\xa0-\xbf][\x80-\xbf]", "\ufffd".encode(), data)
    text = data.decode(encoding, "replace").replace("\x00", "\ufffd")
    return Text(text, encoding, text.count("\ufffd"))


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return False
    return True


def _python_name(encoding: str | None) -> str | None:
    """Give Python's name of a declared encoding; the older Chinese ones are read as their supersets."""
    try:
        name = codecs.lookup(encoding or "").name if encoding and encoding.isascii() else None
    except (LookupError, ValueError):
        return None
    return {"gb2312": "gb18030", "gbk": "gb18030", "big5": "big5hkscs", "iso8859-1": "cp1252"}.get(name or "", name)


def _nearly_utf8(data: bytes) -> str | None:
    text = data.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    good = sum(1 for character in text[: 1 << 16] if character > "\x7f" and character != "\ufffd")
    surrogates = len(re.findall(rb"\xed[\xa0-\xbf][\x80-\xbf]", data)) * 3
    return "utf-8" if bad <= max(good // 10, surrogates, int(good > 2)) else None


def _detected(data: bytes) -> str:
    """Detect a legacy encoding.

    Double-byte Chinese is told by where its common characters lie (level 1 of GB 2312 and of Big5),
    which is right from a few characters on, Russian by the lengths of its words and its frequent
    letters; all else is left to charset-normalizer.
    """
    from charset_normalizer import from_bytes

    sample = data[: 1 << 18]
    chinese = _chinese(sample)
    if chinese is not None and _decodes(sample[: sample.rfind(b"\n") + 1] or sample, chinese):
        return chinese
    russian = _russian(sample)
    if russian is not None:
        return russian
    best = from_bytes(sample).best()
    return best.encoding if best is not None else "cp1252"


def _chinese(data: bytes) -> str | None:
    pairs = np.array([tuple(pair) for pair in re.findall(rb"[\x81-\xfe][\x40-\xfe]", data)], np.uint8).reshape(-1, 2)
    if not len(pairs):
        return None
    lead, trail = pairs[:, 0], pairs[:, 1]
    marks = np.isin(lead, (0xA1, 0xA2, 0xA3))
    gb = (trail >= 0xA1) & (marks | ((lead >= 0xB0) & (lead <= 0xD7)))
    big5 = ((trail <= 0x7E) | (trail >= 0xA1)) & (marks | ((lead >= 0xA4) & (lead <= 0xC6)))
    name, score = max(("gb18030", gb.mean()), ("big5hkscs", big5.mean()), key=lambda scored: scored[1])
    hangul = len(pairs) >= 12 and np.mean((lead >= 0xB0) & (lead <= 0xC8) & (trail >= 0xA1)) > 0.9
    cyrillic = np.mean((pairs >= 0xC0) & (pairs <= 0xDF)) > 0.9
    return name if score >= 0.85 and not hangul and not cyrillic else None


def _russian(data: bytes) -> str | None:
    """Tell KOI8-R and Windows-1251 by words of odd length, which double-byte text has not, and frequent letters."""
    words = re.findall(rb"[\xa3\xa8\xb3\xb8\xc0-\xff]+", data)
    letters = sum(map(len, words))
    rest = len(re.findall(rb"[\x80-\xff]", data)) - letters
    odd = sum(len(word) % 2 for word in words)
    if len(words) < 3 or letters < 3 * len(words) or 4 * odd < len(words) or 20 * rest > letters:
        return None
    text = b"".join(words)
    shares = {name: _frequent(text.decode(name)) for name in ("koi8_r", "cp1251")}
    name = max(shares, key=lambda one: shares[one])
    return name if shares[name] > 0.55 else None


def _frequent(text: str) -> float:
    """Give the share of the ten letters that make up two thirds of Russian."""
    return sum(letter in "оеаинтсрвл" for letter in text.lower()) / len(text)
