"""The plugin: what ``mmsdk graph`` and ``App().run("graph...")`` can do, a few lines each over the parts."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import BaseModel, Field

from mmsdk import Plugin, task
from mmsdk.errors import InputError, MissingDependencyError
from mmsdk_graph.graph import KnowledgeGraph

Place = Annotated[str | None, typer.Option("--graph", help="Folder of the graph; else the setting's.")]
Formats = Literal["turtle", "json-ld", "graphml", "csv", "cypher"]


class ReadRequest(BaseModel, extra="forbid"):
    """A text."""

    text: str = Field(min_length=1, max_length=200_000, description="what to read")


class GraphRequest(BaseModel, extra="forbid"):
    """A graph."""

    graph: Path | None = Field(None, description="folder of the graph; else the setting's")


class TriplesRequest(GraphRequest, extra="forbid"):
    """Which triples."""

    where: dict[str, Any] | None = Field(None, description="a filter over the fields of triples")
    entity: str | None = Field(None, description="of this entity only, by name or id")
    limit: int = Field(1000, ge=1, le=100_000, description="at most so many")


class TriplesResponse(BaseModel):
    """Triples with their sentences."""

    triples: list[dict[str, Any]]
    total: int


class QueryRequest(GraphRequest, extra="forbid"):
    """A query that only reads."""

    cypher: str | None = Field(None, description="such as MATCH (a)-[r:acquired]->(b) RETURN a.name, b.name")
    sparql: str | None = Field(None, description="SPARQL over the exported graph, instead")
    parameters: dict[str, Any] = Field(default_factory=dict, description="values for $names in the Cypher")


class QueryResponse(BaseModel):
    """Rows by column."""

    rows: list[dict[str, Any]]


class AskRequest(GraphRequest, extra="forbid"):
    """A question."""

    question: str = Field(
        min_length=1, max_length=10_000, description="such as: where is the company of Jane Roe based?"
    )
    collection: Path | None = Field(None, description="folder of a collection, whose passages are used too")


class AskResponse(BaseModel):
    """An answer in the shape that ``mmsdk ask`` prints; ``path`` are the edges that it quotes."""

    text: str
    status: Literal["answered", "not_in_sources"]
    citations: list[dict[str, Any]]
    hits: list[dict[str, Any]]
    path: list[list[str]]


class ReviewRequest(GraphRequest, extra="forbid"):
    """A decision, or none: then the list of what to look at."""

    accept: str | None = Field(None, description="id of a triple to confirm")
    reject: str | None = Field(None, description="id of a triple to take out")
    merge: str | None = Field(None, description="an entity that is the same as --other")
    never: str | None = Field(None, description="an entity or name that is never the same as --other")
    other: str | None = Field(None, description="the other entity of --merge or --never")
    undo: int | None = Field(None, ge=0, description="number of a decision to take back; 0: the last")
    by: str = Field("", description="who decides")


class ReviewResponse(BaseModel):
    """What waits for people, what they decided, and the number of the decision just made."""

    decision: int | None
    pairs: list[dict[str, Any]]
    unknown: list[dict[str, Any]]
    contradictions: list[list[str]]
    decisions: list[dict[str, Any]]


class Graph(Plugin):
    """Turn documents into a graph in which every edge shows its sentences."""

    name = "graph"

    class Config(BaseModel, extra="forbid", frozen=True):
        """The table ``[plugins.graph]``."""

        graph: str = Field("knowledge-graph", description="folder of the graph")
        graph_schema: str | None = Field(None, alias="schema", description="YAML or OWL file of types and relations")
        model: str | None = Field(None, description="folder of a trained tagger, used beside the patterns")
        llm: str | None = Field(None, description="name of an LLM that reads sentences too, such as openai:NAME")

    @task
    def read(self, request: ReadRequest) -> TriplesResponse:
        """Read a text and give its triples with their sentences; nothing is stored."""
        from tempfile import TemporaryDirectory

        with TemporaryDirectory() as folder, self._opened(folder, create=True) as graph:
            graph.add_text(request.text, source="text")
            found = graph.triples({"standing": {"$exists": True}})
            return TriplesResponse(triples=[t.to_json() for t in found], total=len(found))

    @task
    def triples(self, request: TriplesRequest) -> TriplesResponse:
        """Give the triples that pass a filter, or those round an entity, with the sentences that say them."""
        with self._opened(request.graph) as graph:
            found = graph.triples(request.where)
            if request.entity is not None:
                entity = graph.entity(request.entity)
                found = [t for t in found if entity in (t.head, t.tail)]
            return TriplesResponse(triples=[t.to_json() for t in found[: request.limit]], total=len(found))

    @task
    def query(self, request: QueryRequest) -> QueryResponse:
        """Ask the graph in Cypher or SPARQL; only reading queries are taken."""
        with self._opened(request.graph) as graph:
            if (request.cypher is None) == (request.sparql is None):
                raise InputError("give a query in cypher or in sparql, one of them")
            if request.cypher is not None:
                return QueryResponse(rows=graph.query(request.cypher, request.parameters))
            from mmsdk_graph.export import sparql

            return QueryResponse(rows=sparql(graph, request.sparql or ""))

    @task
    def ask(self, request: AskRequest) -> AskResponse:
        """Answer a question from the edges between what it names, each sentence cited, or from passages."""
        from mmsdk import Assistant
        from mmsdk_graph.answers import GraphAssistant, GraphRetriever

        with self._opened(request.graph) as graph:
            texts = self.runtime.collection(request.collection) if request.collection else None
            other = Assistant(GraphRetriever(texts, graph), self.runtime.llm(), settings=self.runtime.settings)
            answer = GraphAssistant(graph, other).ask(request.question)
        return AskResponse.model_validate({**answer.to_json(), "path": answer.trace.get("path", [])})

    @task
    def review(self, request: ReviewRequest) -> ReviewResponse:
        """List what people should look at; accept or reject a triple, merge or part entities, undo."""
        with self._opened(request.graph) as graph:
            made = _decided(graph, request)
            decisions = [vars(each) | {"about": list(each.about)} for each in graph.decisions()]
            return ReviewResponse(decision=made, decisions=decisions, **graph.review())

    def pages(self) -> Mapping[str, Any]:
        """Give the page of the graph in the folder of the settings."""
        try:
            from mmsdk_graph.page import page
        except ModuleNotFoundError as error:
            raise MissingDependencyError("starlette", "graph") from error
        return {"graph": page(lambda: self._opened(None))}

    def commands(self) -> Mapping[str, Callable[..., Any]]:
        """Give the commands that read and write files."""
        return {
            "extract": self._extract,
            "delete": self._delete,
            "export": self._export,
            "train": train,
            "evaluate": evaluate,
        }

    def _extract(
        self,
        sources: Annotated[list[str], typer.Argument(metavar="PATH_OR_URL", help="Files, folders and addresses.")],
        *,
        graph: Place = None,
        schema: Annotated[str | None, typer.Option(help="YAML or OWL file of types and relations.")] = None,
        model: Annotated[str | None, typer.Option(help="Folder of a trained tagger.")] = None,
    ) -> dict[str, Any]:
        """Read documents into the graph, and give its triples."""
        with self._opened(graph, create=True, schema=schema, model=model) as opened:
            added = opened.add(sources)
            if added.failed and not added.documents and not added.skipped:
                raise InputError("; ".join(f"{each.source}: {each.reason}" for each in added.failed))
            triples = opened.triples()
            shown = [
                {"head": t.head.name, "relation": t.relation, "tail": t.tail.name, "confidence": t.confidence}
                | {"sentences": list(t.sentences)}
                for t in triples
            ]
            told = {"documents": added.documents, "sentences": added.sentences, "skipped": added.skipped}
            failed = [vars(failure) for failure in added.failed]
            return {**told, "failed": failed, "entities": len(opened.entities()), "triples": shown}

    def _delete(
        self, *, source: Annotated[str, typer.Option(help="The document's source.")], graph: Place = None
    ) -> dict[str, int]:
        """Delete a document with all that only it supported."""
        with self._opened(graph) as opened:
            return {"deleted": opened.delete(source=source)}

    def _export(
        self,
        *,
        out: Annotated[Path, typer.Option(help="The file to write; for csv a folder.")],
        format: Annotated[Formats, typer.Option(help="What to write.")] = "turtle",  # noqa: A002
        graph: Place = None,
    ) -> dict[str, Any]:
        """Write the facts as Turtle, JSON-LD, GraphML, CSV or a Cypher script."""
        from mmsdk_graph.export import write

        with self._opened(graph) as opened:
            return {"file": str(out), "format": format, "triples": write(opened, out, format)}

    @contextmanager
    def _opened(
        self, graph: str | Path | None, *, create: bool = False, schema: str | None = None, model: str | None = None
    ) -> Iterator[KnowledgeGraph]:
        config, reader = self.config, None
        if config.llm:
            from mmsdk_graph.llm import LLMReader
            from mmsdk_graph.schema import Schema, default

            named = schema or config.graph_schema
            reader = LLMReader(self.runtime.llm(config.llm), Schema.load(named) if named else default())
        with KnowledgeGraph.open(
            graph or config.graph,
            schema=schema or config.graph_schema,
            tagger=model or config.model,
            reader=reader,
            create=create,
            settings=self.runtime.settings,
        ) as opened:
            yield opened


def train(
    *,
    train: Annotated[Path, typer.Option("--train", help="JSON lines: tokens, entities, relations.")],
    out: Annotated[Path, typer.Option(help="Folder for the model.")],
    dev: Annotated[Path | None, typer.Option(help="Sentences to choose on; else held-out folds.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the sentences; else as the plan says.")] = None,
    seed: Annotated[int, typer.Option(help="What chance starts from.")] = 0,
) -> dict[str, Any]:
    """Train the tagger on your own labels: entities and relations of tokenised sentences."""
    from mmsdk.settings import Settings
    from mmsdk_graph.training import plan_for, train_files

    def tell(said: str) -> None:
        typer.echo(said, err=True)

    return train_files(train, dev, out, plan=plan_for(epochs, seed), settings=Settings.load(), progress=tell)


def evaluate(
    *,
    model: Annotated[Path, typer.Option(help="Folder of a trained tagger.")],
    data: Annotated[Path, typer.Option(help="JSON lines: tokens, entities, relations.")],
) -> dict[str, Any]:
    """Compare what a trained tagger finds with labels: strict and partial precision, recall and F1."""
    from mmsdk.settings import Settings
    from mmsdk_graph.annotations import read
    from mmsdk_graph.scores import score
    from mmsdk_graph.tagger import Tagger

    gold = read(data)
    return score(gold, Tagger.load(model, settings=Settings.load()).predict([s.tokens for s in gold]))


def _decided(graph: KnowledgeGraph, request: ReviewRequest) -> int | None:
    """Make the one decision that a request asks for."""
    asked = [name for name in ("accept", "reject", "merge", "never", "undo") if getattr(request, name) is not None]
    if len(asked) > 1:
        raise InputError(f"one decision at a time, not {' and '.join(asked)}")
    if not asked:
        return None
    kind = asked[0]
    if kind == "undo":
        return graph.undo(request.undo or None)
    if kind in ("accept", "reject"):
        return int(getattr(graph, kind)(getattr(request, kind), by=request.by))
    if request.other is None:
        raise InputError(f"--{kind} needs the other entity: add --other NAME")
    return int(getattr(graph, kind)(getattr(request, kind), request.other, by=request.by))
