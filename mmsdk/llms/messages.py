"""Check messages before a backend sees them and write them in the protocol that most backends speak.

The protocol is OpenAI's chat completions: ``{"role", "content"}`` with text, or with a list of parts.
This module knows neither templates nor tokens.
"""

import base64
import io
from collections.abc import Sequence
from typing import Any

from mmsdk.errors import UnsupportedModalityError
from mmsdk.types import Content, Image, Message, Modality, modality_of


def contents(message: Message) -> tuple[Content, ...]:
    """Give the contents of a message as a tuple, also when there is only one."""
    if isinstance(message.content, Sequence) and not isinstance(message.content, str):
        return tuple(message.content)
    return (message.content,)


def text(message: Message) -> str:
    """Join the texts of a message by newlines."""
    return "\n".join(part for part in contents(message) if isinstance(part, str))


def check(messages: Sequence[Message], modalities: frozenset[Modality], *, name: str) -> None:
    """Raise ``UnsupportedModalityError`` for contents the LLM ``name`` does not take, ``ValueError`` for no message."""
    if not messages:
        raise ValueError("messages are empty: give at least one user message")
    for message in messages:
        for part in contents(message):
            modality = modality_of(part)
            if modality not in modalities:
                raise UnsupportedModalityError(
                    f"the LLM {name} takes {', '.join(sorted(modalities))}, not {modality}. "
                    "Turn it into text first (mmsdk.transcribe, mmsdk.read_text) or name an LLM that takes it."
                )


def protocol(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Write messages as OpenAI chat messages; pictures become PNG data URLs."""
    written: list[dict[str, Any]] = []
    for message in messages:
        parts = contents(message)
        if all(isinstance(part, str) for part in parts):
            written.append({"role": message.role, "content": text(message)})
        else:
            written.append({"role": message.role, "content": [_part(part) for part in parts]})
    return written


def _part(content: Content) -> dict[str, Any]:
    if isinstance(content, str):
        return {"type": "text", "text": content}
    if isinstance(content, Image):
        return {"type": "image_url", "image_url": {"url": data_url(content)}}
    raise UnsupportedModalityError("recordings have no form in chat messages; transcribe them first")


def data_url(image: Image) -> str:
    """Write a picture as a PNG data URL."""
    from PIL import Image as Pillow

    buffer = io.BytesIO()
    Pillow.fromarray(image.pixels).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
