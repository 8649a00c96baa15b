"""Work done in a thread beside the one that asked for it. Knows nothing of what the work is."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from contextvars import copy_context
from typing import TypeVar

T = TypeVar("T")


class _Thread:
    """One thread for the whole process: whoever finds it busy works alone, as a busy machine has no more to give."""

    def __init__(self) -> None:
        self.free = threading.Lock()
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="mmsdk-beside")


_one = _Thread()


def _forget() -> None:
    global _one
    _one = _Thread()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)  # threads are not inherited


@contextmanager
def beside(work: Callable[[], T]) -> Iterator[Callable[[], T]]:
    """Do ``work`` while the block runs; what is given gives its result, or raises its error.

    While the thread is busy with other work, it is done when its result is asked for. It has ended when the block has.

    >>> with beside(lambda: 6 * 7) as answer:
    ...     answer()
    42
    """
    one = _one
    doing = None
    if one.free.acquire(blocking=False):
        with suppress(RuntimeError):  # the interpreter is ending
            doing = one.pool.submit(copy_context().run, work)
        if doing is None:
            one.free.release()
    if doing is None:
        yield work
        return
    try:
        yield doing.result
    finally:
        wait([doing])
        one.free.release()
