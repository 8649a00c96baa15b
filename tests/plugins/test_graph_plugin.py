"""The doors: tasks and commands over the example shop."""

import json
import runpy
from pathlib import Path
from typing import Any, ClassVar

import pytest

from mmsdk.cli import main
from mmsdk.testing import PluginContract
from mmsdk_graph.plugin import Graph

ROOT = Path(__file__).parents[2]


@pytest.mark.usefixtures("bundled")
class TestGraph(PluginContract):
    plugin = Graph
    requests: ClassVar = {"read": [{"text": "Oracle acquired Sun Microsystems."}]}


def command(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main(["graph", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("bundled")
def test_a_folder_becomes_a_graph_by_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("Oracle acquired Sun Microsystems in 2010. Oracle is based in Austin.")
    place = ("--graph", str(tmp_path / "graph"))
    told = command(capsys, "extract", str(tmp_path / "a.txt"), *place)
    assert (told["documents"], told["failed"]) == (1, [])
    assert {(t["head"], t["relation"], t["tail"]) for t in told["triples"]} == {
        ("Oracle", "acquired", "Sun Microsystems"),
        ("Oracle", "based_in", "Austin"),
    }
    rows = command(capsys, "query", *place, "--cypher", "MATCH (a)-[:acquired]->(b) RETURN b.name")["rows"]
    assert rows == [{"b.name": "Sun Microsystems"}]
    answer = command(capsys, "ask", *place, "--question", "Where is the company that acquired Sun Microsystems based?")
    assert answer["path"] == [["Oracle", "acquired", "Sun Microsystems"], ["Oracle", "based_in", "Austin"]]
    assert [one["quote"] for one in answer["citations"]] == [
        "Oracle acquired Sun Microsystems in 2010.",
        "Oracle is based in Austin.",
    ]
    assert command(capsys, "ask", *place, "--question", "What is the price of tea?")["status"] == "not_in_sources"
    (triple,) = command(capsys, "triples", *place, "--entity", "Austin")["triples"]
    assert command(capsys, "review", *place, "--reject", triple["id"])["decision"] == 1
    assert command(capsys, "triples", *place, "--entity", "Austin")["total"] == 0
    assert command(capsys, "review", *place, "--undo", "0")["decision"] == 1
    out = str(tmp_path / "g.ttl")
    assert command(capsys, "export", *place, "--format", "turtle", "--out", out)["triples"] == 2
    assert command(capsys, "delete", *place, "--source", str(tmp_path / "a.txt"))["deleted"] == 1
    assert command(capsys, "triples", *place)["total"] == 0


@pytest.mark.parametrize(
    "words",
    [
        ("query", "--graph", "none", "--cypher", "MATCH (a) RETURN a"),
        ("extract", "no-such-file.txt", "--graph", "g"),
        ("evaluate", "--model", "none", "--data", "none"),
        ("train", "--train", "none", "--out", "m"),
    ],
)
@pytest.mark.usefixtures("bundled")
def test_what_is_not_there_is_an_error(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", *words, "--json"]) not in (0, 1)
    assert "error" in capsys.readouterr().err.casefold()


@pytest.mark.usefixtures("bundled")
def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples" / "knowledge_graph.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert "Alder 2 --made_in--> Braga" in printed
    assert "made where: [{'p.name': 'Alder 2', 'country.name': 'Portugal'}]" in printed
