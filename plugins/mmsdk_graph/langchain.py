"""LangChain's graph documents, both ways: ``GraphDocument`` with ``Node`` and ``Relationship``.

Their classes live in ``langchain_community``; coming in, anything with the same attributes is taken. What the schema
does not know goes to the review pile.
"""

import hashlib
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from mmsdk.errors import InputError
from mmsdk.types import Document, Locator, Part
from mmsdk_graph.extraction import Passage
from mmsdk_graph.graph import Added, KnowledgeGraph
from mmsdk_graph.statements import Name, Reading, Statement


def to_graph_documents(graph: KnowledgeGraph) -> list[Any]:
    """Give one ``GraphDocument`` a document of the graph, with the facts that it supports.

    Without ``langchain_community`` they are plain objects with the same attributes.
    """
    graph_document, node, relationship, source = _classes()
    by_document: dict[str, list[tuple[Any, Any]]] = {}
    for triple in graph.triples():
        for support in triple.supports:
            by_document.setdefault(support.document, []).append((triple, support))
    found = []
    for name, pairs in sorted(by_document.items()):
        ends = {end.id: end for triple, _ in pairs for end in (triple.head, triple.tail)}
        nodes = {number: node(id=e.name, type=e.type, properties={"id": number}) for number, e in ends.items()}
        edges = [
            relationship(
                source=nodes[triple.head.id],
                target=nodes[triple.tail.id],
                type=triple.relation,
                properties={"confidence": triple.confidence, "sentence": support.sentence},
            )
            for triple, support in pairs
        ]
        text = " ".join(dict.fromkeys(support.sentence for _, support in pairs))
        about = source(page_content=text, metadata={"source": pairs[0][1].source, "id": name})
        found.append(graph_document(nodes=list(nodes.values()), relationships=edges, source=about))
    return found


def add_graph_documents(graph: KnowledgeGraph, documents: Iterable[Any]) -> Added:
    """Take in graph documents; a document of the same source replaces what there was of it."""
    done = sentences = 0
    for document in documents:
        try:
            text, metadata = document.source.page_content, dict(document.source.metadata or {})
            reading = _reading(graph, document)
        except AttributeError as error:
            raise InputError(
                f"a graph document has source, nodes and relationships; this one has not: {error}"
            ) from error
        digest = hashlib.sha256(f"{text}{reading}".encode("utf-8", "surrogatepass")).hexdigest()
        name = str(metadata.get("source") or f"langchain:{digest[:16]}")
        made = Document(name, (Part(text, Locator("characters", 0, len(text))),), name, digest)
        graph.store.put(made, digest, [(Passage(text, digest[:24], Locator("characters", 0, len(text))), reading)])
        done, sentences = done + 1, sentences + 1
    return Added(done, sentences)


def _reading(graph: KnowledgeGraph, document: Any) -> Reading:
    schema, unknown, statements = graph.schema, [], []
    names: dict[tuple[str, str], Name] = {}
    for node in document.nodes:
        kind = schema.type_of(node.type)
        if kind is None:
            unknown.append(("type", str(node.type)))
        else:
            names[str(node.id), node.type] = Name(0, 0, str(node.id), kind, "langchain", 0.8)
    for edge in document.relationships:
        known = schema.relation_of(edge.type)
        ends = [names.get((str(end.id), end.type)) for end in (edge.source, edge.target)]
        if known is None:
            unknown.append(("relation", str(edge.type)))
        elif ends[0] and ends[1]:
            head, tail = (ends[1], ends[0]) if known[1] else (ends[0], ends[1])
            if schema.allows(known[0], head.type, tail.type):
                sure = float((edge.properties or {}).get("confidence", 0.8))
                statements.append(Statement(head, known[0], tail, "import", "langchain", min(max(sure, 0.0), 1.0)))
            else:
                unknown.append(("join", f"{head.type} {known[0]} {tail.type}"))
    return Reading(tuple(names.values()), tuple(statements), tuple(unknown))


def _classes() -> tuple[Any, Any, Any, Any]:
    try:
        from langchain_community.graphs.graph_document import GraphDocument, Node, Relationship
        from langchain_core.documents import Document as Source
    except ModuleNotFoundError:
        return (SimpleNamespace,) * 4
    return GraphDocument, Node, Relationship, Source
