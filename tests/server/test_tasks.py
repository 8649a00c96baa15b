"""Plugin tasks over HTTP and MCP: what they name must lie in the data folder."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from mmsdk.errors import InputError
from mmsdk.runtime import Runtime
from mmsdk.settings import Serving
from mmsdk_graph import KnowledgeGraph

from .hostile import paths
from .running import Running, running

PUSH = {"user": "ada", "item": "tent"}
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def outer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outer")


@pytest.fixture(scope="module")
def target(outer: Path, bundled: Runtime) -> Iterator[Running]:
    (outer / "outside").mkdir()
    with running(outer / "data", bundled.settings) as made:
        (outer / "data" / "link").symlink_to(outer / "outside")
        yield made


def test_every_folder_that_a_task_names_is_a_path(target: Running) -> None:
    unmarked = []
    for name, task in target.service.app.tasks.items():
        for key, field in task.request.model_fields.items():
            words = (field.description or "").split()
            if {"folder", "file", "directory", "path"} & set(words) and "Path" not in str(field.annotation):
                unmarked.append(f"{name}: {key}")
    assert not unmarked


def test_a_relative_folder_is_one_of_the_data_folder(target: Running, outer: Path) -> None:
    with target.client() as client:
        answer = client.post("/recommend/push", json={**PUSH, "state": "shop-events"})
        assert (answer.status_code, answer.json()) == (200, {"events": 1})
        inside = client.post("/recommend/push", json={**PUSH, "state": str(outer / "data" / "shop-events")})
        assert inside.json() == {"events": 2}
    assert (outer / "data" / "shop-events" / "journal.sqlite").is_file()


def test_errors_do_not_say_where_the_data_folder_lies(target: Running, outer: Path) -> None:
    with target.client() as client:
        for path, body in (
            ("/recommend/for_user", {"user": "ann", "state": "nowhere"}),
            ("/recommend/monitor", {"state": "nowhere"}),
            ("/graph/triples", {"graph": "nowhere"}),
            ("/finance/index", {"state": "nowhere"}),
        ):
            answer = client.post(path, json=body)
            assert answer.status_code == 404, answer.text
            assert "nowhere" in answer.json()["error"]["message"]
            assert str(outer) not in answer.text


def test_a_query_that_never_ends_is_stopped_with_its_request(tmp_path: Path, bundled: Runtime) -> None:
    """By the deadline of the request; its slot is free again, and the next query is answered."""
    settings = bundled.settings.model_copy(update={"server": Serving(seconds=8)})
    folder = tmp_path / "impatient"
    with KnowledgeGraph.open(folder / "news") as graph:
        for number in range(40):
            graph.add_text(f"Acme Corp. acquired Beta{number} Corp. in 2019.", source=str(number))
    with running(folder, settings) as made, made.client() as client:
        for query in (
            {"sparql": "SELECT (COUNT(*) AS ?n) WHERE { ?a ?b ?c . ?d ?e ?f . ?g ?h ?i }"},
            {"cypher": "UNWIND range(1, 1000000) AS a UNWIND range(1, 1000000) AS b RETURN sum(a * b) AS n"},
        ):
            answer = client.post("/graph/query", json={"graph": "news", **query})
            assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline"), answer.text
        until = time.monotonic() + 60
        plain = {"graph": "news", "cypher": "MATCH (a) RETURN count(a) AS n"}
        while (found := client.post("/graph/query", json=plain)).status_code == 504 and time.monotonic() < until:
            pass  # a busy machine needs more than those seconds to start a process
        assert found.json() == {"rows": [{"n": 42}]}
        while made.service.lanes["answer"].running and time.monotonic() < until:
            time.sleep(0.05)
        assert made.service.lanes["answer"].running == 0


def test_no_folder_outside_is_read_or_made(target: Running, outer: Path) -> None:
    given = [*paths(), str(outer / "outside"), "link", "link/x", "../outside", "a/../../outside", ".mmsdk", ".", ""]
    with target.client() as client:
        for number, state in enumerate(given):
            others = [("/finance/index", {"state": state}), ("/graph/triples", {"graph": state})]
            for path, body in [("/recommend/push", {**PUSH, "state": state}), *others[: 2 * (number % 10 == 0)]]:
                answer = client.post(path, json=body)
                assert 400 <= answer.status_code < 500 or not _leads_out(target, state), (path, state, answer.text)
                assert answer.status_code < 500, (path, state, answer.text)
        asked = {"question": "Who?", "graph": "none", "collection": str(outer / "outside")}
        assert client.post("/graph/ask", json=asked).json()["error"]["code"] == "input"
    assert sorted(path.name for path in outer.iterdir()) == ["data", "outside"]
    assert not list((outer / "outside").iterdir())
    assert target.service.folder.names() == []


def _leads_out(target: Running, state: str) -> bool:
    try:
        target.service.folder.inside(Path(state))
    except (InputError, ValueError):
        return True
    return False


async def test_no_folder_outside_is_made_for_an_agent(target: Running, outer: Path) -> None:
    async with Client(f"{target.url}/mcp") as client:
        result = await client.call_tool("recommend_push", {**PUSH, "state": str(outer / "outside" / "x")})
    assert result.is_error
    shown: Any = result.structured_content
    assert "data folder" in shown["error"]["message"]
    assert not (outer / "outside" / "x").exists()
