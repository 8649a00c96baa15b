"""The body of a request on its way in, and the moment at which its client leaves.

Knows nothing of who asks and what for.
"""

import asyncio
from collections import deque

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from mmsdk.server.work import Work

_AHEAD = 1 << 18
"""Bytes that are read before somebody asks for them."""


class Body:
    """Read ahead a little, count, and stop the work when the client leaves."""

    def __init__(self, receive: Receive, work: Work, limit: int) -> None:
        self._receive, self._work, self._limit = receive, work, limit
        self._messages: deque[Message] = deque()
        self._changed = asyncio.Event()
        self._wanted = asyncio.Event()
        self._ahead = self._size = 0
        self.left = asyncio.Event()
        self.answered = False
        """Whether the whole answer was sent: what comes then is no leaving."""
        self.pump: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to read; calling it twice is fine."""
        if self.pump is None:
            self.pump = asyncio.create_task(self._pump())

    async def stop(self) -> None:
        """End reading."""
        if self.pump is not None:
            self.pump.cancel()
            await asyncio.wait({self.pump})

    async def receive(self) -> Message:
        """Give the next message, as ASGI has it. Raises ``HTTPException`` 413 for a body that is too long."""
        self.start()
        while not self._messages:
            if self.left.is_set():
                return {"type": "http.disconnect"}
            self._changed.clear()
            await self._changed.wait()
        if self._size > self._limit:
            raise HTTPException(413, f"the body has more than the {self._limit} bytes that are allowed here")
        message = self._messages.popleft()
        self._ahead -= len(message.get("body", b""))
        self._wanted.set()
        return message

    async def _pump(self) -> None:
        while True:
            while self._ahead >= _AHEAD:
                self._wanted.clear()
                await self._wanted.wait()
            message = await self._receive()
            if message["type"] == "http.disconnect":
                if not self.answered:
                    self._work.stop("left")
                self.left.set()
                self._changed.set()
                return
            size = len(message.get("body", b""))
            self._size += size
            self._ahead += size
            self._messages.append(message)
            self._changed.set()
