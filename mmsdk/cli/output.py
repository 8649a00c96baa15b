"""How the command line prints: JSON for programs, text for people, errors in one line.

Sources are untrusted: their control characters never reach the terminal and their text is never read
as markup.
"""

import json
import sys
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from typer import Abort
from typer.exceptions import TyperException

from mmsdk.errors import MmsdkError

if TYPE_CHECKING:
    from mmsdk.types import AddReport, Answer, Citation, Hit, Transcript

_QUOTE = 300
_PLAIN: dict[str, Any] = {"markup": False, "highlight": False, "emoji": False, "soft_wrap": True}
_out, _error = Console(**_PLAIN), Console(stderr=True, **_PLAIN)


def prepare(debug: bool) -> None:
    """Make the streams take any character, and keep libraries' warnings quiet unless debugging."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    if not debug:
        warnings.simplefilter("ignore")


def clean(text: str) -> str:
    """Replace control characters, which could steer a terminal, by a replacement mark."""
    return "".join("\ufffd" if unicodedata.category(c) == "Cc" and c not in "\n\t" else c for c in text)


def say(text: str = "", style: str | None = None) -> None:
    """Print for people, on standard output."""
    _out.print(clean(text), style=style)


def warn(text: str) -> None:
    """Print for people, on standard error."""
    _error.print(clean(text))


def show(value: Any, as_json: bool, lines: Callable[[], None] | None = None) -> None:
    """Print a JSON value, or for people what ``lines`` prints."""
    if as_json:
        _out.out(json.dumps(value, ensure_ascii=_is_plain(sys.stdout)), highlight=False)
    elif lines is not None:
        lines()
    elif isinstance(value, str):
        say(value)
    elif value is not None:
        say(json.dumps(value, ensure_ascii=False, indent=2))


def _is_plain(stream: Any) -> bool:
    """Say whether a stream cannot take every character."""
    return (stream.encoding or "").lower().replace("-", "") != "utf8"


def complain(error: Exception, as_json: bool) -> int:
    """Print an error in one line, or as JSON, on standard error, and give its exit code."""
    code, message, status = "unexpected", f"{type(error).__name__}: {error} (--debug shows where)", 1
    if isinstance(error, MmsdkError):
        code, message, status = error.code, str(error), error.exit_code
    elif isinstance(error, TyperException):
        code, message, status = "usage", error.format_message(), error.exit_code
    elif isinstance(error, Abort):
        code, message = "aborted", "aborted"
    elif isinstance(error, OSError):
        code, message = "system", str(error)
    message = " ".join(message.split())
    if as_json:
        told = {"error": {"code": code, "message": message}}
        _error.out(json.dumps(told, ensure_ascii=_is_plain(sys.stderr)), highlight=False)
    else:
        _error.print(f"mmsdk: {clean(message)}", style="red" if _error.is_terminal else None)
    return status


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show bars on standard error when it is a terminal; call the function with a name, what is done and the total."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bars: dict[str, TaskID] = {}
    with Progress(*columns, console=_error, disable=not _error.is_terminal, transient=True) as bar:

        def tell(name: str, done: int, total: int) -> None:
            if name not in bars:
                bars[name] = bar.add_task(clean(name))
            bar.update(bars[name], completed=done, total=total or None)

        yield tell


def report_lines(report: "AddReport") -> None:
    """Print what an ``add`` did; its failures go to standard error."""
    say(f"{report.documents} documents, {report.chunks} chunks added, {report.skipped} unchanged")
    if not (report.documents or report.skipped or report.failed):
        warn("nothing there to read: the folder is empty, or all that it holds is hidden or ignored")
    if report.truncated:
        say(f"{report.truncated} inputs were longer than their encoder takes and were cut")
    if report.masked:
        say(f"{report.masked} pieces of personal data were masked")
    for failure in report.failed:
        warn(f"failed: {failure.source} ({failure.stage}, {failure.code}): {' '.join(failure.reason.split())}")


def hit_lines(hits: "Sequence[Hit]", explained: "Callable[[Hit], object] | None" = None) -> None:
    """Print hits, best first, with what ``explained`` says of each."""
    if not hits:
        say("nothing found")
    for rank, hit in enumerate(hits, 1):
        chunk = hit.chunk
        say(f"{rank:2}. {hit.score:.3f}  {chunk.source}, {chunk.locator}", "bold")
        say(f"    {_short(chunk.text) or f'[{chunk.modality}]'}")
        if explained is not None:
            say("\n".join(f"      {line}" for line in str(explained(hit)).splitlines()))


def answer_lines(answer: "Answer") -> None:
    """Print an answer with a number behind every supported stretch, and what each number stands for."""
    numbers: dict[tuple[str, str, str], int] = {}
    text, done = "", 0
    for citation in sorted(answer.citations, key=lambda citation: citation.stop):
        number = numbers.setdefault(_cited(citation), len(numbers) + 1)
        text += answer.text[done : citation.stop] + f" [{number}]"
        done = citation.stop
    say((text + answer.text[done:]).strip() or "The sources do not answer this.")
    if numbers:
        say()
    for (source, locator, quote), number in numbers.items():
        say(f"[{number}] {source}, {locator}" + (f': "{_short(quote)}"' if quote else ""))


def transcript_lines(transcript: "Transcript") -> None:
    """Print a transcript with the time of every segment."""
    for segment in transcript.segments:
        say(f"[{segment.start:7.2f} - {segment.stop:7.2f}] {segment.text.strip()}")
    if not transcript.segments:
        say("nothing was said")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows in columns of equal width."""
    cells = [[clean(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    for row in [list(columns), *cells]:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _cited(citation: "Citation") -> tuple[str, str, str]:
    return citation.hit.chunk.source, str(citation.locator), citation.quote


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _QUOTE else line[:_QUOTE].rstrip() + " ..."
