"""The page to ask on: text, picture, microphone and files in, a streamed answer with its sources out.

Gradio takes messages for HTML, which it cleans, even where it does not render Markdown; so they are escaped.
"""

from collections.abc import Iterator
from html import escape, unescape
from pathlib import Path
from typing import Any

import gradio

from mmsdk import loaders
from mmsdk.errors import MmsdkError, UnsupportedMediaError
from mmsdk.server.folder import Upload, shown_name
from mmsdk.server.service import Service
from mmsdk.server.ui.asking import cited, key_of, work_of
from mmsdk.server.work import StoppedError, Work
from mmsdk.types import Content, Message

_PLACEHOLDER = "Ask the documents of this collection."
_HELP = (
    "Ask in words, attach a picture or a recording, or speak. "
    "A document that you attach is taken into the collection first."
)


def build(service: Service) -> gradio.Dropdown:
    """Make the page and give the choice of the collection, which the other pages share."""
    chosen = gradio.Dropdown([], label="Collection", interactive=True, elem_id="collection")
    talk = gradio.Chatbot(
        label="Answers",
        height="52vh",
        render_markdown=False,
        latex_delimiters=[],
        placeholder=_PLACEHOLDER,
        buttons=["copy"],
        layout="bubble",
        elem_id="talk",
    )
    asked = gradio.MultimodalTextbox(
        sources=["upload", "microphone"],
        file_count="multiple",
        placeholder="Your question",
        show_label=False,
        info=_HELP,
        elem_id="question",
    )
    sources = gradio.HTML("", elem_id="sources")

    def _asked(given: Any, history: list[Any], name: str | None, request: gradio.Request) -> Iterator[Any]:
        work = work_of(service, request)
        with service.waiting.on(str(request.session_hash), work):
            yield from _answer(service, given, history, name=name, work=work)

    asked.submit(
        _asked,
        [asked, talk, chosen],
        [asked, talk, sources],
        show_progress="hidden",
        api_visibility="private",
    )

    def names(request: gradio.Request) -> Any:
        known = service.names(key_of(service, request))
        return gradio.Dropdown(choices=known, value=known[0] if known else None)

    gradio.on([_page().load], names, None, [chosen], api_visibility="private", show_progress="hidden")
    return chosen


def _page() -> gradio.Blocks:
    page = gradio.context.Context.root_block
    if page is None:
        raise RuntimeError("the page is built within gradio.Blocks")
    return page


def _answer(service: Service, given: Any, history: list[Any], *, name: str | None, work: Work) -> Iterator[Any]:
    if not name:
        raise gradio.Error("Choose a collection, or make one under Collections.")
    question, shown = _question(service, given, name, work)
    earlier = _history(history)
    history = [*history, *shown]
    yield gradio.MultimodalTextbox(value=None), history, ""
    if not question:
        yield gradio.skip(), history, ""
        return
    text, citations = "", []
    try:
        collection = service.collection(name, work.key)
        asked = question[0] if len(question) == 1 else question
        for event in service.stream(collection, asked, work=work, history=earlier):
            text += event.text
            citations += [event.citation] if event.citation else []
            if event.kind in ("token", "citation"):
                text += f" [{len(citations)}]" if event.citation else ""
                yield (
                    gradio.skip(),
                    [*history, {"role": "assistant", "content": escape(text, quote=False)}],
                    cited(name, citations),
                )
    except MmsdkError as error:
        raise gradio.Error(str(error), print_exception=False) from error
    except StoppedError as error:
        raise gradio.Error("This took longer than allowed.", print_exception=False) from error


def _question(service: Service, given: Any, name: str, work: Work) -> tuple[list[Content], list[dict[str, Any]]]:
    """Give the parts of a question and the messages that show them; documents are taken in."""
    parts: list[Content] = []
    shown: list[dict[str, Any]] = []
    for file in given.get("files") or []:
        path = Path(file if isinstance(file, str) else file["path"])
        try:
            parts.append(loaders.load(path))
            shown.append({"role": "user", "content": {"path": str(path)}})
        except UnsupportedMediaError:
            shown.append({"role": "user", "content": escape(_taken(service, path, name, work), quote=False)})
        except MmsdkError as error:
            raise gradio.Error(str(error).replace(str(path), shown_name(path.name)), print_exception=False) from error
    text = str(given.get("text") or "").strip()
    if text:
        parts.insert(0, text)
        shown.append({"role": "user", "content": escape(text, quote=False)})
    return parts, shown


def _taken(service: Service, path: Path, name: str, work: Work) -> str:
    if not work.key.may("write"):
        raise gradio.Error("To add a document you need a key with the scope write.")
    service.collection(name, work.key)
    upload = Upload(shown_name(path.name), path)
    report = service.folder.add(name, [upload])
    failed = "".join(f"\n{failure.source}: {failure.reason}" for failure in report.failed)
    return f"{upload.name}: {report.documents} documents, {report.chunks} passages added{failed}"


def _history(history: list[Any]) -> list[Message]:
    kept = []
    for message in history:
        content = message["content"]
        texts = [content] if isinstance(content, str) else [p.get("text") for p in content if isinstance(p, dict)]
        text = unescape(" ".join(part for part in texts if isinstance(part, str))).strip()
        if text and message["role"] in ("user", "assistant"):
            kept.append(Message(message["role"], text[:4000]))
    return kept[-20:]
