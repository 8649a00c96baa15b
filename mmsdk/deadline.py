"""How long the caller still waits: told by whoever runs work in a thread, asked by what may take long.

Nobody needs to hand it through: it travels with the context of the thread. Knows nothing of servers.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

LEFT: ContextVar[Callable[[], float]] = ContextVar("mmsdk_left", default=lambda: float("inf"))
"""Gives the seconds that are left; raises what ends the work when nobody waits any more."""


def left() -> float:
    """Give the seconds that the caller still waits, infinite if nobody said.

    Raises what the caller ends work with when it has left or its time is over.

    >>> with within(lambda: 2.5):
    ...     left()
    2.5
    """
    return LEFT.get()()


@contextmanager
def within(told: Callable[[], float]) -> Iterator[None]:
    """Let ``left`` give what ``told`` gives, within the block."""
    token = LEFT.set(told)
    try:
        yield
    finally:
        LEFT.reset(token)
