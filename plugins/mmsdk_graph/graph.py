"""The knowledge graph: documents in; entities, triples with their sentences, queries, decisions and undo.

SQLite holds what was read and decided. Entities and triples follow from it and are computed when asked for; the
database for Cypher is written beside it and replaced when it is stale.
"""

import hashlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmsdk import loaders, recognizers
from mmsdk.errors import InputError
from mmsdk.settings import Settings
from mmsdk.types import Document, Failure
from mmsdk_graph import asking, projection, resolution, triples
from mmsdk_graph.extraction import VERSION, Extractor, SentenceReader, Tags, passages
from mmsdk_graph.resolution import Decisions, Resolved
from mmsdk_graph.schema import Schema, default
from mmsdk_graph.store import Review, Store
from mmsdk_graph.triples import Entity, Triple

_BATCH = 16  # documents that are read before their pictures and recordings are


@dataclass(frozen=True)
class Added:
    """Say what ``add`` did."""

    documents: int = 0
    sentences: int = 0
    skipped: int = 0
    failed: tuple[Failure, ...] = ()


class KnowledgeGraph:
    """Keep a graph in a folder; every edge can show the sentences it came from.

    ``add`` takes documents, files, folders and addresses. Adding the same again changes nothing; deleting a document
    removes what only it supported. Close it, or use it as a context manager.

    >>> with KnowledgeGraph.open("example-graph") as graph:
    ...     added = graph.add_text("Acme Corp. acquired Beta Systems in 2019.", source="news")
    ...     [(t.head.name, t.relation, t.tail.name, t.valid_from) for t in graph.triples()]
    [('Acme Corp.', 'acquired', 'Beta Systems', '2019')]
    """

    def __init__(self, store: Store, schema: Schema, extractor: Extractor) -> None:
        self.store, self.schema, self.extractor = store, schema, extractor
        self._lock = threading.RLock()
        self._known: tuple[int, Resolved, dict[str, Entity], list[Triple]] | None = None
        self._projection: tuple[int, Path] | None = None

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        schema: Schema | str | Path | None = None,
        tagger: Tags | str | Path | None = None,
        reader: SentenceReader | None = None,
        create: bool = True,
        settings: Settings | None = None,
    ) -> "KnowledgeGraph":
        """Open the graph in a folder, made when it is not there and ``create`` says so.

        ``schema`` is one, or a file of one; without it the graph's own, or the default. ``tagger`` is a trained one or
        its folder, ``reader`` another layer such as ``LLMReader``. Raises ``InputError``, ``CollectionError``.
        """
        settings = settings or Settings.load()
        given = schema if isinstance(schema, Schema) or schema is None else Schema.load(schema)
        store = Store(Path(path), create=create)
        try:
            kept = store.get("schema")
            used = given or (Schema.model_validate_json(kept) if kept else default())
            if kept != used.model_dump_json():
                store.set("schema", used.model_dump_json())
            if isinstance(tagger, str | Path):
                from mmsdk_graph.tagger import Tagger

                tagger = Tagger.load(tagger, settings=settings)
            return cls(store, used, Extractor(used, tagger=tagger, reader=reader, settings=settings))
        except BaseException:
            store.close()
            raise

    def close(self) -> None:
        """Close its database."""
        with self._lock:
            self.store.close()

    def __enter__(self) -> "KnowledgeGraph":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, document: Any, *, progress: Callable[[int], None] | None = None) -> Added:
        """Take in a document, a path, folder or address, bytes, or a list of those.

        A source that cannot be read is among ``failed``, and the rest goes on.
        """
        sources = [document] if isinstance(document, Document | str | Path | bytes) else document
        failed: list[Failure] = []
        settings = self.extractor.settings
        read = loaders.read(sources, settings=settings, on_failure=failed.append)
        done = sentences = skipped = 0
        for batch in _batches(read):
            ready = batch
            if any(not isinstance(part.content, str) for each in batch for part in each.parts):
                ready, failures = recognizers.recognize(
                    batch, reader=recognizers.reader(settings), transcriber=recognizers.transcriber(settings)
                )
                failed += failures
            for each in ready:
                count = self._put(each)
                done, skipped, sentences = (
                    done + (count is not None),
                    skipped + (count is None),
                    sentences + (count or 0),
                )
                if progress is not None:
                    progress(done + skipped)
        return Added(done, sentences, skipped, tuple(failed))

    def add_text(self, text: str, *, source: str) -> Added:
        """Take in a text under a name; the same name again replaces it."""
        from mmsdk.types import Locator, Part

        try:
            digest = hashlib.sha256(text.encode()).hexdigest()
        except UnicodeEncodeError as error:
            raise InputError(f"the text of {source!r} has a lone surrogate at character {error.start}") from error
        return self.add(Document(source, (Part(text, Locator("characters", 0, len(text))),), source, digest))

    def _put(self, document: Document) -> int | None:
        """Read a document unless the same was read in the same way; give the number of its sentences."""
        digest = f"{document.digest}.{self.recipe}"
        if self.store.digests().get(document.id) == digest:
            self.store.seen(document.id)
            return None
        cut = list(passages(document))
        self.store.put(document, digest, list(zip(cut, self.extractor.read([p.text for p in cut]), strict=True)))
        return len(cut)

    @property
    def recipe(self) -> str:
        """A mark of schema, layers and version: documents read in another way are read again."""
        layers = [
            repr(getattr(part, "mark", type(part).__name__)) for part in (self.extractor.tagger, self.extractor.reader)
        ]
        return hashlib.sha256("\0".join([VERSION, self.schema.model_dump_json(), *layers]).encode()).hexdigest()[:12]

    def delete(self, *, id: str | None = None, source: str | None = None) -> int:  # noqa: A002
        """Delete documents by id or source, with what only they supported; give how many there were."""
        if (id is None) == (source is None):
            raise InputError("delete takes the id of a document or a source, one of them")
        column, value = ("id", id) if id is not None else ("source", source)
        found = [row[0] for row in self.store.rows(f"SELECT id FROM documents WHERE {column} = ?", (value,))]  # noqa: S608
        return self.store.delete(found) if found else 0

    def documents(self) -> list[dict[str, Any]]:
        """Describe the documents."""
        rows = self.store.rows("SELECT id, source, first_seen, last_seen FROM documents ORDER BY source, id")
        return [dict(zip(("id", "source", "first_seen", "last_seen"), row, strict=True)) for row in rows]

    def triples(self, where: Mapping[str, Any] | None = None) -> list[Triple]:
        """Give the triples that pass a filter over ``Triple.fields``; without more, asserted facts not rejected.

        >>> KnowledgeGraph.open("example-graph").triples(where={"relation": "acquired", "confidence": {"$gte": 0.99}})
        []
        """
        return triples.chosen(self._state()[3], where)

    def entities(self) -> list[Entity]:
        """Give the entities, those that stand most often first."""
        return sorted(self._state()[2].values(), key=lambda e: (-e.mentions, e.name, e.id))

    def entity(self, name: str) -> Entity:
        """Find an entity by its id, or by one of its names. Raises ``InputError`` for none or several."""
        found = self.find(name)
        if len(found) != 1:
            several = f": {', '.join(f'{e.name} ({e.type}, {e.id})' for e in found[:5])}; give the id" if found else ""
            raise InputError(f"{len(found) or 'no'} entities are called {name!r}{several}")
        return found[0]

    def find(self, name: str) -> list[Entity]:
        """Give the entities with an id or a name, in any case."""
        folded = name.casefold()
        found = [e for e in self.entities() if e.id == name or folded in (n.casefold() for n in (e.name, *e.aliases))]
        return [e for e in found if name in (e.id, e.name, *e.aliases)] or found

    def query(self, cypher: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Run a reading Cypher query over the facts, open relations and co-occurrences that nobody rejected.

        Node labels are entity types; edge types are relations, ``open_...`` and ``co_occurs``. Raises ``InputError``
        for a query that would change something or is wrong, ``DeadlineError`` for one that takes more than 30 s.

        >>> KnowledgeGraph.open("example-graph").query("MATCH (a)-[:acquired]->(b) RETURN a.name, b.name")
        [{'a.name': 'Acme Corp.', 'b.name': 'Beta Systems'}]
        """
        projection.check(cypher)
        return asking.ask("cypher", str(self._projected()), cypher, dict(parameters or {}))

    def contradictions(self) -> list[tuple[Triple, ...]]:
        """Give facts that cannot all hold: several values of a functional relation, or asserted and negated."""
        found: dict[tuple[str, ...], list[Triple]] = {}
        for triple in self._state()[3]:
            known = self.schema.relations.get(triple.relation)
            if triple.kind != "fact" or triple.review == "rejected" or known is None:
                continue
            if known.functional and triple.standing == "asserted":
                found.setdefault((triple.head.id, triple.relation), []).append(triple)
            if triple.standing in ("asserted", "negated"):
                found.setdefault((triple.head.id, triple.relation, triple.tail.id), []).append(triple)
        return [tuple(many) for many in found.values() if len(many) > 1]

    def accept(self, triple: str, *, by: str = "") -> int:
        """Confirm a triple by its id; give the number of the decision."""
        return self._judge("accept", triple, by)

    def reject(self, triple: str, *, by: str = "") -> int:
        """Take a triple out by its id; it stays out when documents say it again."""
        return self._judge("reject", triple, by)

    def merge(self, one: str, other: str, *, by: str = "") -> int:
        """Make two entities one, by names or ids."""
        return self._pair("merge", one, other, by)

    def never(self, one: str, other: str, *, by: str = "") -> int:
        """Say that two entities, or two names of one entity, are never one."""
        return self._pair("never", one, other, by)

    def undo(self, decision: int | None = None) -> int:
        """Take a decision back, the last without a number, and give its number."""
        return self.store.undo(decision)

    def decisions(self) -> list[Review]:
        """Give every decision in order, undone ones too."""
        return self.store.reviews()

    def review(self) -> dict[str, Any]:
        """Give what people should look at: pairs that may be one, what the schema does not know, contradictions."""
        rows = self.store.rows("SELECT kind, name, sum(times) FROM unknown GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2")
        return {
            "pairs": [
                {"one": one[0], "other": other[0], "type": one[1], "likeness": round(score, 3)}
                for one, other, score in self._state()[1].review
            ],
            "unknown": [{"kind": kind, "name": name, "times": times} for kind, name, times in rows],
            "contradictions": [[t.id for t in many] for many in self.contradictions()],
        }

    def _judge(self, kind: str, triple: str, by: str) -> int:
        found = next((t for t in self._state()[3] if t.id == triple), None)
        if found is None:
            raise InputError(f"there is no triple {triple!r}; ids are those that triples() gives")
        ends = [[e.name, e.type] for e in (found.head, found.tail)]
        return self.store.decide(kind, (ends[0], found.relation, ends[1]), by)

    def _pair(self, kind: str, one: str, other: str, by: str) -> int:
        pair = [self._name(name) for name in (one, other)]
        if pair[0] == pair[1]:
            raise InputError(f"{one!r} and {other!r} are the same name")
        if kind == "merge" and pair[0][1] != pair[1][1]:
            raise InputError(
                f"{one!r} is a {pair[0][1]} and {other!r} a {pair[1][1]}; only entities of one type are merged"
            )
        return self.store.decide(kind, pair, by)

    def _name(self, name: str) -> tuple[str, str]:
        """Give the name itself where it stands so in the documents, else that of the entity it finds."""
        resolved = self._state()[1]
        exact = [key for key in resolved.entities if key[0] == name]
        if len(exact) == 1:
            return exact[0]
        return resolved.names[self.entity(name).id]

    def _state(self) -> tuple[int, Resolved, dict[str, Entity], list[Triple]]:
        with self._lock:
            version = self.store.version
            if self._known is None or self._known[0] != version:
                resolved = self.resolve()
                nodes = triples.entities(self.store, resolved)
                self._known = (version, resolved, nodes, triples.build(self.store, resolved, self.schema))
            return self._known

    def resolve(self) -> Resolved:
        """Group the names of all documents into entities, by likeness and decisions."""
        rows = self.store.rows(
            "SELECT head, head_type, 0 FROM statements UNION ALL SELECT tail, tail_type, 0 FROM statements "
            "UNION ALL SELECT text, type, 1 FROM names"
        )
        counts: dict[tuple[str, str], int] = {}
        for text, kind, n in rows:
            counts[text, kind] = counts.get((text, kind), 0) + n
        made = [review for review in self.store.reviews() if not review.undone]
        decided = {
            kind: frozenset(frozenset(review.about) for review in made if review.kind == kind)
            for kind in ("merge", "never")
        }
        valued = {key for key in counts if self._is_value(key[1])}
        result = resolution.resolve(
            {key: n for key, n in counts.items() if key not in valued},
            thresholds={name: kind.threshold for name, kind in self.schema.types.items()},
            decisions=Decisions(decided["merge"], decided["never"]),
        )
        for key in sorted(valued):
            number = hashlib.sha256(f"{key[1]}\0{key[0]}".encode()).hexdigest()[:16]
            result.entities[key], result.names[number] = number, key
        return result

    def _is_value(self, kind: str) -> bool:
        known = self.schema.types.get(kind)
        return known is not None and bool({"DATE", "MONEY"} & set(known.spacy))

    def _projected(self) -> Path:
        with self._lock:
            version, _, nodes, all_triples = self._state()
            if self._projection is None or self._projection[0] != version:
                file = self.store.folder / f"cypher-{version}.lbug"
                if not file.exists():
                    self._build(file, nodes.values(), all_triples)
                self._projection = (version, file.resolve())
            return self._projection[1]

    def _build(self, file: Path, nodes: Iterable[Entity], all_triples: Sequence[Triple]) -> None:
        shown = [t for t in all_triples if t.standing == "asserted" and t.review != "rejected"]
        with self.store.writing:
            types = sorted(self.schema.types)
            joins = {
                name: [(h, t) for h in relation.domain or types for t in relation.range or types]
                for name, relation in self.schema.relations.items()
            }
            projection.build(file, list(nodes), triples=shown, types=types, joins=joins)
            for old in self.store.folder.glob("cypher-*.lbug*"):
                if not old.name.startswith(file.name):
                    projection.remove(old)


def _batches(documents: Iterable[Document]) -> Iterable[list[Document]]:
    batch: list[Document] = []
    for document in documents:
        batch.append(document)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
