"""Triples from statements: several sentences that say the same are one triple with several supports.

Layers stay apart: facts (patterns, trained, LLM, imported), open relations, and co-occurrence. What is negated,
hypothetical or attributed is kept with its standing and is no fact.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mmsdk import filters
from mmsdk_graph.resolution import Key, Resolved
from mmsdk_graph.schema import Schema
from mmsdk_graph.store import Review, Store


@dataclass(frozen=True)
class Entity:
    """Hold a node: the name that stands most often, its type, its other names, how often it stands."""

    id: str
    name: str
    type: str
    aliases: tuple[str, ...] = ()
    mentions: int = 0


@dataclass(frozen=True)
class Support:
    """Hold one sentence that says a triple, and where it stands."""

    sentence: str
    document: str
    source: str
    chunk: str
    locator: Mapping[str, Any]
    modality: str
    layer: str
    extractor: str
    version: str
    confidence: float
    valid_from: str
    valid_to: str
    first_seen: str
    last_seen: str


@dataclass(frozen=True)
class Triple:
    """Hold an edge with its supports. ``confidence`` joins theirs as if they erred independently.

    ``review`` is ``accepted``, ``rejected`` or empty; ``kind`` is ``fact``, ``open`` or ``cooccurrence``.
    """

    id: str
    head: Entity
    relation: str
    tail: Entity
    kind: str
    standing: str
    confidence: float
    review: str = ""
    valid_from: str = ""
    valid_to: str = ""
    supports: tuple[Support, ...] = field(default=(), compare=False)

    @property
    def sentences(self) -> tuple[str, ...]:
        """The sentences that say it, each once."""
        return tuple(dict.fromkeys(support.sentence for support in self.supports))

    def fields(self) -> dict[str, Any]:
        """Give what ``where`` can ask for."""
        return {
            "id": self.id,
            "head": self.head.name,
            "head_id": self.head.id,
            "head_type": self.head.type,
            "relation": self.relation,
            "tail": self.tail.name,
            "tail_id": self.tail.id,
            "tail_type": self.tail.type,
            "name": [self.head.name, self.tail.name, *self.head.aliases, *self.tail.aliases],
            "kind": self.kind,
            "layer": sorted({s.layer for s in self.supports}),
            "extractor": sorted({s.extractor for s in self.supports}),
            "standing": self.standing,
            "confidence": self.confidence,
            "review": self.review,
            "valid_from": self.valid_from,
            "valid_to": self.valid_to,
            "document": sorted({s.document for s in self.supports}),
            "source": sorted({s.source for s in self.supports}),
            "supports": len(self.supports),
        }

    def to_json(self) -> dict[str, Any]:
        """Write it in the shape that the command line and the server print."""
        shown = {
            key: value for key, value in self.fields().items() if key not in ("name", "document", "source", "supports")
        }
        return {**shown, "supports": [vars(s) | {"locator": dict(s.locator)} for s in self.supports]}


KINDS = {"open": "open", "cooccurrence": "cooccurrence"}
_SQL = """
    SELECT t.head, t.head_type, t.relation, t.tail, t.tail_type, t.layer, t.extractor, t.version, t.confidence,
      t.standing, t.valid_from, t.valid_to, s.text, s.chunk, s.locator, s.modality, d.id, d.source, d.first_seen,
      d.last_seen
    FROM statements t JOIN sentences s ON s.id = t.sentence JOIN documents d ON d.id = s.document
    ORDER BY d.id, s.number, t.head, t.relation, t.tail, t.id
"""


def entities(store: Store, resolved: Resolved) -> dict[str, Entity]:
    """Give the entities by id."""
    counts = Counter(
        {(text, kind): n for text, kind, n in store.rows("SELECT text, type, count(*) FROM names GROUP BY 1, 2")}
    )
    names: dict[str, list[Key]] = {}
    for key, number in resolved.entities.items():
        names.setdefault(number, []).append(key)
    found = {}
    for number, keys in names.items():
        best = resolved.names[number]
        others = tuple(sorted({key[0] for key in keys} - {best[0]}))
        found[number] = Entity(number, best[0], best[1], others, sum(counts[key] for key in keys))
    return found


def build(store: Store, resolved: Resolved, schema: Schema) -> list[Triple]:
    """Give every triple, whatever its layer, standing and review; sorted, so that equal stores give equal lists."""
    nodes = entities(store, resolved)
    grouped: dict[tuple[str, ...], list[Support]] = {}
    for row in store.rows(_SQL):
        head, tail = resolved.entities[row[0], row[1]], resolved.entities[row[3], row[4]]
        relation, layer = row[2], row[5]
        known = schema.relations.get(relation)
        if tail < head and (layer == "cooccurrence" or (known is not None and known.symmetric)):
            head, tail = tail, head
        if head != tail:
            grouped.setdefault((head, relation, tail, KINDS.get(layer, "fact"), row[9]), []).append(_support(row))
    reviews = _reviewed(store.reviews(), resolved)
    found = []
    for (head, relation, tail, kind, standing), supports in grouped.items():
        review = reviews.get((head, relation, tail), "")
        name = (
            f"{head}-{relation}-{tail}"
            + ("" if kind == "fact" else f"-{kind}")
            + ("" if standing == "asserted" else f"-{standing}")
        )
        sure = 1.0 if review == "accepted" else _joined(supports)
        starts = sorted({s.valid_from for s in supports if s.valid_from})
        stops = sorted({s.valid_to for s in supports if s.valid_to})
        when = (starts[0] if starts else "", stops[-1] if stops else "")
        one = Triple(name, nodes[head], relation, nodes[tail], kind, standing, sure, review, *when, tuple(supports))
        found.append(one)
    return sorted(found, key=lambda t: (t.head.name, t.head.id, t.relation, t.tail.name, t.tail.id, t.kind, t.standing))


def _support(row: tuple[Any, ...]) -> Support:
    locator = json.loads(row[14])
    return Support(
        row[12],
        row[16],
        row[17],
        row[13],
        locator,
        row[15],
        row[5],
        row[6],
        row[7],
        row[8],
        row[10],
        row[11],
        row[18],
        row[19],
    )


def _joined(supports: Iterable[Support]) -> float:
    """Join confidences as 1 - product(1 - c), counting each sentence once by its best."""
    best: dict[tuple[str, str], float] = {}
    for support in supports:
        key = (support.document, support.sentence)
        best[key] = max(best.get(key, 0.0), support.confidence)
    doubt = 1.0
    for confidence in sorted(best.values()):
        doubt *= 1 - min(confidence, 0.999)
    return round(min(1 - doubt, 0.9999), 4)


def _reviewed(reviews: Iterable[Review], resolved: Resolved) -> dict[tuple[str, str, str], str]:
    found = {}
    for review in reviews:
        if review.kind in ("accept", "reject") and not review.undone:
            head, relation, tail = review.about
            ends = resolved.entities.get(head), resolved.entities.get(tail)
            if ends[0] and ends[1]:
                verdict = f"{review.kind}ed"
                found[ends[0], relation, ends[1]] = found[ends[1], relation, ends[0]] = verdict
    return found


def chosen(triples: Iterable[Triple], where: Mapping[str, Any] | None) -> list[Triple]:
    """Filter triples. What ``where`` does not ask for is: facts, asserted, not rejected."""
    node = filters.parse(where)
    asked = json.dumps(where or {})
    plain = {
        "kind": "fact" if '"kind"' not in asked and '"layer"' not in asked else None,
        "standing": "asserted" if '"standing"' not in asked else None,
    }
    hide = '"review"' not in asked
    return [
        t
        for t in triples
        if (plain["kind"] is None or t.kind == plain["kind"])
        and (plain["standing"] is None or t.standing == plain["standing"])
        and not (hide and t.review == "rejected")
        and filters.matches(node, t.fields())
    ]
