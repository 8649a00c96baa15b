"""The process in which queries run: ``python -m mmsdk_graph.asked``.

It reads jobs from standard input, answers on standard output, and ends with its parent, whose closed pipe it notices;
an alarm kills it when the parent should have and did not.
"""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from mmsdk.errors import DeadlineError, InputError, MissingDependencyError
from mmsdk_graph import export, projection
from mmsdk_graph.asking import GRACE, MEMORY, received, send


def main() -> None:
    """Serve queries from standard input until it is closed."""
    jobs, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            kind, arguments, seconds = received(jobs)
        except EOFError:
            return
        _tell(answers, _answered(kind, arguments, seconds, begun=partial(_begin, answers, seconds)))
        _alarm(0)


def _tell(answers: BinaryIO, answer: tuple[str, Any]) -> None:
    send(answers, answer)
    if answer[0] == "memory":
        sys.exit()


def _begin(answers: BinaryIO, seconds: float) -> None:
    """Start the clock and the limit of memory, once the graph is there."""
    _tell(answers, ("begun", None))
    _alarm(seconds + 2 * GRACE)
    _limit(MEMORY)


def _answered(kind: str, arguments: tuple[Any, ...], seconds: float, *, begun: Callable[[], None]) -> tuple[str, Any]:
    try:
        _limit(None)
        if kind == "cypher":
            file, cypher, parameters = arguments
            opened = projection.opened(Path(file))
            begun()
            return "rows", projection.run(opened, cypher, parameters, seconds=seconds)
        entities, triples, query = arguments
        graph = export.rdf(*export.read_plain(entities, triples))
        begun()
        return "rows", export.selected(graph, query)
    except DeadlineError:
        return "late", None
    except InputError as error:
        return "input", str(error)
    except MissingDependencyError as error:
        return "missing", getattr(error.__cause__, "name", None) or "ladybug"
    except MemoryError:
        return "memory", None


def _limit(more: int | None) -> None:
    """Let this process take so many more bytes than it has, where the system can; ``None`` takes the limit away."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        soft = resource.RLIM_INFINITY
        if more is not None:
            with open("/proc/self/statm", "rb") as statm:  # noqa: PTH123
                soft = int(statm.read().split()[0]) * resource.getpagesize() + more
        resource.setrlimit(resource.RLIMIT_AS, (soft, resource.RLIM_INFINITY))


def _alarm(seconds: float) -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


if __name__ == "__main__":
    main()
