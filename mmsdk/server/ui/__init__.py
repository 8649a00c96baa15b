"""The web UI: pages for people, by Gradio, mounted at ``/ui``. It calls the service as the routes do.

Text of sources and of models is shown as text: no Markdown, no HTML, no link preview. Nothing is loaded
from elsewhere.
"""

import os
import re
from collections.abc import Sequence
from functools import partial
from html import escape
from importlib.util import find_spec
from typing import Any
from urllib.parse import parse_qs

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from mmsdk.errors import MissingDependencyError
from mmsdk.server.rules import Rule, Rules
from mmsdk.server.service import Service
from mmsdk.server.work import Waiting, state_of

_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "OPTIONS"})
_FETCHES = re.compile(r"/ui/+(?:gradio_api/+)?(?:file=.*://|proxy=|deep_link|monitoring)", re.IGNORECASE | re.DOTALL)
"""Routes of Gradio that would fetch other addresses for the caller, or that nobody here needs."""
_CSS = """
.gradio-container { max-width: 68rem !important; margin: 0 auto !important; width: 100% !important; }
.gradio-container main, .gradio-container .fillable { width: 100% !important; }
.gradio-container { --input-placeholder-color: #676f7d; --block-info-text-color: #5d6779; }
.dark .gradio-container { --input-placeholder-color: #9aa4b5; --block-info-text-color: #9aa4b5; }
.sources ol { padding-left: 1.4rem; margin: .3rem 0; }
.sources li { margin: .45rem 0; overflow-wrap: anywhere; }
.sources q { display: block; opacity: .8; font-size: .92em; }
.sources .score { opacity: .6; font-size: .85em; margin-left: .4rem; }
.label-wrap { text-align: left !important; }
footer, #talk button[aria-label="Share"] { display: none !important; }
#talk .minimal-audio-player { max-height: 4rem; }
"""


def mount(service: Service, rules: Rules, app: FastAPI, *, pages: Sequence[tuple[str, str]]) -> None:
    """Mount the UI at ``/ui``. Raises ``MissingDependencyError`` without Gradio."""
    if find_spec("gradio") is None:
        raise MissingDependencyError("gradio", "server")
    place = service.folder.own / "ui"
    place.mkdir(mode=0o700, exist_ok=True)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(place)
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    import gradio

    theme = gradio.themes.Base(
        primary_hue="blue", font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace"), radius_size="md"
    )
    rules.blocked.append(_FETCHES)
    rules.add(Rule(_METHODS, "/ui", scope="read", lane="page", under=True, look="ui"))
    gradio.mount_gradio_app(
        app,
        _blocks(service, pages),
        "/ui",
        footer_links=[],
        run_history=False,
        show_error=True,
        max_file_size=f"{service.settings.server.upload_mb}mb",
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        theme=theme,
        css=_CSS,
        blocked_paths=[str(service.folder.own / "originals"), str(service.folder.own / "incoming")],
    )
    mounted: Any = app.router.routes[-1]
    mounted.app = Tabs(mounted.app, service.waiting)


class Tabs:
    """Stop what a tab waits for when it is closed: Gradio itself looks every ten seconds.

    A tab holds one stream of events open while it waits for anything; its session is in the address.
    """

    def __init__(self, app: ASGIApp, waiting: Waiting) -> None:
        self.app, self.waiting = app, waiting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "http" and scope["path"].endswith("/queue/data"):
            session = parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [""])[0]
            state_of(scope).stopping = partial(self.waiting.stop, session)
        await self.app(scope, receive, send)


def _blocks(service: Service, pages: Sequence[tuple[str, str]]) -> "gradio.Blocks":  # type: ignore[name-defined] # noqa: F821
    import gradio

    from mmsdk.server.ui import chat, library, tasks

    with gradio.Blocks(title="mmsdk", analytics_enabled=False, delete_cache=(3600, 86400)) as made, gradio.Tabs():
        with gradio.Tab("Ask"):
            chosen = chat.build(service)
        with gradio.Tab("Collections"):
            library.build(service, chosen)
        if service.app.tasks:
            with gradio.Tab("Tasks"):
                tasks.build(service)
        if pages:
            with gradio.Tab("Pages"):
                links = "".join(
                    f'<li><a href="/{escape(plugin)}/{escape(name)}/" target="_blank" rel="noopener">'
                    f"{escape(plugin)}: {escape(name)}</a></li>"
                    for plugin, name in pages
                )
                gradio.HTML(f"<ul>{links}</ul>")
    made.queue(max_size=64, default_concurrency_limit=service.settings.server.answering, api_open=False)
    return made
