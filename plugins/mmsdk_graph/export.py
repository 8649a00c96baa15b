"""The facts of a graph in forms that others read: Turtle, JSON-LD, GraphML, CSV, a Cypher script; and back from RDF.

In RDF an edge is a triple and, beside it, a reified statement with confidence and sentences. Names of entities become
addresses by their ids, so that two exports of one graph are equal.
"""

import csv
import io
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

from mmsdk.errors import InputError, MissingDependencyError
from mmsdk_graph import asking
from mmsdk_graph.graph import KnowledgeGraph
from mmsdk_graph.triples import Entity, Support, Triple

SPACE = "urn:mmsdk:graph:"
_ROWS = 10_000


def write(graph: KnowledgeGraph, out: str | Path, format: str, *, where: Mapping[str, Any] | None = None) -> int:  # noqa: A002
    """Write the triples that pass a filter and give how many there were; for ``csv`` to a folder of two files."""
    writers = {"turtle": _rdf, "json-ld": _rdf, "graphml": _graphml, "csv": _csv, "cypher": _cypher}
    if format not in writers:
        raise InputError(f"the format is one of {', '.join(writers)}, not {format!r}")
    path, triples = Path(out), graph.triples(where)
    entities = _nodes(graph.entities(), triples)
    try:
        (path if format == "csv" else path.parent).mkdir(parents=True, exist_ok=True)
        writers[format](path, entities, triples, format)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    return len(triples)


def _nodes(entities: Iterable[Entity], triples: Sequence[Triple]) -> list[Entity]:
    used = {end.id for triple in triples for end in (triple.head, triple.tail)}
    return sorted((entity for entity in entities if entity.id in used), key=lambda e: e.id)


def rdf(entities: Sequence[Entity], triples: Sequence[Triple]) -> Any:
    """Give an rdflib graph of entities and triples."""
    rdflib = _rdflib()
    from rdflib.namespace import RDF, RDFS, SKOS, XSD

    made, space = rdflib.Graph(), rdflib.Namespace(SPACE)
    made.bind("kg", space)
    for entity in entities:
        node = space[f"entity:{entity.id}"]
        made.add((node, RDF.type, space[f"type:{entity.type}"]))
        made.add((node, RDFS.label, rdflib.Literal(entity.name)))
        for alias in entity.aliases:
            made.add((node, SKOS.altLabel, rdflib.Literal(alias)))
    for triple in triples:
        ends = (
            space[f"entity:{triple.head.id}"],
            space[f"relation:{triple.relation}"],
            space[f"entity:{triple.tail.id}"],
        )
        made.add(ends)
        node = space[f"statement:{triple.id}"]
        made.add((node, RDF.type, RDF.Statement))
        for way, end in zip((RDF.subject, RDF.predicate, RDF.object), ends, strict=True):
            made.add((node, way, end))
        made.add((node, space.confidence, rdflib.Literal(triple.confidence, datatype=XSD.double)))
        for name in ("valid_from", "valid_to"):
            if getattr(triple, name):
                made.add((node, space[name], rdflib.Literal(getattr(triple, name))))
        for support in triple.supports:
            made.add((node, space.sentence, rdflib.Literal(support.sentence)))
            made.add((node, space.source, rdflib.Literal(support.source)))
    return made


def sparql(graph: KnowledgeGraph, query: str) -> list[dict[str, Any]]:
    """Ask the facts in SPARQL (SELECT or ASK); prefixes ``kg:``, ``rdfs:``, ``skos:`` and ``rdf:`` are known.

    Entities have ``rdfs:label``, relations are ``<urn:mmsdk:graph:relation:NAME>``. Gives at most 10,000 rows. Raises
    ``InputError``, and ``DeadlineError`` for a query that takes more than 30 s.
    """
    triples = graph.triples()
    entities = [asdict(entity) for entity in _nodes(graph.entities(), triples)]
    return asking.ask("sparql", entities, [asdict(triple) for triple in triples], query)


def read_plain(
    entities: Iterable[Mapping[str, Any]], triples: Iterable[Mapping[str, Any]]
) -> tuple[list[Entity], list[Triple]]:
    """Give entities and triples again that were written as JSON."""

    def entity(shape: Mapping[str, Any]) -> Entity:
        return Entity(**{**shape, "aliases": tuple(shape["aliases"])})

    def triple(shape: Mapping[str, Any]) -> Triple:
        supports = tuple(Support(**support) for support in shape["supports"])
        return Triple(**{**shape, "head": entity(shape["head"]), "tail": entity(shape["tail"]), "supports": supports})

    return list(map(entity, entities)), list(map(triple, triples))


def selected(graph: Any, query: str) -> list[dict[str, Any]]:
    """Run a SPARQL query over an rdflib graph. Raises ``InputError``."""
    from rdflib.namespace import RDF, RDFS, SKOS
    from rdflib.plugins.sparql.parser import expandUnicodeEscapes

    names = {"kg": SPACE, "rdf": RDF, "rdfs": RDFS, "skos": SKOS}
    known = {name: _rdflib().Namespace(str(space)) for name, space in names.items()}
    try:
        if "service" in expandUnicodeEscapes(query).casefold():  # the parser takes \u0053ERVICE for SERVICE
            raise InputError("SERVICE would ask another host; queries read this graph only")
        result = graph.query(query, initNs=known)
        if result.type == "ASK":
            return [{"answer": bool(result.askAnswer)}]
        if result.type != "SELECT":
            raise InputError("a SPARQL query is SELECT or ASK here; use export for the whole graph")
        rows = islice(result, _ROWS)
        return [{str(k): _python(v) for k, v in zip(result.vars, row, strict=True)} for row in rows]
    except (InputError, MemoryError):
        raise
    except Exception as error:
        raise InputError(f"the SPARQL query does not run: {error}") from error


def _python(value: Any) -> Any:
    """Give a number or truth as Python has it, anything else as its text."""
    made = None if value is None else value.toPython()
    return made if made is None or isinstance(made, bool | int | float | Decimal) else str(value)


def _rdf(path: Path, entities: Sequence[Entity], triples: Sequence[Triple], format: str) -> None:  # noqa: A002
    rdf(entities, triples).serialize(path, format=format, encoding="utf-8")


def read_rdf(path: str | Path) -> list[tuple[str, str, str]]:
    """Read triples (head, relation, tail) of names back from Turtle or JSON-LD."""
    from rdflib.namespace import RDFS

    made = _rdflib().Graph()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # rdflib's JSON-LD parser still uses a class of its own
            made.parse(path)
    except Exception as error:
        raise InputError(f"{path} is no RDF that can be read: {error}") from error
    names = {node: str(label) for node, label in made.subject_objects(RDFS.label)}
    mark = f"{SPACE}relation:"
    return sorted(
        (names.get(s, str(s)), str(p).removeprefix(mark), names.get(o, str(o)))
        for s, p, o in made
        if str(p).startswith(mark)
    )


def _graphml(path: Path, entities: Sequence[Entity], triples: Sequence[Triple], _: str) -> None:
    try:
        import networkx
    except ModuleNotFoundError as error:
        raise MissingDependencyError("networkx", "graph") from error
    made = networkx.MultiDiGraph()
    for entity in entities:
        made.add_node(entity.id, name=_plain(entity.name), type=entity.type, mentions=entity.mentions)
    for t in triples:
        said = {"relation": t.relation, "confidence": t.confidence, "sentences": _plain("\n".join(t.sentences))}
        made.add_edge(t.head.id, t.tail.id, key=t.id, **said)
    networkx.write_graphml(made, path)


def _plain(text: str) -> str:
    """Leave out what XML cannot hold."""
    return "".join(
        c
        for c in text
        if c in "\t\n\r" or (c >= " " and not 0xD800 <= ord(c) <= 0xDFFF and ord(c) not in (0xFFFE, 0xFFFF))
    )


def _csv(path: Path, entities: Sequence[Entity], triples: Sequence[Triple], _: str) -> None:
    nodes = [(e.id, e.name, e.type, "|".join(e.aliases), e.mentions) for e in entities]
    edges = [
        (
            *(t.id, t.head.id, t.head.name, t.relation, t.tail.id, t.tail.name, t.confidence, t.valid_from, t.valid_to),
            *(json.dumps(list(t.sentences), ensure_ascii=False), json.dumps(sorted({s.source for s in t.supports}))),
        )
        for t in triples
    ]
    _table(path / "entities.csv", ("id", "name", "type", "aliases", "mentions"), nodes)
    columns = ("id", "head_id", "head", "relation", "tail_id", "tail", "confidence", "valid_from", "valid_to")
    _table(path / "triples.csv", (*columns, "sentences", "sources"), edges)


def _table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write CSV; a cell that a spreadsheet would take for a formula gets an apostrophe in front."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(["'" + c if isinstance(c, str) and c[:1] in "=+-@\t\r" and c else c for c in row] for row in rows)
    path.write_text(text.getvalue(), "utf-8")


def _cypher(path: Path, entities: Sequence[Entity], triples: Sequence[Triple], _: str) -> None:
    """Write MERGE statements that can be run again without doubling anything."""
    lines = [
        f"MERGE (n:Entity {{id: {_quoted(e.id)}}}) SET n:`{e.type}`, n.name = {_quoted(e.name)}, "
        f"n.type = {_quoted(e.type)}, n.aliases = [{', '.join(map(_quoted, e.aliases))}], n.mentions = {e.mentions};"
        for e in entities
    ]
    lines += [
        f"MATCH (a:Entity {{id: {_quoted(t.head.id)}}}), (b:Entity {{id: {_quoted(t.tail.id)}}}) "
        f"MERGE (a)-[r:`{t.relation}` {{id: {_quoted(t.id)}}}]->(b) SET r.confidence = {t.confidence}, "
        f"r.sentences = [{', '.join(map(_quoted, t.sentences))}];"
        for t in triples
    ]
    path.write_text("\n".join([*lines, ""]), "utf-8")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    return f"'{escaped}'"


def _rdflib() -> Any:
    try:
        import rdflib
    except ModuleNotFoundError as error:
        raise MissingDependencyError("rdflib", "graph") from error
    return rdflib
