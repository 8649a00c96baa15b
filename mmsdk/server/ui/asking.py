"""Who asks in the UI, and how found places are written as HTML; whatever comes from a source is escaped."""

import time
import uuid
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import PurePath

import gradio

from mmsdk.server.defence import who
from mmsdk.server.keys import Key
from mmsdk.server.places import link
from mmsdk.server.service import Service
from mmsdk.server.work import Work
from mmsdk.types import Citation, Hit

_QUOTE = 280


def work_of(service: Service, request: gradio.Request, *, scope: str = "read") -> Work:
    """Give the work of a click. Raises ``gradio.Error`` when the session is over or may not do it."""
    key = key_of(service, request)
    if not key.may(scope):
        raise gradio.Error(f"This needs a key with the scope {scope}; yours has {key.scope}.")
    return Work(uuid.uuid4().hex, key, time.monotonic() + service.settings.server.seconds)


def key_of(service: Service, request: gradio.Request) -> Key:
    """Give the key of a click."""
    headers = {str(name).lower(): str(value) for name, value in dict(request.headers).items()}
    key = who(service.keys, headers)
    if key is None:
        raise gradio.Error("You are not logged in any more. Load the page again.")
    return key


def cited(collection: str, citations: Iterable[Citation]) -> str:
    """Write citations as a numbered list of links to their places."""
    rows = []
    for citation in citations:
        locator = citation.locator
        span = None
        if locator.kind not in ("seconds", "image") and locator.start is not None and locator.stop is not None:
            span = (int(locator.start), int(locator.stop))
        rows.append(_row(link(collection, citation.hit.chunk, span), citation.hit, str(locator), citation.quote))
    return _list("Sources", rows)


def found(collection: str, hits: Sequence[Hit]) -> str:
    """Write hits as a numbered list of links to their places."""
    rows = [
        _row(link(collection, hit.chunk), hit, str(hit.chunk.locator), hit.chunk.text, score=hit.score) for hit in hits
    ]
    return _list("Found", rows) if rows else '<div class="sources"><p>Nothing found.</p></div>'


def short_source(source: str) -> str:
    """Give the last two steps of a path of this machine, and any other source as it is."""
    return "/".join(PurePath(source).parts[-2:]) if source.startswith("/") else source


def _row(address: str, hit: Hit, place: str, quote: str, *, score: float | None = None) -> str:
    short = quote if len(quote) <= _QUOTE else quote[:_QUOTE].rstrip() + " …"
    said = f"<q>{escape(short)}</q>" if short.strip() else ""
    rated = "" if score is None else f'<span class="score">{score:.2f}</span>'
    name = f"{escape(short_source(hit.chunk.source))}, {escape(place)}"
    return f'<li><a href="{escape(address)}" target="_blank" rel="noopener">{name}</a>{rated}{said}</li>'


def _list(title: str, rows: Sequence[str]) -> str:
    return f'<div class="sources"><strong>{title}</strong><ol>{"".join(rows)}</ol></div>' if rows else ""
