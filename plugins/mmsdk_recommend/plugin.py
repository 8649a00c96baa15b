"""The plugin: what ``mmsdk recommend`` and ``App().run("recommend...")`` can do, a few lines each over the parts."""

import base64
import inspect
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import BaseModel, Field, ValidationError

from mmsdk import Plugin, task
from mmsdk.errors import InputError
from mmsdk_recommend.requests import (
    EraseRequest,
    EvaluateRequest,
    ExplainRequest,
    ExplainResponse,
    FitRequest,
    ListResponse,
    MonitorResponse,
    Name,
    PushRequest,
    PushResponse,
    Recommendation,
    RerankRequest,
    RollbackRequest,
    SessionRequest,
    SimilarRequest,
    Source,
    StateRequest,
    TasteRequest,
    UserRequest,
)

if TYPE_CHECKING:
    import pandas as pd

    from mmsdk.types import Image
    from mmsdk_recommend.journal import Journal
    from mmsdk_recommend.recommender import Recommender
    from mmsdk_recommend.report import Measured
    from mmsdk_recommend.versions import Versions


class Recommend(Plugin):
    """Turn an interaction log and a catalogue into recommendations that are measured and explained."""

    name = "recommend"

    class Config(BaseModel, extra="forbid", frozen=True):
        """The table ``[plugins.recommend]``."""

        state: str = Field("recommender", description="folder of the recommender and its versions")
        keep: int = Field(5, ge=1, description="versions that are kept")

    def __init__(self, runtime: Any, config: Any) -> None:
        super().__init__(runtime, config)
        self._lock = Lock()
        self._loaded: dict[str, tuple[str, Recommender]] = {}

    @task
    def for_user(self, request: UserRequest) -> ListResponse:
        """Recommend items to a user."""
        from mmsdk_recommend.names import known
        from mmsdk_recommend.serving import Serving

        recommender = self.recommender(request.state)
        user = known(request.user, recommender.data.users)
        plain = not (request.diversity or request.exploration)
        seed = secrets.randbits(32)
        serving = None if plain else Serving(request.diversity, exploration=request.exploration, seed=seed)
        found = recommender.recommend(
            [user], request.k, exclude_seen=request.exclude_seen, where=request.where, serving=serving
        )
        response = _response(recommender, found)
        if request.keep and len(found):
            with self._journal(request.state) as journal:
                response.request = journal.show(found, version=self._version(request.state))[0]
        return response

    @task
    def similar(self, request: SimilarRequest) -> ListResponse:
        """Give the items that are most like one."""
        from mmsdk_recommend.names import known

        recommender = self.recommender(request.state)
        item = known(request.item, recommender.data.items)
        return _response(recommender, recommender.similar(item, request.k, where=request.where))

    @task
    def for_history(self, request: SessionRequest) -> ListResponse:
        """Recommend to somebody new by some items, such as the last clicks."""
        from mmsdk_recommend.names import known

        recommender = self.recommender(request.state)
        items = [known(item, recommender.data.items) for item in request.items]
        return _response(recommender, recommender.for_history(items, request.k, where=request.where))

    @task
    def for_taste(self, request: TasteRequest) -> ListResponse:
        """Recommend by a text or a picture of what is liked."""
        recommender = self.recommender(request.state)
        contents: list[str | Image] = [
            *([request.text] if request.text else []),
            *([_picture(request.image)] if request.image else []),
        ]
        return _response(recommender, recommender.for_taste(contents, request.k, where=request.where))

    @task
    def rerank(self, request: RerankRequest) -> ListResponse:
        """Order candidates for a user."""
        from mmsdk_recommend.names import known

        recommender = self.recommender(request.state)
        items = [known(item, recommender.data.items) for item in request.candidates]
        return _response(recommender, recommender.rerank(known(request.user, recommender.data.users), items))

    @task
    def explain(self, request: ExplainRequest) -> ExplainResponse:
        """Say what the score of an item for a user is made of."""
        from mmsdk_recommend.explain import explain
        from mmsdk_recommend.names import known

        recommender = self.recommender(request.state)
        user, item = known(request.user, recommender.data.users), known(request.item, recommender.data.items)
        return ExplainResponse.model_validate(explain(recommender, user, item).to_json())

    @task
    def push(self, request: PushRequest) -> PushResponse:
        """Take in one event; with the number of a list it counts as a click there too."""
        with self._journal(request.state) as journal:
            number = request.shown
            click = None if number is None else (number, _number(request.item, journal, number))
            journal.push(
                request.user, request.item, kind=request.kind, weight=request.weight, at=request.time, click=click
            )
            return PushResponse(events=journal.count())

    @task
    def monitor(self, request: StateRequest) -> MonitorResponse:
        """Show click-through and coverage of each version, over the lists that were kept."""
        from mmsdk_recommend.versions import Versions

        recommender = self.recommender(request.state)
        versions = Versions(request.state or self.config.state)
        counts = {name: int(versions.about(name).get("items", 0)) for name in versions.names()}
        with self._journal(request.state) as journal:
            found = journal.monitor(
                len(recommender.data.items), of={name: count for name, count in counts.items() if count}
            )
        return MonitorResponse(current=self._version(request.state), versions=found)

    def commands(self) -> Mapping[str, Callable[..., Any]]:
        """Give the commands that read and write files."""
        return {
            "fit": _command(FitRequest, self._fit),
            "evaluate": _command(EvaluateRequest, _evaluate),
            "validate": _command(Source, _validate),
            "rollback": _command(RollbackRequest, self._rollback),
            "erase": _command(EraseRequest, self._erase),
        }

    def pages(self) -> Mapping[str, Any]:
        """Give the explorer of the recommender in the setting's folder."""
        from mmsdk_recommend.explorer import explorer

        return {"explorer": explorer(self.recommender)}

    def recommender(self, state: str | Path | None = None) -> "Recommender":
        """Give the recommender of a folder, read again when another version became current."""
        from mmsdk_recommend.versions import Versions

        versions = Versions(state or self.config.state)
        current = versions.current()
        key = str(versions.folder.resolve())
        with self._lock:
            if self._loaded.get(key, ("", None))[0] != current:
                loaded = versions.load()
                loaded.encoders = self.runtime.encoders()
                self._loaded[key] = (current, loaded)
            return self._loaded[key][1]

    def _fit(self, request: FitRequest) -> dict[str, Any]:
        """Fit a recommender and make it the current version."""
        from mmsdk_recommend.recommender import Recommender
        from mmsdk_recommend.versions import Versions

        versions = Versions(request.state or self.config.state, keep=self.config.keep)
        base = Versions(request.interactions)
        last = self._last(versions.folder)  # before anything is read: what is pushed from now on is for the next time
        if base.names():
            is_same = base.folder.resolve() == versions.folder.resolve()
            fitted = self._again(request, base, last if is_same else self._last(base.folder))
        else:
            made = Recommender(
                request.model or "hybrid", encoders=self.runtime.encoders(), index=request.index or "exact"
            )
            fitted = made.fit(*_read(request))
        about = {"interactions": request.interactions, "catalogue": str(request.catalogue or ""), "journal": last}
        version = versions.publish(fitted, about={"model": fitted.name, **about})
        data = fitted.data
        counts = {"users": len(data.users), "items": len(data.items), "interactions": len(data.histories.items)}
        return {"version": version, "model": fitted.name, **counts}

    def _last(self, folder: Path) -> int:
        """Give the number of the last event in a folder, in which nothing is made."""
        from mmsdk_recommend.journal import FILE, Journal

        if not (folder / FILE).is_file():
            return 0
        with Journal(folder) as journal:
            return journal.last()

    def _again(self, request: FitRequest, base: "Versions", last: int) -> "Recommender":
        """Fit the current version of a folder again, with the events after it was made until the last."""
        from mmsdk_recommend import catalogue
        from mmsdk_recommend.changes import update
        from mmsdk_recommend.names import alike
        from mmsdk_recommend.recommender import Recommender

        old = base.load()
        old.encoders = self.runtime.encoders()
        after = int(base.about(base.current()).get("journal", 0))
        if last > after:
            with self._journal(base.folder) as journal:
                new = journal.frame(after=after, until=last)
            users, items = alike(new["user"], old.data.users), alike(new["item"], old.data.items)
            if users:  # they may all have been erased
                update(old, new.assign(user=users, item=items))
        is_same = request.model in (None, old.name)
        index = request.index or (old.index if is_same else "exact")
        if is_same and index == old.index and request.catalogue is None:
            return old.refit()
        things = old.catalogue if request.catalogue is None else catalogue.read(request.catalogue)
        params = old.get_params() if is_same else {"model": request.model, "seed": old.seed}
        made = Recommender(**{**params, "index": index}, encoders=old.encoders)
        if made.uses_content and not old.uses_content and isinstance(things, catalogue.Catalogue):
            raise InputError(
                f"the folder keeps its catalogue without content, which {old.name} has no use for and {made.name} has: "
                "give the catalogue again with --catalogue"
            )
        return made.fit(old.data.frame(), things)

    def _erase(self, request: EraseRequest) -> dict[str, Any]:
        """Forget a user: from the journal, and by fitting again without them and deleting older versions."""
        from mmsdk_recommend.names import known
        from mmsdk_recommend.versions import Versions

        recommender = self.recommender(request.state)
        user = known(request.user, recommender.data.users)
        with self._journal(request.state) as journal:
            rows = sum(journal.erase(name) for name in {user, request.user})
        if user not in recommender.data.users and rows:
            return {"version": self._version(request.state), "journal_rows": rows}
        return {"version": Versions(request.state or self.config.state).erase(user), "journal_rows": rows}

    def _journal(self, state: str | Path | None) -> "Journal":
        from mmsdk_recommend.journal import Journal

        return Journal(state or self.config.state)

    def _version(self, state: str | Path | None) -> str:
        from mmsdk_recommend.versions import Versions

        return Versions(state or self.config.state).current()

    def _rollback(self, request: RollbackRequest) -> dict[str, str]:
        """Make an older version current."""
        from mmsdk_recommend.versions import Versions

        return {"version": Versions(request.state or self.config.state).rollback(request.version)}


def _evaluate(request: EvaluateRequest) -> "Measured":
    """Measure models beside each other by full ranking, with intervals; print a table and write a report."""
    from mmsdk_recommend.evaluation import evaluate
    from mmsdk_recommend.report import Measured, write_report
    from mmsdk_recommend.splits import split

    frame, catalogue = _read(request)
    models = [name.strip() for name in request.models.split(",") if name.strip()]
    options: dict[str, Any] = {"k": request.k, "labels": request.labels, "tune": request.tune}
    if request.report.is_dir():
        raise InputError(f"{request.report} is a folder: name a file for the report")
    found = evaluate(split(frame, request.split), models, catalogue=catalogue, **options)
    written = str(write_report(found, request.report).resolve()) if request.write else None
    return Measured({**found.to_json(), "report": written})


def _validate(request: Source) -> dict[str, Any]:
    """Report what is odd about interactions: repetitions, robots, gaps, times, items that the catalogue lacks."""
    from mmsdk_recommend.quality import validate

    return validate(*_read(request)).to_json()


def _command(kind: type[BaseModel], run: Callable[[Any], Any]) -> Callable[..., Any]:
    """Make a command whose options are the fields of a request, the first one an argument when it is required."""

    def command(**given: Any) -> Any:
        try:
            return run(kind(**given))
        except ValidationError as error:
            said = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False)]
            raise InputError("; ".join(said)) from error

    parameters = []
    for name, field in kind.model_fields.items():
        option = typer.Argument if field.is_required() else typer.Option
        annotation = Annotated[field.annotation, option(help=field.description)]  # type: ignore[name-defined]
        default = inspect.Parameter.empty if field.is_required() else field.default
        parameters.append(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        )
    command.__doc__ = run.__doc__
    vars(command)["__signature__"] = inspect.Signature(parameters)
    return command


def _read(source: Source) -> "tuple[pd.DataFrame, pd.DataFrame | None]":
    from mmsdk_recommend import catalogue, interactions
    from mmsdk_recommend.journal import FILE, Journal

    pairs = [pair.partition("=") for pair in source.columns.split(",") if pair]
    if any(not column for _, _, column in pairs):
        raise InputError(f"--columns must look like user=userId,item=movieId, not {source.columns!r}")
    columns = {name.strip(): column.strip() for name, _, column in pairs}
    if (Path(source.interactions) / FILE).is_file():
        with Journal(source.interactions) as journal:
            frame = journal.frame()
    else:
        frame = interactions.read(source.interactions, columns=columns, query=source.query)
    return frame, None if source.catalogue is None else catalogue.read(source.catalogue)


def _number(item: str, journal: "Journal", request: int) -> Any:
    """Give an item as a list of the journal showed it: as text, or as a number."""
    shown = journal.showings()
    names = shown[shown["request"] == request]["item"].tolist()
    return next((name for name in names if str(name) == item), item)


def _picture(written: str) -> "Image":
    from mmsdk import load
    from mmsdk.types import Image

    try:
        content = load(base64.b64decode(written, validate=True))
    except ValueError as error:
        raise InputError(f"the picture is not base64: {error}") from error
    if not isinstance(content, Image):
        raise InputError("the picture is a recording")
    return content


def _response(recommender: "Recommender", found: "pd.DataFrame") -> ListResponse:
    records = recommender.metadata
    rows = found.to_dict("records")
    places = recommender.places([row["item"] for row in rows])
    return ListResponse(
        recommendations=[
            Recommendation(item=_name(row["item"]), score=row["score"], rank=row["rank"], metadata=dict(records[place]))
            for row, place in zip(rows, places.tolist(), strict=True)
        ]
    )


def _name(name: Any) -> Name:
    return int(name) if isinstance(name, int) or (hasattr(name, "dtype") and name.dtype.kind in "iu") else str(name)
