"""An event loop that looks at sockets in rounds while requests are refused, rather than for each of them."""

import asyncio
import select
import selectors
import time
from typing import Any

ROUND, _CROWDED = 0.003, 0.05
"""Seconds between two looks, and for how long a refusal makes the loop wait for them."""


class _Rounds(selectors.DefaultSelector):
    """Find out which sockets are ready. What other threads say, by the socket that was registered first, comes at once.

    Source: ``BaseSelectorEventLoop.__init__`` registers the socket of ``call_soon_threadsafe`` before any other.
    """

    crowded = 0.0
    _said: "select.poll | None" = None

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        if self._said is None:
            self._said = select.poll()
            self._said.register(fileobj, select.POLLIN)
        return super().register(fileobj, events, data)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self._said is not None and (timeout is None or timeout > 0) and time.monotonic() < self.crowded:
            self._said.poll(1000 * (ROUND if timeout is None else min(timeout, ROUND)))
            timeout = 0
        return super().select(timeout)


class Loop(asyncio.SelectorEventLoop):
    """Run callbacks as asyncio does.

    Under ten times the load, waking for each of three thousand refusals a second takes the processor and Python's
    lock from the searches that were let in; in rounds of 3 ms, about ten are refused in a row.
    """

    def __init__(self) -> None:
        self._rounds = _Rounds()
        super().__init__(self._rounds)

    def note_refusal(self, now: float) -> None:
        """Look at sockets in rounds for a while; ``now`` is that of ``time.monotonic``."""
        self._rounds.crowded = now + _CROWDED


LOOP = "mmsdk.server.loops:Loop" if hasattr(select, "poll") else "auto"
"""What uvicorn is told; Windows knows no ``poll``."""
