"""Turn libraries that call back into iterators that can be closed, and cut streams at stop strings.

Nothing here knows what generates the text.
"""

import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence

from mmsdk.types import Delta

Emit = Callable[[Delta], bool]
"""Take a piece; the result says whether generation goes on."""


def pushed(produce: Callable[[Emit], None]) -> Generator[Delta]:
    """Iterate over what ``produce`` emits in a thread of its own.

    Closing the iterator makes the next ``emit`` return False and waits until ``produce`` has returned,
    so nothing runs on in the background. An exception of ``produce`` is raised here.
    """
    pieces: queue.SimpleQueue[Delta | BaseException | None] = queue.SimpleQueue()
    closed = threading.Event()

    def emit(delta: Delta) -> bool:
        pieces.put(delta)
        return not closed.is_set()

    def work() -> None:
        try:
            produce(emit)
        except BaseException as error:  # noqa: BLE001 - it is raised again in the consumer's thread
            pieces.put(error)
        else:
            pieces.put(None)

    thread = threading.Thread(target=work, name="mmsdk-llm", daemon=True)
    thread.start()
    try:
        while (piece := pieces.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece
    finally:
        closed.set()
        thread.join()


def cut(deltas: Iterator[Delta], stop: Sequence[str]) -> Generator[Delta]:
    """End the text before the first stop string, even one that arrives in pieces; the usage still comes last.

    >>> [delta.text for delta in cut(iter([Delta("one, t"), Delta("wo. th"), Delta("ree")]), [". "])]
    ['one, t', 'wo']
    """
    marks = [mark for mark in stop if mark]
    held = ""
    for delta in deltas:
        held += delta.text
        found = [place for mark in marks if (place := held.find(mark)) >= 0]
        if found:
            yield Delta(held[: min(found)])
            yield from _usage(delta, deltas)
            return
        keep = max((_overlap(held, mark) for mark in marks), default=0)
        ready, held = held[: len(held) - keep], held[len(held) - keep :]
        if delta.usage is not None:
            ready, held = ready + held, ""
        if ready or delta.usage is not None:
            yield Delta(ready, delta.usage)
    if held:
        yield Delta(held)


def _overlap(text: str, mark: str) -> int:
    """Count the characters at the end of ``text`` with which ``mark`` may be beginning."""
    return next((size for size in range(min(len(mark) - 1, len(text)), 0, -1) if text.endswith(mark[:size])), 0)


def _usage(delta: Delta, deltas: Iterator[Delta]) -> Iterator[Delta]:
    """Give the usage if it came with the piece that stopped; otherwise cancel, because nobody counted."""
    if delta.usage is not None:
        yield Delta("", delta.usage)
    elif isinstance(deltas, Generator):
        deltas.close()
