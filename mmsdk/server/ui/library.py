"""The page of collections: make one, add files and addresses, list, search with filters, see what failed."""

import json
from pathlib import Path
from typing import Any

import gradio

from mmsdk.errors import MmsdkError
from mmsdk.server.collections import documents
from mmsdk.server.folder import Upload, shown_name
from mmsdk.server.problems import RefusalError
from mmsdk.server.service import Service
from mmsdk.server.ui.asking import found, key_of, short_source, work_of
from mmsdk.types import AddReport

_LISTED = 200


def build(service: Service, chosen: gradio.Dropdown) -> None:
    """Make the page. ``chosen`` is the collection that all pages share."""
    with gradio.Row():
        name = gradio.Textbox(label="New collection", placeholder="name", scale=3)
        make = gradio.Button("Make it", scale=1)
    summary = gradio.Markdown("", elem_id="summary", sanitize_html=True)
    with gradio.Row():
        files = gradio.File(label="Files to add", file_count="multiple", elem_id="files")
        with gradio.Column():
            urls = gradio.Textbox(label="Addresses to add", lines=3, placeholder="https://… one a line")
            add = gradio.Button("Add", variant="primary", elem_id="add")
    report = gradio.Textbox(label="What was added", interactive=False, elem_id="report", lines=2)
    failures = gradio.Dataframe(
        headers=["source", "stage", "reason"], label="Not taken in", interactive=False, wrap=True
    )
    with gradio.Row():
        query = gradio.Textbox(label="Search", elem_id="search", scale=2)
        where = gradio.Textbox(label="Filter (JSON)", placeholder='{"modality": "image"}', scale=1)
    hits = gradio.HTML("", elem_id="hits")
    listed = gradio.Dataframe(
        headers=["source", "chunks", "kinds", "id"], label="Documents", interactive=False, wrap=True
    )
    _wire(service, chosen, (name, make, summary, files, urls, add, report, failures, query, where, hits, listed))


def _wire(service: Service, chosen: gradio.Dropdown, parts: tuple[Any, ...]) -> None:
    name, make, summary, files, urls, add, report, failures, query, where, hits, listed = parts
    private: dict[str, Any] = {"api_visibility": "private"}

    def refresh(collection: str | None, request: gradio.Request) -> Any:
        return _shown(service, collection, request)

    def create(wanted: str, request: gradio.Request) -> Any:
        work = work_of(service, request, scope="admin")
        if work.key.collections is not None:
            raise gradio.Error("This needs a key that is not bound to collections.")
        try:
            service.folder.create(wanted.strip())
        except FileExistsError as error:
            raise gradio.Error(f"There is already a collection {wanted!r}.", print_exception=False) from error
        except MmsdkError as error:
            raise gradio.Error(str(error), print_exception=False) from error
        return gradio.Dropdown(choices=service.names(key_of(service, request)), value=wanted.strip()), ""

    def _take(
        collection: str, paths: Any, addresses: str, request: gradio.Request, progress: gradio.Progress = _PROGRESS
    ) -> Any:
        return _add(service, collection, (paths, addresses), request=request, progress=progress)

    def _searched(collection: str, text: str, condition: str, request: gradio.Request) -> str:
        return _search(service, collection, text, condition=condition, request=request)

    shown = [summary, failures, listed]
    make.click(create, [name], [chosen, name], **private)
    chosen.change(refresh, [chosen], shown, show_progress="hidden", **private)
    taken = add.click(_take, [chosen, files, urls], [report, files, urls], concurrency_limit=1, **private)
    taken.then(refresh, [chosen], shown, **private)
    gradio.on([query.submit, where.submit], _searched, [chosen, query, where], [hits], **private)


_PROGRESS = gradio.Progress()


def _shown(service: Service, name: str | None, request: gradio.Request) -> Any:
    if not name:
        return "No collection yet: make one, then add files.", gradio.Dataframe(value=[], visible=False), []
    key = key_of(service, request)
    try:
        page = documents(service, name, key, offset=0, limit=_LISTED)
        info = service.collection(name, key).info()
        failed = [[one["source"], one["stage"], one["reason"]] for one in service.folder.failures(name)]
    except (MmsdkError, RefusalError) as error:
        raise gradio.Error(str(error), print_exception=False) from error
    rows = [
        [short_source(one["source"]), one["chunks"], ", ".join(one["modalities"]), one["id"]]
        for one in page["documents"]
    ]
    more = f"; the first {_LISTED} are listed" if page["total"] > _LISTED else ""
    size = f"{info['documents']} documents, {info['chunks']} passages, {info['bytes'] / 1e6:.1f} MB{more}"
    return size, gradio.Dataframe(value=failed, visible=bool(failed)), rows


def _add(service: Service, name: str, given: tuple[Any, str], *, request: gradio.Request, progress: Any) -> Any:
    work = work_of(service, request, scope="write")
    paths, addresses = given
    uploads = [Upload(shown_name(Path(path).name), Path(path)) for path in paths or []]
    listed = [line.strip() for line in (addresses or "").splitlines() if line.strip()]
    if not uploads and not listed:
        raise gradio.Error("Choose files or write addresses first.")

    def tell(source: str, done: int, total: int) -> None:
        progress((done, total or None), desc=source, unit="files")

    reports = []
    try:
        service.collection(name, work.key)
        if uploads:
            reports.append(service.folder.add(name, uploads, progress=tell))
        if listed:
            reports.append(service.folder.add_addresses(name, listed))
    except (MmsdkError, RefusalError) as error:
        raise gradio.Error(str(error), print_exception=False) from error
    return "\n".join(map(_said, reports)), None, ""


def _said(report: AddReport) -> str:
    failed = f", {len(report.failed)} failed (see below)" if report.failed else ""
    return f"{report.documents} documents, {report.chunks} passages added, {report.skipped} unchanged{failed}"


def _search(service: Service, name: str, text: str, *, condition: str, request: gradio.Request) -> str:
    work = work_of(service, request)
    if not text.strip():
        return ""
    try:
        where = json.loads(condition) if condition.strip() else None
        return found(name, service.search(service.collection(name, work.key), text, k=10, where=where))
    except ValueError as error:
        raise gradio.Error(f"The filter is not JSON: {error}", print_exception=False) from error
    except (MmsdkError, RefusalError) as error:
        raise gradio.Error(str(error), print_exception=False) from error
