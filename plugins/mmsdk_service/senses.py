"""What comes in by voice and picture, and what goes out as speech.

A recording becomes its transcript, and the numbers, dates and amounts in it are read back. A picture becomes the text
in it and the product it looks most like. Speech is made by espeak-ng or piper where they are installed, or by any
object with ``speak``.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Protocol

from mmsdk import Audio, Hit, Image, load
from mmsdk.errors import GenerationError, InputError, ModelLoadError
from mmsdk.protocols import Retriever
from mmsdk.runtime import Runtime
from mmsdk.types import Content, Query

LIKE = 0.5
"""The least score at which a picture is said to show a product."""
SAME, AHEAD = 0.85, 0.17
"""The score of a product's own picture, and how far a lower one is ahead of the next product's: with less the agent is
unsure rather than wrong."""
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_CRITICAL = re.compile(
    rf"(?:[€$£¥]\s?\d[\d.,]*\d|[€$£¥]\s?\d|\d[\d.,]*\s?(?:euros?|dollars?|pounds?|yuan|eur|usd|cents?|pence|元|块|欧元|美元|%)(?![a-z])"
    r"(?:\s(?:and\s)?\d{1,2}\s(?:cents?|pence)(?![a-z]))?"
    rf"|\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {_MONTH}\b(?:,? \d{{4}})?|{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?\b(?:,? \d{{4}})?"
    r"|(?:\d{2,4}年)?\d{1,2}月\d{1,2}[日号]|\d{4}-\d{1,2}-\d{1,2}|\d{1,2}[/.]\d{1,2}[/.]\d{2,4}|\d{1,2}:\d{2}"
    r"|[A-Za-z]{1,4}-?\d[\dA-Za-z-]*\d|\d+(?:[ -]\d+)*)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Perceived:
    """Hold a message in words: what was typed, heard and read, and what of it should be read back.

    ``product`` is what a picture shows, ``unread`` whether a recording or picture had no words and no product.
    """

    text: str
    heard: str = ""
    read: str = ""
    critical: tuple[str, ...] = ()
    product: Hit | None = None
    images: tuple[Image, ...] = ()
    unread: bool = False


@dataclass
class Senses:
    """Put recordings and pictures into words with the runtime's models."""

    runtime: Runtime
    products: Retriever | None = None
    least: float = LIKE

    def perceive(self, message: Query) -> Perceived:
        """Give a message of several parts in words. Raises ``InputError`` for parts of other types."""
        parts: list[Content] = [message] if isinstance(message, str | Audio | Image) else list(message)
        for part in parts:
            if not isinstance(part, str | Audio | Image):
                raise InputError(f"a message is text, Audio or Image, not {type(part).__name__}; read a file with load")
        spoken = [part for part in parts if isinstance(part, Audio)]
        images = tuple(part for part in parts if isinstance(part, Image))
        heard = " ".join(one.text for one in self.runtime.transcriber().transcribe(spoken)) if spoken else ""
        read = " ".join(self._lines(images))
        product = self._product(images)
        typed = " ".join(part for part in parts if isinstance(part, str))
        text = " ".join(piece for piece in (typed, heard) if piece).strip()
        unread = bool(spoken or images) and not (text or read or product)
        return Perceived(text, heard, read, critical(heard), product, images, unread)

    def _lines(self, images: Sequence[Image]) -> list[str]:
        if not images:
            return []
        return [str(part.content) for lines in self.runtime.reader().read(images) for part in lines]

    def _product(self, images: Sequence[Image]) -> Hit | None:
        if not images or self.products is None:
            return None
        return shown(self.products.retrieve(list(images), 8), self.least)


def shown(hits: Sequence[Hit], least: float) -> Hit | None:
    """Give the product that a picture shows, of hits with the best first; None when two are about as like."""
    if not hits or hits[0].score < least:
        return None
    others = [hit.score for hit in hits if product_name(hit) != product_name(hits[0])]
    is_sure = hits[0].score >= SAME or hits[0].score - max(others, default=0.0) >= AHEAD
    return hits[0] if is_sure else None


def critical(text: str) -> tuple[str, ...]:
    """Give the numbers, dates and amounts in a text, in order, each once.

    >>> critical("Order QM-20481 of 3 May cost 49.90 euros, not 50")
    ('QM-20481', '3 May', '49.90 euros', '50')
    >>> critical("34 euros and 40 cents")
    ('34 euros and 40 cents',)
    """
    return tuple(dict.fromkeys(" ".join(match.group().split()) for match in _CRITICAL.finditer(text)))


def product_name(hit: Hit) -> str:
    """Say what a hit is called: its title, or the name of its file in words."""
    title = hit.chunk.metadata.get("title")
    name = title if isinstance(title, str) and title else re.sub(r"[-_]+", " ", PurePath(hit.chunk.source).stem)
    return re.split(r"\s+[–—|]\s+|\s-\s", name)[0].strip()[:80]


class Speaker(Protocol):
    """Turn a reply into speech."""

    def speak(self, text: str, language: str = "en") -> Audio:
        """Give a recording of the text."""
        ...


@dataclass(frozen=True)
class Espeak:
    """Speak with espeak-ng, which knows English and Chinese (Mandarin)."""

    command: str = "espeak-ng"

    def speak(self, text: str, language: str = "en") -> Audio:
        """Give a recording.

        Raises ``InputError`` without words, ``ModelLoadError`` without the program, ``GenerationError`` when it fails.
        """
        voice = "cmn" if language == "zh" else "en"
        return _spoken([self.command, "-v", voice, "-w", "{file}", "--stdin"], text)


@dataclass(frozen=True)
class Piper:
    """Speak with piper and one of its voices, a file that ends in ``.onnx``."""

    voice: str
    command: str = "piper"

    def speak(self, text: str, language: str = "en") -> Audio:
        """Give a recording in the voice's own language. Raises as ``Espeak`` does."""
        del language
        return _spoken([self.command, "--model", self.voice, "--output_file", "{file}"], text)


def speaker(name: str) -> Speaker:
    """Give a speech engine by name: ``espeak-ng``, or ``piper:VOICE.onnx``. Raises ``InputError`` for others."""
    engine, _, voice = name.partition(":")
    if name == "espeak-ng":
        return Espeak()
    if engine == "piper" and voice:
        return Piper(voice)
    raise InputError(f"speech is made by espeak-ng or piper:VOICE.onnx, not {name!r}")


def _spoken(command: Sequence[str], text: str) -> Audio:
    if not any(letter.isalnum() for letter in text):
        raise InputError(f"there are no words to speak in {text[:40]!r}")
    program = shutil.which(command[0])
    if program is None:
        line = "apt install espeak-ng" if "espeak" in command[0] else "pip install piper-tts"
        raise ModelLoadError(f"the program {command[0]} is not installed; run: {line}")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "speech.wav"
        words = [program, *(word.replace("{file}", str(file)) for word in command[1:])]
        done = subprocess.run(words, input=text.encode(), capture_output=True, timeout=60, check=False)  # noqa: S603
        if done.returncode or not file.is_file():
            raise GenerationError(f"{command[0]} failed: {done.stderr.decode(errors='replace')[-300:]}")
        made = load(file)
    if not isinstance(made, Audio):
        raise GenerationError(f"{command[0]} made no recording")
    return made
