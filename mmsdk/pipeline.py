"""Steps of one stream that work at the same time. Knows nothing of what they do."""

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")
V = TypeVar("V")
_AHEAD = 3
"""Items on their way: one for each of two steps and one for who takes them."""


def ahead(items: Generator[T], first: Callable[[T], U], second: Callable[[U], V]) -> Generator[V]:
    """Give ``second(first(item))`` in order; while one result is used, the next are made.

    One thread takes items and does the first step, another the second; contexts are the caller's. What is raised
    there is raised here, behind the results before it. When this ends, or is closed, both threads have ended: what
    they were at is finished and dropped.

    >>> list(ahead((number for number in range(3)), str, lambda digit: digit * 2))
    ['00', '11', '22']
    """
    waiting: deque[Future[tuple[V] | None]] = deque()

    def taken() -> tuple[U] | None:
        for item in items:
            return (first(item),)
        return None

    def finished(early: "Future[tuple[U] | None]") -> tuple[V] | None:
        made = early.result()
        return None if made is None else (second(*made),)

    with ThreadPoolExecutor(1, "mmsdk-first") as one, ThreadPoolExecutor(1, "mmsdk-second") as two:
        try:
            while True:
                while len(waiting) < _AHEAD:
                    early = one.submit(copy_context().run, taken)
                    waiting.append(two.submit(copy_context().run, finished, early))
                made = waiting.popleft().result()
                if made is None:
                    return
                yield made[0]
        finally:
            one.shutdown(cancel_futures=True)
            two.shutdown(cancel_futures=True)
            items.close()
