"""The core's commands: collections, questions, models and plugins.

A command opens what it needs, calls one function of the library, prints and closes. The names of plugins
become commands without importing them.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from mmsdk import registry
from mmsdk.cli import output, serving
from mmsdk.errors import CorruptionError, InputError, InvalidFilterError, UnsupportedModalityError

if TYPE_CHECKING:
    from mmsdk.collection import Collection
    from mmsdk.rerank import Reranker
    from mmsdk.runtime import Runtime
    from mmsdk.types import Query

PARTLY = 3

Place = Annotated[str, typer.Argument(metavar="COLLECTION", help="The folder of the collection.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Where = Annotated[
    str | None, typer.Option(metavar="JSON", help="""Filter by metadata, for example '{"year": {"$gte": 2024}}'.""")
]
Picture = Annotated[Path | None, typer.Option("--image", metavar="FILE", help="A picture as part of the question.")]
Recording = Annotated[Path | None, typer.Option("--audio", metavar="FILE", help="A recording as part of the question.")]


class CoreGroup(TyperGroup):
    """Hold the core's commands and, behind them, one group of commands for every installed plugin."""

    @cached_property
    def _app(self) -> Any:
        from mmsdk.app import App

        return App()

    def list_commands(self, ctx: Any) -> list[str]:
        """Name the core's commands, then the plugins."""
        own = super().list_commands(ctx)
        return [*own, *(name for name in registry.offers("plugins") if name not in own)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Give a command of the core, or the group of a plugin."""
        own = super().get_command(ctx, cmd_name)
        points = registry.offers("plugins").get(cmd_name, [])
        if own is not None or not points:
            return own
        from mmsdk.cli.tasks import PluginGroup

        dists = sorted({point.dist.name for point in points if point.dist is not None})
        return PluginGroup(cmd_name, lambda: self._app, help=f"Tasks of the plugin from {' and '.join(dists)}.")


app = typer.Typer(cls=CoreGroup, add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
models = typer.Typer(help="Model files: what is there, what is missing, where it is.")
app.add_typer(models, name="models")
app.add_typer(serving.keys, name="keys")
app.command()(serving.serve)
app.command()(serving.mcp)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        output.say(version("mmsdk"))
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere.")] = False,
) -> None:
    """Files of any modality in, answers with evidence out."""


@app.command()
def add(
    collection: Place,
    sources: Annotated[list[str], typer.Argument(metavar="PATH_OR_URL", help="Files, folders and addresses.")],
    *,
    metadata: Annotated[str | None, typer.Option(metavar="JSON", help="Metadata for every document.")] = None,
    mask: Annotated[bool, typer.Option("--mask", help="Mask personal data before anything is stored.")] = False,
    json: Json = False,
) -> int:
    """Take files, folders and addresses into a collection, made when it is not there.

    Unchanged sources cost nothing. Exit code 3: some sources failed; each is listed and the others are in.
    """
    given = _object(metadata, "--metadata")
    with _opened(collection, create=True) as opened, output.progress() as tell:
        report = opened.add(sources, metadata=given, mask=mask, progress=tell)
    output.show(report.to_json(), json, lambda: output.report_lines(report))
    return PARTLY if report.failed else 0


@app.command()
def search(
    collection: Place,
    text: Annotated[str | None, typer.Argument(help="What to look for.")] = None,
    *,
    k: Annotated[int, typer.Option("-k", min=1, help="At most so many hits.")] = 8,
    where: Where = None,
    image: Picture = None,
    audio: Recording = None,
    diversity: Annotated[float, typer.Option(min=0, max=1, help="Weigh unlikeness to better hits.")] = 0.0,
    quota: Annotated[
        str | None, typer.Option(metavar="JSON", help="""At least so many hits, for example '{"image": 2}'.""")
    ] = None,
    collapse: Annotated[
        float | None, typer.Option(max=1, help="Leave out what is this near to a better hit, for example 0.97.")
    ] = None,
    rerank: Annotated[
        str | None, typer.Option(metavar="NAME", help="Order 50 hits anew: by a scorer such as cross, or by llm.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say why each hit was found.")] = False,
    json: Json = False,
) -> None:
    """Find the passages, pictures and recordings nearest to a text, a picture or a recording."""
    from mmsdk.explain import explain as explained

    query, condition = _query(text, image, audio), _where(where)
    options: Any = {"diversity": diversity, "quota": _object(quota, "--quota"), "collapse": collapse}
    with _opened(collection) as opened:
        try:
            if rerank is None:
                hits = opened.search(query, k, condition, **options)
            else:
                hits = _reranker(opened, rerank, options).retrieve(query, k, where=condition)
        except ValueError as error:
            raise InputError(str(error)) from error
    shapes = [hit.to_json() | ({"explanation": explained(hit).to_json()} if explain else {}) for hit in hits]
    output.show(shapes, json, lambda: output.hit_lines(hits, explained if explain else None))


@app.command()
def ask(
    collection: Place,
    question: Annotated[str | None, typer.Argument(help="The question.")] = None,
    *,
    where: Where = None,
    image: Picture = None,
    audio: Recording = None,
    json: Json = False,
) -> None:
    """Answer a question from a collection, every statement with its source."""
    from mmsdk.assistant import Assistant

    query, condition = _query(question, image, audio), _where(where)
    with _runtime() as runtime:
        assistant = Assistant(runtime.collection(collection), runtime.llm(), settings=runtime.settings)
        answer = assistant.ask(query, where=condition)
    output.show(answer.to_json(), json, lambda: output.answer_lines(answer))


@app.command()
def delete(
    collection: Place,
    *,
    id: Annotated[list[str] | None, typer.Option(metavar="ID", help="Delete documents by id.")] = None,  # noqa: A002
    source: Annotated[
        list[str] | None, typer.Option(metavar="SOURCE", help="Delete documents by source, as search prints it.")
    ] = None,
    where: Where = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before deleting by --where.")] = False,
    json: Json = False,
) -> None:
    """Delete documents by id or source, or what a filter matches."""
    condition = _where(where)
    if not id and not source and condition is None:
        raise InputError("say what to delete: --id, --source or --where")
    with _stored(collection) as opened:
        if condition is not None and not yes:
            typer.confirm(f"Delete {opened.count(condition)} chunks of {collection}?", abort=True, err=True)
        gone = opened.delete(id, source=source, where=condition)
    output.show({"chunks": gone}, json, lambda: output.say(f"{gone} chunks deleted"))


@app.command()
def verify(collection: Place, *, json: Json = False) -> int:
    """Check every row, vector and index of a collection. Exit code 8: something is damaged."""
    with _stored(collection) as opened:
        problems = opened.verify()
    output.show({"problems": problems}, json, lambda: output.say("\n".join(problems) or "all is well"))
    return CorruptionError.exit_code if problems else 0


@app.command()
def repair(collection: Place, *, json: Json = False) -> None:
    """Mend what verify found: rebuild what can be derived, save what can be read, name what is lost."""
    with _stored(collection) as opened:
        done = opened.repair()
    output.show(done, json)


@app.command()
def backup(
    collection: Place,
    folder: Annotated[Path, typer.Argument(help="The folder to make; it must not be there yet.")],
    *,
    json: Json = False,
) -> None:
    """Copy a collection while it is used; the copy is verified before it takes its name."""
    with _stored(collection, read_only=True) as opened:
        made = opened.backup(folder)
    output.show(made, json)


@app.command()
def restore(
    backup: Annotated[Path, typer.Argument(metavar="BACKUP", help="The folder that backup made.")],
    collection: Place,
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put it in the place of the collection there, which is kept aside.")
    ] = False,
    json: Json = False,
) -> None:
    """Make a collection from a backup, which is verified first."""
    from mmsdk.collection import Collection

    output.show(Collection.restore(backup, collection, replace=replace), json)


@app.command()
def reindex(collection: Place, *, json: Json = False) -> None:
    """Encode everything again, with the encoders of the settings; needs none of the sources."""
    with _runtime() as runtime, _stored(collection) as opened:
        count = opened.reindex(runtime.encoders())
    output.show({"chunks": count}, json, lambda: output.say(f"{count} chunks encoded"))


@app.command()
def info(collection: Place, *, json: Json = False) -> None:
    """Describe a collection: sizes, encoders, index."""
    with _stored(collection) as opened:
        described = opened.info()
    output.show(described, json)


@app.command()
def transcribe(file: Annotated[Path, typer.Argument(help="A recording.")], *, json: Json = False) -> None:
    """Write down what is said in a recording, with times and the language."""
    from mmsdk.runtime import transcribe as transcribed

    transcript = transcribed(file)
    shape = {
        "text": transcript.text,
        "language": transcript.language,
        "language_probability": round(transcript.language_probability, 4),
        "segments": [vars(segment) for segment in transcript.segments],
    }
    output.show(shape, json, lambda: output.transcript_lines(transcript))


@app.command()
def plugins(*, json: Json = False) -> None:
    """List the installed plugins with their tasks; one that does not load is listed with its reason."""
    from mmsdk.app import App

    with App() as opened:
        found = opened.plugins
    rows = [(p.name, p.state, ", ".join(p.distributions), p.reason or ", ".join(p.tasks)) for p in found]
    columns = ("plugin", "state", "from", "tasks or reason")
    output.show([plugin.to_json() for plugin in found], json, lambda: output.table(columns, rows))


@models.command("list")
def list_models(*, json: Json = False) -> None:
    """List the models of the settings and of the cache, and whether their files are there."""
    from mmsdk import weights
    from mmsdk.settings import Settings

    found = weights.listing(Settings.load())
    rows = [(m.name, m.state, f"{m.bytes / 1e6:.0f} MB", m.licence, m.origin) for m in found]
    columns = ("model", "state", "size", "licence", "from")
    shapes = [{**vars(model), "path": str(model.path)} for model in found]
    output.show(shapes, json, lambda: output.table(columns, rows))


@models.command()
def fetch(
    names: Annotated[list[str] | None, typer.Argument(help="Models; none: those the settings need.")] = None,
    *,
    json: Json = False,
) -> None:
    """Fetch model files that are missing and check every digest."""
    from mmsdk import weights
    from mmsdk.settings import Settings

    settings = Settings.load()
    with output.progress() as tell:
        found = weights.fetch(names or weights.needed(settings), settings=settings, progress=tell)
    shape = {name: str(path) for name, path in found.items()}
    output.show(shape, json, lambda: output.table(("model", "path"), list(shape.items())))


@models.command("path")
def model_path(name: Annotated[str, typer.Argument(help="A model.")], *, json: Json = False) -> None:
    """Print where the files of a model are; fetches nothing."""
    from mmsdk import weights
    from mmsdk.settings import Settings

    path = str(weights.resolve(name, settings=Settings.load().model_copy(update={"offline": True})))
    output.show({"path": path}, json, lambda: output.say(path))


@contextmanager
def _runtime() -> "Iterator[Runtime]":
    from mmsdk.runtime import Runtime

    with Runtime() as runtime:
        yield runtime


@contextmanager
def _opened(place: str, *, create: bool = False) -> "Iterator[Collection]":
    with _runtime() as runtime:
        yield runtime.collection(place, create)


@contextmanager
def _stored(place: str, *, read_only: bool = False) -> "Iterator[Collection]":
    """Open a collection for what needs no encoder."""
    from mmsdk.collection import Collection
    from mmsdk.settings import Settings

    with Collection.open(place, encoders=(), settings=Settings.load(), read_only=read_only) as opened:
        yield opened


def _query(text: str | None, image: Path | None, audio: Path | None) -> "Query":
    """Make one question of what was given. Raises ``InputError`` when nothing was."""
    from mmsdk.loaders import load
    from mmsdk.types import Audio, Image

    parts: list[str | Image | Audio] = [] if text is None else [text]
    for option, file, kind in (("--image", image, Image), ("--audio", audio, Audio)):
        if file is None:
            continue
        content = load(file)
        if not isinstance(content, kind):
            raise UnsupportedModalityError(f"{option} {file} is {content!r}")
        parts.append(content)
    if not parts:
        raise InputError("there is no question: give a text, --image FILE or --audio FILE")
    return parts[0] if len(parts) == 1 else parts


def _reranker(collection: "Collection", name: str, options: Any) -> "Reranker":
    """Wrap a collection in a scorer of the registry, or in the judgement of the settings' LLM."""
    from mmsdk import llms
    from mmsdk.rerank import CrossScorer, JudgeScorer, Reranker

    settings = collection.settings
    if name == "llm":
        return Reranker(collection.retriever(**options), JudgeScorer(llms.build(settings)))
    encoder: Any = registry.create("scorers", name, pins=settings.pins, settings=settings)
    return Reranker(collection.retriever(**options), CrossScorer(encoder))


def _object(text: str | None, option: str, error: type[InputError] = InputError) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as problem:
        raise error(f"{option} is not JSON: {problem}; it was {text!r}") from problem
    if not isinstance(value, dict):
        raise error(f'{option} must be a JSON object such as {{"year": 2024}}, not {text!r}')
    return value


def _where(text: str | None) -> dict[str, Any] | None:
    return _object(text, "--where", InvalidFilterError)
