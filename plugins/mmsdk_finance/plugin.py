"""The plugin: what ``mmsdk finance`` and ``App().run("finance...")`` can do, a few lines each over the parts."""

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from pydantic import BaseModel, Field

from mmsdk import Plugin, task
from mmsdk.errors import InputError, MissingDependencyError
from mmsdk_finance.alerts import Alert, Rule
from mmsdk_finance.monitor import Options, SentimentMonitor, Taken
from mmsdk_finance.mood import Recipe
from mmsdk_finance.sinks import Console, File, Mail, Sink, Webhook
from mmsdk_finance.sources import Follower, Reading, records

if TYPE_CHECKING:
    from mmsdk_finance.sentiment import SentimentModel

TOKEN, SECRET = "FINANCE_PUSH_TOKEN", "FINANCE_WEBHOOK_SECRET"
"""Environment variables: what a pusher must know, and what webhooks are signed with."""
Folder = Annotated[str | None, typer.Option("--state", help="Folder of the monitor; else the setting's.")]

Out = Annotated[str, typer.Option(help="The file to write: .html for the report, .csv or .parquet for an export.")]


class ScoreRequest(BaseModel, extra="forbid"):
    """A text, and the names in it to judge."""

    text: str = Field(min_length=1, description="what to score")
    entities: list[str] | None = Field(None, description="names; without them those that are recognised")


class Sentence(BaseModel, from_attributes=True):
    """A sentence that decided, with its place in the text, words, flags and kinds of event."""

    sentence: str
    start: int
    stop: int
    words: list[str]
    probabilities: dict[str, float]
    flags: list[str]
    events: list[str]


class EntityScore(BaseModel, from_attributes=True):
    """What a text says of one name."""

    entity: str
    label: Literal["positive", "neutral", "negative"]
    probabilities: dict[str, float]
    evidence: list[Sentence]


class ScoreResponse(BaseModel):
    """One result a name, in their order."""

    results: list[EntityScore]


class StateRequest(BaseModel, extra="forbid"):
    """A monitor."""

    state: Path | None = Field(None, description="folder of the monitor; else the setting's")


class AlertsRequest(StateRequest, extra="forbid"):
    """Which alerts."""

    ticker: str | None = Field(None, description="of this name only")
    acknowledge: int | None = Field(None, description="number of an alert that somebody has seen")
    by: str = Field("", description="who has seen it")
    note: str = Field("", description="what they say to it")


class AlertsResponse(BaseModel):
    """Alerts in the order they were raised."""

    alerts: list[dict[str, Any]]


class IndexResponse(BaseModel):
    """Levels by ticker and sector, and the portfolio's exposure-weighted index and negative tail."""

    levels: dict[str, dict[str, float]]
    portfolio: float
    tail: float


class AskRequest(StateRequest, extra="forbid"):
    """A question to the evidence."""

    question: str = Field(min_length=1, description="for example: why did X turn negative this week?")


class AskResponse(BaseModel):
    """An answer in the shape that ``mmsdk ask`` prints."""

    text: str
    status: Literal["answered", "not_in_sources"]
    citations: list[dict[str, Any]]
    hits: list[dict[str, Any]]


class PushRequest(StateRequest, extra="forbid"):
    """News: records with the keys that JSON lines have, such as text, source and event."""

    items: list[dict[str, Any]] = Field(min_length=1, max_length=1000, description="records to take in")


class PushResponse(BaseModel):
    """What became of them, and the alerts that followed."""

    items: int
    copies: int
    repeated: int
    corrected: int
    rejected: int
    alerts: list[dict[str, Any]]


class MailConfig(BaseModel, extra="forbid", frozen=True):
    """Where alerts are mailed; the password is in the environment variable SMTP_PASSWORD."""

    host: str
    to: tuple[str, ...]
    sender: str
    port: int = 587
    user: str = ""
    starttls: bool = True


class Finance(Plugin):
    """Watch names in the news: sentiment, index, alerts, evidence."""

    name = "finance"

    class Config(BaseModel, extra="forbid", frozen=True):
        """The table ``[plugins.finance]``."""

        state: str = Field("finance-state", description="folder of the monitor")
        watchlist: str | None = Field(None, description="CSV with the columns ticker, names, sector, weight")
        model: str | None = Field(None, description="folder of a sentiment model of your own; else the bundled one")
        recipe: Recipe = Field(default_factory=Recipe, description="half-lives, source weights, prior")
        alert: Rule = Field(default_factory=Rule, description="thresholds, sources, cool-down")
        meaning: bool = Field(True, description="find copies by meaning too")
        organizations: bool = Field(True, description="propose names that nobody listed, for review")
        listen: int | None = Field(None, description=f"with --follow, take pushed news on this port; needs ${TOKEN}")
        console: bool = Field(True, description="write alerts to standard error")
        file: str | None = Field(None, description="append alerts to this file, as JSON lines")
        webhook: str | None = Field(None, description=f"post alerts here, signed with ${SECRET}")
        mail: MailConfig | None = Field(None, description="mail alerts")

    @task
    def score(self, request: ScoreRequest) -> ScoreResponse:
        """Score what a text says of each name: positive, neutral or negative, with probabilities and evidence."""
        found = self._model.score_texts([request.text], None if request.entities is None else [request.entities])[0]
        return ScoreResponse(results=[EntityScore.model_validate(one) for one in found])

    @task
    def push(self, request: PushRequest) -> PushResponse:
        """Take in news that another program brings; raise and send alerts."""
        with self._opened(request.state, sinks=self._sinks()) as monitor:
            taken = monitor.take(records(request.items, Reading(source="push")))
            monitor.deliver()
        return PushResponse.model_validate(_told(taken))

    @task
    def index(self, request: StateRequest) -> IndexResponse:
        """Show the sentiment index of every name and sector, and of the portfolio."""
        with self._opened(request.state) as monitor:
            whole, tail = monitor.portfolio()
            levels = {ticker: asdict(level) for ticker, level in monitor.levels().items()}
        return IndexResponse(levels=levels, portfolio=whole, tail=tail)

    @task
    def alerts(self, request: AlertsRequest) -> AlertsResponse:
        """List the alerts so far; acknowledge one by its number."""
        with self._opened(request.state) as monitor:
            if request.acknowledge is not None:
                monitor.acknowledge(request.acknowledge, request.by, note=request.note)
            return AlertsResponse(alerts=[alert.to_json() for alert in monitor.alerts(ticker=request.ticker)])

    @task
    def ask(self, request: AskRequest) -> AskResponse:
        """Answer a question from the evidence, with citations and dates."""
        from mmsdk_finance.ask import ask

        with self._opened(request.state) as monitor:
            return AskResponse.model_validate(ask(monitor, request.question).to_json())

    def pages(self) -> Mapping[str, Any]:
        """Give the dashboard of the monitor in the folder of the settings."""
        try:
            from mmsdk_finance.dashboard import dashboard
        except ModuleNotFoundError as error:
            raise MissingDependencyError("starlette", "finance") from error
        return {"dashboard": dashboard(self._opened)}

    def commands(self) -> Mapping[str, Callable[..., Any]]:
        """Give the commands that run long or write files."""
        return {
            "monitor": self._monitor,
            "report": self._report,
            "export": self._export,
            "backtest": self._backtest,
            "train": train,
        }

    def _monitor(
        self,
        sources: Annotated[list[str], typer.Argument(help="Files, folders, addresses of feeds, - for standard input.")],
        *,
        state: Folder = None,
        watchlist: Annotated[str | None, typer.Option(help="CSV: ticker, names, sector, weight.")] = None,
        replay: Annotated[float | None, typer.Option(help="Replay by date, so many times as fast; 0: at once.")] = None,
        follow: Annotated[bool, typer.Option(help="Go on looking for news until interrupted.")] = False,
        columns: Annotated[str, typer.Option(help="Fields by column, such as text=headline,event=date.")] = "",
    ) -> dict[str, Any]:
        """Take in news, keep the index, raise and send alerts."""
        reading = Reading(_columns(columns), replay=replay is not None, settings=self.runtime.settings)
        speed = None if replay is None else replay or float("inf")
        with self._opened(state, watchlist, sinks=self._sinks()) as monitor:
            if not follow:
                return _told(monitor.run(*sources, reading=reading, speed=speed))
            total = Taken()
            with self._listening(monitor):
                try:
                    for taken in monitor.follow(Follower(sources, reading)):
                        _add(total, taken)
                except KeyboardInterrupt:
                    pass
            return _told(total)

    def _report(self, *, out: Out, state: Folder = None) -> dict[str, str]:
        """Write a self-contained HTML report with charts, alerts and evidence."""
        from mmsdk_finance.report import write_report

        with self._opened(state) as monitor:
            return {"report": str(write_report(monitor, out))}

    def _export(self, *, out: Out, state: Folder = None) -> Any:
        """Write every vote with its item, score and model."""
        from mmsdk_finance.export import export

        with self._opened(state) as monitor:
            return {"file": out, "rows": export(monitor.state, out)}

    def _backtest(
        self,
        prices: Annotated[list[str], typer.Argument(help="CSV files with Date and Close, one a ticker by its name.")],
        *,
        state: Folder = None,
        horizon: Annotated[int, typer.Option(min=1, help="Trading days a position is held.")] = 1,
        cost: Annotated[float, typer.Option(min=0, help="What a turned-over unit costs.")] = 0.0005,
    ) -> dict[str, Any]:
        """Try what the monitor has seen on daily prices; says plainly when there is no effect."""
        from mmsdk_finance.backtest import Plan, Prices, backtest

        with self._opened(state) as monitor:
            votes = monitor.state.rows("SELECT ticker, at, value FROM votes ORDER BY at")
        signals = ((vote["ticker"], vote["at"], vote["value"]) for vote in votes)
        return asdict(backtest(signals, Prices.read(prices), plan=Plan(horizon=horizon, cost=cost)))

    def _opened(
        self, state: str | Path | None = None, watchlist: str | None = None, *, sinks: tuple[Sink, ...] = ()
    ) -> SentimentMonitor:
        config = self.config
        options = Options(config.recipe, config.alert, meaning=config.meaning, organizations=config.organizations)
        listed = watchlist or config.watchlist
        folder = Path(state or config.state)
        return SentimentMonitor(folder, listed, scorer=self._model, sinks=sinks, options=options, runtime=self.runtime)

    @cached_property
    def _model(self) -> "SentimentModel":
        from mmsdk_finance.sentiment import SentimentModel

        return SentimentModel(self.config.model, settings=self.runtime.settings)

    def _sinks(self) -> tuple[Sink, ...]:
        config = self.config
        sinks: list[Sink] = [Console()] if config.console else []
        if config.file:
            sinks.append(File(Path(config.file)))
        if config.webhook:
            sinks.append(Webhook(config.webhook, os.environ.get(SECRET, "")))
        if config.mail:
            sinks.append(Mail(**config.mail.model_dump()))
        return tuple(sinks)

    def _listening(self, monitor: SentimentMonitor) -> AbstractContextManager[object]:
        from mmsdk_finance.push import Listener

        port = self.config.listen
        return nullcontext() if port is None else Listener(monitor, os.environ.get(TOKEN, ""), port=port)


def train(
    data: Annotated[Path, typer.Argument(help="CSV with the columns text, entity, label.")],
    *,
    out: Annotated[Path, typer.Option(help="Folder for the model.")],
    folds: Annotated[int, typer.Option(min=2, help="Folds for the figures and the calibration.")] = 5,
    reader: Annotated[bool, typer.Option(help="Train the adapters of the encoder too; slow without a GPU.")] = True,
    start: Annotated[str, typer.Option(help="'bundled' or a model's folder: go on from its readers.")] = "",
) -> dict[str, Any]:
    """Train the sentiment model on your own labels, and give its held-out figures."""
    from mmsdk.settings import Settings
    from mmsdk_finance.fitting import Plan
    from mmsdk_finance.train import train as trained

    settings = Settings.load()
    plan = Plan(start=start) if reader else None
    return dict(trained(data, out, plan=plan, folds=folds, settings=settings)["held_out"])


def _columns(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",") if pair]
    if any(not column for _, _, column in pairs):
        raise InputError(f"--columns must look like text=headline,event=date, not {text!r}")
    return {field: column for field, _, column in pairs}


def _add(total: Taken, taken: Taken) -> None:
    for key, value in vars(taken).items():
        setattr(total, key, getattr(total, key) + value)


def _told(taken: Taken) -> dict[str, Any]:
    shown: list[Alert] = taken.alerts
    return {**vars(taken), "alerts": [alert.to_json() for alert in shown]}
