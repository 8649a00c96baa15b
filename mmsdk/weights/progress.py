"""Showing how far a fetch is."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

Progress = Callable[[str, int, int], None]
"""Called with a model's name, the bytes fetched and the bytes to fetch (0: not known)."""


@contextmanager
def shown(progress: Progress | None) -> Iterator[Progress]:
    """Give the caller's progress function, else a bar on a terminal, else silence."""
    if progress is not None or not sys.stderr.isatty():
        yield progress or (lambda _name, _done, _total: None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True)) as bars:
        bar = bars.add_task("", total=None)
        yield lambda name, done, total: bars.update(bar, description=name, completed=done, total=total or None)


@contextmanager
def watched(folder: Path, report: Callable[[int], None]) -> Iterator[None]:
    """Report the bytes under a folder five times a second."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            with suppress(OSError):
                report(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
