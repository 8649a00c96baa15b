"""Settings become models and collections, each built once, on first use.

A runtime knows nothing of plugins, commands or servers; they are given one. Everything it builds is
shared, so threads may ask for the same thing at the same time and get the same object.
"""

from collections.abc import Callable, Hashable
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from mmsdk import encoders, loaders, recognizers, registry, weights
from mmsdk.collection import Collection
from mmsdk.errors import UnsupportedModalityError
from mmsdk.protocols import LLM, Closing, Encoder, TextReader, Transcriber
from mmsdk.settings import Settings
from mmsdk.types import Audio, Image, Part, Transcript

T = TypeVar("T")


class _Slot:
    """Hold one thing that is built once; a failure is not kept, so the next call tries again."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.made: list[Any] = []

    def get(self, make: Callable[[], Any]) -> Any:
        with self._lock:
            if not self.made:
                self.made.append(make())
            return self.made[0]


class Runtime(Closing):
    """Build what the settings name: encoders, recognizers, LLMs and collections.

    No settings given: those of ``Settings.load``. ``close`` closes what was opened; afterwards the
    runtime can be used again and builds anew. Close collections through the runtime, not one by one.

    >>> with Runtime(Settings(llm="echo")) as runtime:
    ...     runtime.llm() is runtime.llm()
    True
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = Settings.load() if settings is None else settings
        self._lock = Lock()
        self._slots: dict[Hashable, _Slot] = {}

    def encoders(self) -> tuple[Encoder, ...]:
        """Give the encoders that collections are made with."""
        return self._once("encoders", lambda: encoders.build(self.settings))

    def encoder(self, name: str) -> Encoder:
        """Give one encoder by its name, for example ``text:all-MiniLM-L6-v2``."""
        return self._once(("encoder", name), lambda: encoders.shared(name, self.settings))

    def reader(self) -> TextReader:
        """Give what reads text out of pictures."""
        return self._once("reader", lambda: recognizers.reader(self.settings))

    def transcriber(self) -> Transcriber:
        """Give what writes down recordings."""
        return self._once("transcriber", lambda: recognizers.transcriber(self.settings))

    def llm(self, name: str | None = None) -> LLM:
        """Give an LLM by its name, for example ``openai:gpt-4o``; without one, that of the settings."""
        chosen = name or weights.model_name("llm", self.settings)
        made: LLM = self._once(
            ("llm", chosen),
            lambda: registry.create("llms", chosen, pins=self.settings.pins, settings=self.settings),
        )
        return made

    def collection(self, path: str | Path, create: bool = False) -> Collection:
        """Open the collection in a folder (or at a store address), with ``create`` a new one when none is there.

        Raises ``CollectionNotFoundError`` and whatever else ``Collection.open`` raises.
        """
        address = str(path) if "://" in str(path) else str(Path(path).resolve())
        return self._once(
            ("collection", address),
            lambda: Collection.open(address, create, self.encoders(), settings=self.settings),
        )

    def forget(self, path: str | Path) -> None:
        """Close a collection if it is open; the next call of ``collection`` opens it anew."""
        address = str(path) if "://" in str(path) else str(Path(path).resolve())
        with self._lock:
            slot = self._slots.pop(("collection", address), None)
        for made in slot.made if slot else ():
            made.close()

    def close(self) -> None:
        """Close collections and models that can be closed; calling it twice is fine."""
        with self._lock:
            slots, self._slots = self._slots, {}
        for slot in reversed(slots.values()):
            for made in slot.made:
                close = getattr(made, "close", None)
                if close is not None:
                    close()

    def _once(self, key: Hashable, make: Callable[[], T]) -> T:
        with self._lock:
            slot = self._slots.setdefault(key, _Slot())
        made: T = slot.get(make)
        return made


@lru_cache(maxsize=1)
def default() -> Runtime:
    """Give the runtime behind the module functions and the command line: ``Settings.load()``, read once."""
    return Runtime()


def encoder(name: str) -> Encoder:
    """Give an encoder by its name, for example ``text:all-MiniLM-L6-v2`` or ``open_clip:ViT-B-32``.

    Raises ``PluginNotFoundError`` with the nearest names for a name nobody offers.
    """
    return default().encoder(name)


def llm(name: str | None = None) -> LLM:
    """Give an LLM by its name, for example ``llamacpp`` or ``openai:gpt-4o``; without one, that of the settings."""
    return default().llm(name)


def transcribe(recording: str | Path | Audio) -> Transcript:
    """Write down what is said in a recording, given as a file or as ``Audio``.

    Raises ``UnsupportedModalityError`` for a picture, and what ``mmsdk.load`` raises.
    """
    content = recording if isinstance(recording, Audio) else loaders.load(recording)
    if not isinstance(content, Audio):
        raise UnsupportedModalityError(f"{recording} is a picture; only a recording can be transcribed")
    return default().transcriber().transcribe([content])[0]


def read_text(image: str | Path | Image) -> list[Part]:
    """Read the text in a picture, given as a file or as ``Image``: one part a line, each with its box in pixels.

    Raises ``UnsupportedModalityError`` for a recording, and what ``mmsdk.load`` raises.
    """
    content = image if isinstance(image, Image) else loaders.load(image)
    if not isinstance(content, Image):
        raise UnsupportedModalityError(f"{image} is a recording; text can only be read in a picture")
    return default().reader().read([content])[0]
