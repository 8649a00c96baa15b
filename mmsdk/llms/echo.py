"""A deterministic double: it repeats the last user message, or gives scripted replies in order.

It understands nothing, ignores ``seed``, ``temperature`` and ``schema``, and counts words as tokens.
"""

import re
import threading
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from mmsdk.llms.messages import check, text
from mmsdk.llms.streams import cut
from mmsdk.settings import Settings
from mmsdk.types import Delta, Message, Modality, Usage

_PIECE = re.compile(r"\s*\S+\s*$|\s*\S+")


class Echo:
    """Repeat the last user message word by word, or say ``replies`` one after another, the last one for ever.

    ``asked`` keeps the messages of every call, ``spoken`` counts the pieces that were taken.

    >>> "".join(delta.text for delta in Echo().generate([Message("user", "Say it again.")]))
    'Say it again.'
    """

    context = 1_000_000
    modalities: frozenset[Modality] = frozenset({"text", "image", "audio"})

    def __init__(
        self, model: str | None = None, *, settings: Settings | None = None, replies: Sequence[str] = ()
    ) -> None:
        del settings
        self.replies = list(replies) or ([model] if model else [])
        self.asked: list[tuple[Message, ...]] = []
        self.spoken = 0
        self._lock = threading.Lock()

    def generate(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int = 512,
        seed: int = 0,
        temperature: float = 0.0,
        schema: Mapping[str, Any] | None = None,
        stop: Sequence[str] = (),
    ) -> Generator[Delta]:
        """Stream the reply; raises ``ValueError`` without a message."""
        del seed, temperature, schema
        check(messages, self.modalities, name="echo")
        with self._lock:
            turn = len(self.asked)
            self.asked.append(tuple(messages))
        last = next((message for message in reversed(messages) if message.role == "user"), messages[-1])
        reply = self.replies[min(turn, len(self.replies) - 1)] if self.replies else text(last)
        read = sum(len(text(message).split()) for message in messages)
        return cut(self._pieces(reply, read, max_tokens), stop)

    def _pieces(self, reply: str, read: int, max_tokens: int) -> Generator[Delta]:
        pieces = _PIECE.findall(reply)[:max_tokens]
        for piece in pieces:
            self.spoken += 1
            yield Delta(piece)
        yield Delta("", Usage(read, len(pieces)))
