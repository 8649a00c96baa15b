"""mmsdk: files of any modality in, answers with evidence out.

Names are resolved on first use, so ``import mmsdk`` loads no model library.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmsdk.app import App
    from mmsdk.assistant import Assistant
    from mmsdk.collection import Collection
    from mmsdk.errors import MmsdkError
    from mmsdk.loaders import load
    from mmsdk.plugin import Plugin, task
    from mmsdk.runtime import Runtime, encoder, llm, read_text, transcribe
    from mmsdk.settings import Settings
    from mmsdk.types import Answer, Audio, Chunk, Citation, Document, Hit, Image, Locator, Message, Part

os.environ.setdefault("GOMP_SPINCOUNT", "10000")
"""Threads of torch that wait sleep after microseconds. By default they spin for milliseconds, and a search, which runs
other libraries between, finds its cores taken: it takes a quarter longer. It counts if torch is not imported yet."""
_HOMES = {
    "App": "app",
    "Assistant": "assistant",
    "Collection": "collection",
    "MmsdkError": "errors",
    "load": "loaders",
    "Plugin": "plugin",
    "task": "plugin",
    "Runtime": "runtime",
    "encoder": "runtime",
    "llm": "runtime",
    "read_text": "runtime",
    "transcribe": "runtime",
    "Settings": "settings",
    **dict.fromkeys(
        ("Answer", "Audio", "Chunk", "Citation", "Document", "Hit", "Image", "Locator", "Message", "Part"), "types"
    ),
}

__all__ = [
    "Answer",
    "App",
    "Assistant",
    "Audio",
    "Chunk",
    "Citation",
    "Collection",
    "Document",
    "Hit",
    "Image",
    "Locator",
    "Message",
    "MmsdkError",
    "Part",
    "Plugin",
    "Runtime",
    "Settings",
    "encoder",
    "llm",
    "load",
    "read_text",
    "task",
    "transcribe",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("mmsdk")
    if name in _HOMES:
        return getattr(import_module(f"mmsdk.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'mmsdk' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
