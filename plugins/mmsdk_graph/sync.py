"""Keep a graph server up to date: idempotent Cypher with parameters, only what changed since the last time.

Neo4j's driver session fits the protocol as it is; another server needs a ``run`` of its own. Names of types and
relations cannot be parameters in Cypher, so they are checked and quoted; everything else is a parameter.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from mmsdk.errors import InputError
from mmsdk_graph.graph import KnowledgeGraph

BATCH = 500
Row = dict[str, Any]


class GraphServer(Protocol):
    """Run one Cypher statement with parameters, as ``neo4j.Session`` does."""

    def run(self, query: str, parameters: Mapping[str, Any]) -> Any:
        """Run it; running it again must not change more."""
        ...


def sync(graph: KnowledgeGraph, server: GraphServer, *, name: str = "default") -> dict[str, int]:
    """Send what changed since the last sync under this name, and give how many nodes and edges were sent and removed.

    What was sent is noted only when all of it was, so a sync that broke off is made good by the next.
    """
    key = f"sync:{name}"
    before: dict[str, list[str]] = json.loads(graph.store.get(key) or "{}")
    rows = {**_nodes(graph), **_edges(graph)}
    now = {number: [label, _digest(row)] for number, (label, row) in rows.items()}
    changed = [number for number in rows if before.get(number) != now[number]]
    gone = {number: label for number, (label, _) in before.items() if number not in now}
    moved = {n: before[n][0] for n in changed if n in before and before[n][0] != now[n][0]}
    for label, numbers in _by_label({**gone, **moved}, edges=True):
        server.run(
            f"UNWIND $ids AS id MATCH ()-[r:`{label}` {{id: id}}]->() DELETE r", {"ids": [n[2:] for n in numbers]}
        )
    for edges in (False, True):
        for label, numbers in _by_label({n: now[n][0] for n in changed}, edges=edges):
            for start in range(0, len(numbers), BATCH):
                part = [rows[number][1] for number in numbers[start : start + BATCH]]
                server.run(_edge_query(label) if edges else _node_query(label), {"rows": part})
    nodes_gone = [number for number in gone if number.startswith("n:")]
    if nodes_gone:
        ids = [number[2:] for number in nodes_gone]
        server.run("UNWIND $ids AS id MATCH (n:Entity {id: id}) DETACH DELETE n", {"ids": ids})
    graph.store.note(key, json.dumps(now))
    return {"sent": len(changed), "removed": len(gone)}


def _nodes(graph: KnowledgeGraph) -> dict[str, tuple[str, Row]]:
    return {
        f"n:{e.id}": (_checked(e.type), {"id": e.id, "name": e.name, "type": e.type, "aliases": list(e.aliases)})
        for e in graph.entities()
    }


def _edges(graph: KnowledgeGraph) -> dict[str, tuple[str, Row]]:
    return {
        f"e:{t.id}": (
            _checked(t.relation),
            {"id": t.id, "head": t.head.id, "tail": t.tail.id, "confidence": t.confidence}
            | {"sentences": list(t.sentences), "sources": sorted({s.source for s in t.supports})},
        )
        for t in graph.triples()
    }


def _node_query(label: str) -> str:
    return (
        f"UNWIND $rows AS row MERGE (n:Entity {{id: row.id}}) SET n:`{label}`, n.name = row.name, n.type = row.type, "
        "n.aliases = row.aliases"
    )


def _edge_query(label: str) -> str:
    return (
        "UNWIND $rows AS row MATCH (a:Entity {id: row.head}), (b:Entity {id: row.tail}) "
        f"MERGE (a)-[r:`{label}` {{id: row.id}}]->(b) "
        "SET r.confidence = row.confidence, r.sentences = row.sentences, r.sources = row.sources"
    )


def _by_label(labels: Mapping[str, str], *, edges: bool) -> Iterable[tuple[str, Sequence[str]]]:
    found: dict[str, list[str]] = {}
    for number, label in labels.items():
        if number.startswith("e:") == edges:
            found.setdefault(label, []).append(number)
    return sorted(found.items())


def _checked(label: str) -> str:
    if not re.fullmatch(r"\w+", label):
        raise InputError(f"{label!r} cannot be a label of a graph server; use letters, figures and _")
    return label


def _digest(row: Row) -> str:
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()[:16]
