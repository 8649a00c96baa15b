"""The page under a real server, in a real browser: 5,000 nodes, sentences of an edge, decisions, hostile names."""

import json
import random
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmsdk.types import Document, Locator, Part
from mmsdk_graph import KnowledgeGraph
from mmsdk_graph.extraction import Passage
from mmsdk_graph.page import page, shown
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


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory, bundled: Any) -> Path:
    """Give a graph of 2,500 facts between 5,000 companies of quite different names."""
    chance = random.Random(3)
    words = ["".join(chance.choices("bcdfghjklmnprstvz", k=8)).title() for _ in range(5000)]
    folder = tmp_path_factory.mktemp("large") / "graph"
    with KnowledgeGraph.open(folder) as graph:
        stored(graph, list(zip(words[::2], words[1::2], strict=True)), "made")
    return folder


def test_5_000_nodes_are_given_and_of_more_edges_the_surest(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with KnowledgeGraph.open(large) as graph:
        told = shown(graph)
        assert len(told["nodes"]) == 5000
        assert len(told["edges"]) == 2500
        monkeypatch.setattr("mmsdk_graph.page.EDGES", 100)
        few = shown(graph)
    assert few["edges"] == told["edges"][:100]
    assert {e["id"] for e in few["nodes"]} == {edge[end] for edge in few["edges"] for end in ("head", "tail")}


@pytest.mark.soak
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_a_browser_stands_up_5_000_nodes_and_finds_one(large: Path) -> None:
    from playwright.sync_api import sync_playwright

    with (
        served(page(lambda: KnowledgeGraph.open(large, create=False))) as address,
        sync_playwright() as playwright,
    ):
        name = got(address, "/graph")["nodes"][2500]["name"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        seen = browser.new_page(viewport={"width": 1200, "height": 800})
        problems: list[str] = []
        seen.on("pageerror", lambda error: problems.append(str(error)))
        begun = time.monotonic()
        seen.goto(address, wait_until="networkidle", timeout=120_000)
        seen.fill("#search", name, timeout=120_000)
        seen.keyboard.press("Enter")
        seen.wait_for_selector("aside li button", timeout=120_000)
        print(f"stands and is searched after {time.monotonic() - begun:.1f} s")
        assert name in seen.inner_text("aside")
        assert problems == []
        browser.close()


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_a_browser_shows_sentences_and_runs_nothing_of_a_name(address: str, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": 1200, "height": 800})
        problems: list[str] = []
        view.on("pageerror", lambda error: problems.append(str(error)))
        view.goto(address, wait_until="networkidle")
        view.fill("#search", "Zeta Works")
        view.keyboard.press("Enter")
        view.click("aside li button")
        view.wait_for_selector("blockquote")
        assert view.inner_text("blockquote") == f"{EVIL} acquired Zeta Works."
        assert view.title() == "Knowledge graph"
        assert problems == []
        browser.close()
