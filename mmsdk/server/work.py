"""One request on its way: who asks, until when, and whether anybody still waits for the result.

Work is done in threads; it looks in between whether it may go on. Knows nothing of routes.
"""

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from mmsdk import deadline
from mmsdk.protocols import LLM
from mmsdk.server.keys import LOCAL, Key
from mmsdk.types import Delta, Message, Modality

T = TypeVar("T")
Reason = Literal["left", "late", "closing"]
_POLL = 0.05


class StoppedError(Exception):
    """Say that work was given up, and why: the client left, the time is over, the server closes."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class Work:
    """Hold one request. ``deadline`` counts in ``time.monotonic``."""

    id: str
    key: Key = LOCAL
    deadline: float = float("inf")
    reason: Reason | None = None
    tokens: int = 0
    stopping: Callable[[Reason], None] | None = None
    """Called once when the work is stopped."""
    _stopped: threading.Event = field(default_factory=threading.Event)

    def stop(self, reason: Reason) -> None:
        """Make the next ``check`` raise; the first reason counts."""
        if not self._stopped.is_set():
            self.reason = reason
            self._stopped.set()
            if self.stopping is not None:
                self.stopping(reason)

    def check(self) -> None:
        """Raise ``StoppedError`` when the work is not to go on."""
        if time.monotonic() > self.deadline:
            self.stop("late")
        if self._stopped.is_set():
            raise StoppedError(self.reason or "left")

    def left(self) -> float:
        """Give the seconds that are left. Raises ``StoppedError`` as ``check`` does."""
        self.check()
        return self.deadline - time.monotonic()

    async def run(self, executor: Executor, function: Callable[..., T], *arguments: Any) -> T:
        """Run a function in a thread, with the context of the caller; ``mmsdk.deadline`` knows how long it may take."""
        self.check()
        context = contextvars.copy_context()
        context.run(deadline.LEFT.set, self.left)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(executor, lambda: context.run(function, *arguments))


class Waiting:
    """Know what each tab of a browser waits for, so that it can be stopped when the tab is closed."""

    def __init__(self) -> None:
        self._works: dict[str, list[Work]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def on(self, session: str, work: Work) -> Iterator[None]:
        """Let a tab wait for a work within the block."""
        with self._lock:
            self._works.setdefault(session, []).append(work)
        try:
            yield
        finally:
            with self._lock:
                self._works[session].remove(work)
                if not self._works[session]:
                    del self._works[session]

    def stop(self, session: str, reason: Reason) -> None:
        """Stop everything that a tab waits for."""
        with self._lock:
            works = list(self._works.get(session, ()))
        for work in works:
            work.stop(reason)


class Stoppable:
    """Be an LLM that stops between two tokens when nobody waits any more, and that takes turns.

    ``turns`` says how many replies are written at the same time.
    """

    def __init__(self, llm: LLM, work: Work, *, turns: threading.Semaphore) -> None:
        self._llm, self._work, self._turns = llm, work, turns
        self.context = llm.context
        self.modalities: frozenset[Modality] = llm.modalities
        self.model = getattr(llm, "model", None)

    def generate(self, messages: Sequence[Message], **options: Any) -> Generator[Delta]:
        """Stream the reply; raises ``StoppedError`` when the work is stopped."""
        while not self._turns.acquire(timeout=_POLL):
            self._work.check()
        try:
            self._work.check()
            stream: Any = self._llm.generate(messages, **options)
            with closing(stream):
                for delta in stream:
                    self._work.check()
                    yield delta
        finally:
            self._turns.release()


def state_of(scope: Mapping[str, Any]) -> Work:
    """Give the work of an ASGI scope."""
    found: Work = scope["state"]["work"]
    return found
