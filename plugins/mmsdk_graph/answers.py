"""Answers that need several documents: facts round the entities of a question, cited sentence by sentence.

``GraphRetriever`` adds the sentences of the subgraph to what a retriever finds, for any assistant. ``GraphAssistant``
first looks for a path: from a name in the question over relations that the question speaks of; then every edge is
quoted with its sentence. A question speaks of a relation when it has one of its words; paths have two edges at most.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cached_property

import snowballstemmer

from mmsdk.assistant import Assistant
from mmsdk.entities import Gazetteer
from mmsdk.protocols import Retriever
from mmsdk.types import Answer, Chunk, Citation, Filter, Hit, Locator, Message, Query
from mmsdk_graph.graph import KnowledgeGraph
from mmsdk_graph.triples import Entity, Support, Triple

STEPS = 2
_SMALL = frozenset(
    re.findall(r"\S+", "of in at on by to from for with a an the is was as part subject object and or head")
)


class GraphRetriever:
    """Put the sentences round the entities of a question before what a retriever, if there is one, finds.

    ``share`` of the k hits, at most, are such sentences; those that share most words with the question come first.
    """

    def __init__(self, retriever: Retriever | None, graph: KnowledgeGraph, *, share: float = 0.5) -> None:
        self.retriever, self.graph, self.share = retriever, graph, share

    def retrieve(self, query: Query, k: int = 8, *, where: Filter | None = None) -> list[Hit]:
        """Give at most k hits; sentences of the graph only for a question in words without a filter."""
        plain = self.retriever.retrieve(query, k, where=where) if self.retriever else []
        if not isinstance(query, str) or where:
            return plain
        found = _Question(self.graph, query).sentences()[: int(k * self.share)]
        texts = {hit.chunk.text for hit in found}
        return [*found, *(hit for hit in plain if hit.chunk.text not in texts)][:k]


class GraphAssistant:
    """Answer from paths of the graph, and where there is none by an assistant."""

    def __init__(self, graph: KnowledgeGraph, assistant: Assistant) -> None:
        self.graph, self.assistant = graph, assistant

    def ask(self, question: str, *, history: Sequence[Message] = ()) -> Answer:
        """Quote every edge of the best path, each cited; else what the assistant answers."""
        path = _Question(self.graph, question).path()
        if not path:
            return self.assistant.ask(question, history=history)
        text, citations = "", []
        for triple in path:
            support = max(triple.supports, key=lambda s: s.confidence)
            start = len(text) + bool(text)
            text = f"{text} {support.sentence}".strip()
            hit = _hit(support, triple.confidence)
            citations.append(Citation(start, len(text), hit, support.sentence, hit.chunk.locator))
        trace = {"path": [[t.head.name, t.relation, t.tail.name] for t in path]}
        return Answer(text, "answered", tuple(citations), tuple(c.hit for c in citations), trace=trace)


class _Question:
    """Find what a question is about: entities by their names, relations by their words."""

    def __init__(self, graph: KnowledgeGraph, text: str) -> None:
        self.graph, self.text = graph, text
        self.triples = graph.triples()
        self.near: dict[str, list[Triple]] = {}
        for triple in self.triples:
            for end in (triple.head, triple.tail):
                self.near.setdefault(end.id, []).append(triple)

    @cached_property
    def entities(self) -> list[Entity]:
        """The entities that it names."""
        known = {e.id: e for e in self.graph.entities() if e.id in self.near}
        names = [(n, e.id) for e in known.values() for n in (e.name, *e.aliases) if re.search(r"\w", n)]
        found = Gazetteer(names).find(self.text) if names else []
        return [known[key] for key in dict.fromkeys(mention.key for mention in found)]

    @cached_property
    def words(self) -> frozenset[str]:
        """The stems of its words without the names."""
        text = self.text
        for entity in self.entities:
            for name in (entity.name, *entity.aliases):
                text = re.sub(re.escape(name), " ", text, flags=re.IGNORECASE)
        return _stems(text)

    @cached_property
    def relations(self) -> set[str]:
        """The relations that it speaks of."""
        found = set()
        for name, relation in self.graph.schema.relations.items():
            verbs = [part.split()[1].replace(",", " ") for part in relation.patterns]
            said = _stems(" ".join([name, relation.inverse or "", *relation.aliases, *verbs]).replace("_", " "))
            if said & self.words:
                found.add(name)
        return found

    def path(self) -> list[Triple]:
        """Give the best path of one or two edges over relations of the question, from one of its entities."""
        best: tuple[tuple[int, float], list[Triple]] = ((0, 0.0), [])
        for entity in self.entities:
            for path in self._paths(entity):
                sure = min(triple.confidence for triple in path)
                rank = (len({triple.relation for triple in path}), sure)
                best = max(best, (rank, path), key=lambda one: one[0])
        return best[1]

    def _paths(self, entity: Entity) -> Iterator[list[Triple]]:
        for first in self.near.get(entity.id, ()):
            if first.relation not in self.relations:
                continue
            yield [first]
            other = first.tail if first.head.id == entity.id else first.head
            for second in self.near.get(other.id, ()):
                if second.relation in self.relations and second.relation != first.relation:
                    yield [first, second]

    def sentences(self) -> list[Hit]:
        """Give the sentences within two steps of its entities, those with most of its words first."""
        inside = {entity.id for entity in self.entities}
        found: dict[tuple[str, str], tuple[int, int, Support, float]] = {}
        for step in range(STEPS):
            for triple in [t for number in sorted(inside) for t in self.near.get(number, ())]:
                for support in triple.supports:
                    shared = len(_stems(support.sentence) & self.words) + (triple.relation in self.relations)
                    found.setdefault((support.document, support.sentence), (-shared, step, support, triple.confidence))
                inside |= {triple.head.id, triple.tail.id}
        ranked = sorted(found.values(), key=lambda row: (row[0], row[1], row[2].sentence))
        return [_hit(support, confidence) for _, _, support, confidence in ranked]


def _hit(support: Support, score: float) -> Hit:
    locator = Locator.from_json(support.locator)
    modality = support.modality if support.modality in ("text", "image", "audio") else "text"
    chunk = Chunk(
        f"{support.chunk}:{locator}",
        support.document,
        support.sentence,
        support.sentence,
        modality,  # type: ignore[arg-type]
        locator,
        source=support.source,
    )
    return Hit(chunk, min(score, 1.0), {"graph": True})


def _stems(text: str) -> frozenset[str]:
    words = re.findall(r"\w+", text.casefold())
    stem = snowballstemmer.stemmer("english").stemWord
    return frozenset(stem(word) for word in words if word not in _SMALL)
