"""Queries that would take hours, or all memory, end with an error and leave no process behind."""

import sys
import time
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import pytest

from mmsdk import deadline
from mmsdk.errors import DeadlineError, InputError
from mmsdk_graph import KnowledgeGraph, asking
from mmsdk_graph.export import sparql

CROSS = "SELECT (COUNT(*) AS ?n) WHERE { ?a ?b ?c . ?d ?e ?f . ?g ?h ?i }"
PATTERN = f'SELECT * WHERE {{ ?a ?b ?c FILTER(REGEX("{"a" * 40}", "^(a+)+b$")) }}'
VALUES = " ".join(f"VALUES ?{name} {{ {' '.join(map(str, range(300)))} }}" for name in "abcd")
ENDLESS = [
    ("sparql", CROSS),
    ("sparql", PATTERN),
    ("sparql", f"SELECT (COUNT(*) AS ?n) WHERE {{ {VALUES} }}"),
    ("cypher", "UNWIND range(1, 100000000000) AS a RETURN count(a)"),
]


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KnowledgeGraph]:
    """A graph of some forty facts, which are several hundred triples of RDF."""
    with KnowledgeGraph.open(tmp_path_factory.mktemp("graph") / "g") as made:
        names = [f"{name} Corp." for name in ("Acme", "Brightwell", "Corvane", "Delmar", "Elmore", "Fenwick", "Garnet")]
        for head, tail in permutations(names, 2):
            made.add_text(f"{head} acquired {tail} in 2019.", source=f"{head} and {tail}")
        assert len(made.triples()) >= 40
        yield made


def _ask(graph: KnowledgeGraph, kind: str, query: str) -> object:
    return graph.query(query) if kind == "cypher" else sparql(graph, query)


@pytest.mark.parametrize(("kind", "query"), ENDLESS, ids=["product", "pattern", "values", "range"])
def test_an_endless_query_is_stopped(
    graph: KnowledgeGraph, kind: str, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its time, or where that comes first by its memory."""
    monkeypatch.setattr(asking, "SECONDS", 1.0)
    with pytest.raises(InputError, match=r"more than (1 s|1024 MB)"):
        _ask(graph, kind, query)
    assert graph.query("MATCH (a) RETURN count(a) AS n")[0]["n"] == 8
    assert sparql(graph, "ASK { ?a rdfs:label 'Acme Corp.' }") == [{"answer": True}]


def test_a_query_lasts_no_longer_than_its_caller_waits(graph: KnowledgeGraph) -> None:
    until = time.monotonic() + 1
    with deadline.within(lambda: until - time.monotonic()), pytest.raises(DeadlineError, match="caller"):
        sparql(graph, CROSS)

    def left() -> float:
        raise LookupError("nobody waits")

    with deadline.within(left), pytest.raises(LookupError, match="nobody"):
        sparql(graph, CROSS)


def test_a_query_that_wants_all_memory_is_stopped(graph: KnowledgeGraph) -> None:
    everything = " ".join(f"BIND(CONCAT(?x{n}, ?x{n}) AS ?x{n + 1})" for n in range(40))
    with pytest.raises(InputError, match="1024 MB"):
        sparql(graph, f'SELECT ?x40 WHERE {{ BIND("{"a" * 1000}" AS ?x0) {everything} }}')


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_process_is_left_of_what_was_stopped(graph: KnowledgeGraph) -> None:
    """Idle ones wait for the next query."""
    assert graph.query("RETURN 1 AS n") == [{"n": 1}]
    ours = [one for tasks in Path("/proc/self/task").glob("*/children") for one in tasks.read_text().split()]
    asked = [pid for pid in ours if b"mmsdk_graph.asked" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert 1 <= len(asked) <= 2
    states: set[str] = set()
    for _ in range(200):  # who has just answered runs for a moment longer
        states = {Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in asked}
        if states == {"S"}:
            break
        time.sleep(0.05)
    assert states == {"S"}


def test_values_come_back_as_python_has_them(graph: KnowledgeGraph) -> None:
    chosen = 'SELECT (1.5 AS ?a) (1e0 AS ?b) (true AS ?c) (STRDT("<i/>", rdf:XMLLiteral) AS ?d) (rdf:type AS ?e) {}'
    row = sparql(graph, chosen)[0]
    assert (float(row["a"]), row["b"], row["c"]) == (1.5, 1.0, True)
    assert isinstance(row["d"], str)
    assert row["e"] == "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"
