"""Logs: one JSON object a line, with the request's id and without anything that a request held.

Neither headers, bodies, queries nor paths are written; a route stands as its template. An unexpected
error is written with its type and where it arose; its message, which may quote a document, only at debug.
"""

import json
import logging
import sys
import time
import traceback
from functools import lru_cache
from typing import IO, Any

log = logging.getLogger("mmsdk.server")
_written = json.JSONEncoder(ensure_ascii=False, default=str).encode


class JsonLines(logging.Formatter):
    """Write a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        if record.__dict__.get("written"):
            return record.getMessage()
        shape: dict[str, Any] = {
            "time": moment(record.created),
            "level": record.levelname.lower(),
            "event": record.name,
        }
        given = record.__dict__.get("fields")
        if isinstance(given, dict):
            shape.update(given)
        elif record.name.startswith(("uvicorn", "mmsdk")):
            shape["text"] = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            shape |= where(record.exc_info[1])
        return _written(shape)


def where(error: BaseException) -> dict[str, Any]:
    """Say what an error is and in which lines of code it arose, without its message."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    at = [f"{frame.filename.rpartition('site-packages/')[2]}:{frame.lineno}" for frame in frames]
    return {"error": type(error).__name__, "at": at}


def tell(level: int, event: str, **fields: Any) -> None:
    """Log an event with its fields; those that are None are left out."""
    if log.isEnabledFor(level):
        kept = {name: value for name, value in fields.items() if value is not None}
        record = logging.LogRecord(log.name, level, "", 0, event, None, None)
        vars(record)["fields"] = {"event": event, **kept}
        log.handle(record)


def line(level: int, event: str, *, at: str, **fields: Any) -> str:
    """Give the line that ``tell`` would log at a time."""
    return _written({"time": at, "level": logging.getLevelName(level).lower(), "event": event, **fields})


def tell_lines(level: int, lines: list[str]) -> None:
    """Log lines that are written already, in one go."""
    if log.isEnabledFor(level):
        record = logging.LogRecord(log.name, level, "", 0, "\n".join(lines), None, None)
        vars(record)["written"] = True
        log.handle(record)


def moment(seconds: float) -> str:
    """Write a time since the epoch, in seconds, as a log does."""
    return f"{_second(int(seconds))}.{int(seconds % 1 * 1000):03d}Z"


@lru_cache(4)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def install(stream: IO[str] | None = None, *, level: int = logging.INFO) -> None:
    """Send the logs of the server and of uvicorn to a stream, standard error if none is given."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    for name in ("mmsdk", "uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level)
    logging.getLogger("uvicorn.access").handlers = []
    logging.getLogger("uvicorn.access").propagate = False
