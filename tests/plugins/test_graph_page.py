"""The page under a real server, in a real browser: 5,000 nodes, sentences of an edge, decisions, hostile names."""

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmsdk.types import Document, Locator, Part
from mmsdk_graph import KnowledgeGraph
from mmsdk_graph.extraction import Passage
from mmsdk_graph.page import page
from mmsdk_graph.statements import Name, Reading, Statement
from tests.plugins.graph_texts import NEWS
from tests.plugins.test_finance_dashboard import served

CHROMIUM = shutil.which("chromium")
EVIL = '<img src=x onerror="document.title=1">'


def stored(graph: KnowledgeGraph, pairs: list[tuple[str, str]], source: str) -> None:
    """Put facts into a graph as if they had been read."""
    read = []
    for head, tail in pairs:
        text = f"{head} acquired {tail}."
        ends = [Name(text.index(n), text.index(n) + len(n), n, "Organization", "test", 0.9) for n in (head, tail)]
        said = Statement(ends[0], "acquired", ends[1], "import", "test", 0.9)
        read.append((Passage(text, "c", Locator("characters", 0, len(text))), Reading(tuple(ends), (said,))))
    part = Part("x", Locator("characters", 0, 1))
    graph.store.put(Document(source, (part,), source, "d"), "d", read)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, bundled: Any) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("page") / "graph"
    with KnowledgeGraph.open(folder) as graph:
        graph.add_text(NEWS, source="news")
        stored(graph, [(EVIL, "Zeta Works")], "evil")
    with served(page(lambda: KnowledgeGraph.open(folder, create=False))) as found:
        yield found


def got(address: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address + path, data, {"Content-Type": kind} if data else {})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def test_decisions_go_round(address: str) -> None:
    edges = got(address, "/graph")["edges"]
    edge = next(e for e in edges if e["relation"] == "based_in")
    assert got(address, f"/triple?id={edge['id']}")["supports"][0]["place"].startswith("characters")
    got(address, "/decide", {"reject": edge["id"]})
    assert len(got(address, "/graph")["edges"]) == len(edges) - 1
    got(address, "/decide", {"undo": 0})
    assert got(address, "/graph")["edges"] == edges


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ({"reject": "nothing"}, "application/json", 400),
        ({"accept": "a", "reject": "b"}, "application/json", 400),
        ({"merge": 1}, "application/json", 400),
        ({"undo": 999}, "application/json", 400),
        ({"undo": 0}, "text/plain", 415),
    ],
)
def test_a_wrong_decision_is_refused(address: str, body: Any, kind: str, status: int) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        got(address, "/decide", body, kind)
    caught.value.close()
    assert caught.value.code in (status, 422)


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_a_browser_shows_sentences_and_runs_nothing_of_a_name(address: str, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 1200, "height": 800})
        problems: list[str] = []
        shown.on("pageerror", lambda error: problems.append(str(error)))
        shown.goto(address, wait_until="networkidle")
        shown.fill("#search", "Zeta Works")
        shown.keyboard.press("Enter")
        shown.click("aside li button")
        shown.wait_for_selector("blockquote")
        assert shown.inner_text("blockquote") == f"{EVIL} acquired Zeta Works."
        assert shown.title() == "Knowledge graph"
        assert problems == []
        browser.close()
