"""The plugin: what ``mmsdk service`` and ``App().run("service...")`` can do, a few lines each over the parts."""

import base64
import binascii
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from pydantic import BaseModel, Field, JsonValue

from mmsdk import Plugin, load, task
from mmsdk.errors import InputError, SettingsError
from mmsdk.types import Content
from mmsdk_service.handover import MINUTES, Desk, Queue, Webhook
from mmsdk_service.state import State
from mmsdk_service.tools import Tool

if TYPE_CHECKING:
    from mmsdk_service.agent import ServiceAgent

SECRET = "SERVICE_WEBHOOK_SECRET"  # noqa: S105  the name of the environment variable
"""The environment variable that holds what webhooks are signed with."""
CALLER: dict[str, JsonValue] = {"caller": True}
"""Marks what the calling program says, never a language model: see ``mmsdk.plugin.Task.offered``."""
Knowledge = Annotated[str | None, typer.Option(help="Folder of the collection; else the setting's.")]
Intents = Annotated[str | None, typer.Option(help="Trained intents or a file of examples; else the setting's.")]
Book = Annotated[str | None, typer.Option("--playbook", help="YAML of replies and flows; else the setting's.")]
Folder = Annotated[str | None, typer.Option("--state", help="Folder of the sessions; else the setting's.")]
Who = Annotated[str, typer.Option("--by", help="Who does it.")]


class ReplyRequest(BaseModel, extra="forbid"):
    """A message of a customer."""

    message: str = Field("", description="what the customer writes")
    session: str | None = Field(None, description="the conversation; without it a new one begins")
    customer: str = Field("", description="who is logged in, as the caller knows them", json_schema_extra=CALLER)
    vip: bool = Field(False, description="whether people serve this customer", json_schema_extra=CALLER)
    image: str | None = Field(None, description="a picture, in base64")
    audio: str | None = Field(None, description="a recording, in base64")


class ReplyResponse(BaseModel):
    """What is said, and apart from it what was done; citations point into the reply's sources."""

    reply: str
    action: dict[str, Any] | None
    status: str
    session: str
    language: str
    intents: list[dict[str, Any]]
    confidence: float
    sentences: list[dict[str, Any]]
    citations: list[dict[str, Any]]
    slots: dict[str, str]
    handover: int | None
    reason: str
    heard: str
    read_back: list[str]
    product: str
    stale: str
    hits: list[dict[str, Any]]
    seconds: dict[str, float]


class Service(Plugin):
    """Answer customers from documents, run flows, hand over to people."""

    name = "service"

    class Config(BaseModel, extra="forbid", frozen=True):
        """The table ``[plugins.service]``."""

        knowledge: str | None = Field(None, description="folder of the collection of documents")
        intents: str | None = Field(None, description="trained intents (.safetensors), or a file of examples")
        playbook: str | None = Field(None, description="YAML file of approved replies, flows, VIPs, allowed links")
        tools: str | None = Field(None, description="what flows may run: module:NAME of a sequence of Tool")
        state: str = Field("service-state", description="folder of the sessions and the queue")
        dial: float = Field(0.5, ge=0, le=1, description="from answering more, 0, to handing over more, 1")
        rephrase: bool = Field(False, description="let the LLM phrase answers, each checked against its source")
        patience: int = Field(2, ge=1, description="after so many messages without an answer people take over")
        days: float = Field(90, gt=0, description="sessions that were silent for longer are deleted")
        stale_days: float | None = Field(None, gt=0, description="documents older than this are marked")
        minutes: dict[str, float] = Field(default_factory=dict, description="to take a hand-over in, by its reason")
        embed: tuple[str, ...] = Field((), description="origins of sites that may show the chat in a frame")
        webhook: str | None = Field(None, description=f"hand-overs are posted here, signed with ${SECRET}")

    def __init__(self, runtime: Any, config: Any) -> None:
        super().__init__(runtime, config)
        self._agent: ServiceAgent | None = None
        self._lock = Lock()

    @property
    def agent(self) -> "ServiceAgent":
        """The agent of the settings, built on first use."""
        with self._lock:
            if self._agent is None:
                self._agent = self._built()
            return self._agent

    @task
    def reply(self, request: ReplyRequest) -> ReplyResponse:
        """Reply to a customer's message; the reply and the action that was taken are separate fields."""
        pieces: list[Content] = [request.message] if request.message.strip() else []
        pieces += [_decoded(name, value) for name in ("image", "audio") if (value := getattr(request, name))]
        reply = self.agent.reply(
            pieces if len(pieces) != 1 else pieces[0],
            session=request.session,
            customer=request.customer,
            vip=request.vip,
        )
        return ReplyResponse.model_validate(reply.to_json())

    def pages(self) -> Mapping[str, Any]:
        """Give the chat to embed, the console of the people at the desk, and analytics."""
        try:
            from mmsdk_service import pages
        except ModuleNotFoundError:
            return {}  # without starlette there is nothing to serve them with

        embed = self.config.embed
        return {
            "chat": pages.chat(lambda: self.agent, embed=embed),
            "console": pages.console(lambda: self.agent),
            "analytics": pages.figures(lambda: self.agent),
        }

    def commands(self) -> Mapping[str, Callable[..., Any]]:
        """Give the commands that read files, talk, or are for the people at the desk."""
        return {
            "chat": self._chat,
            "train": train,
            "evaluate": self._evaluate,
            "handover": self._handover,
            "analytics": self._analytics,
            "export": self._export,
            "erase": self._erase,
            "expire": self._expire,
        }

    def _chat(
        self,
        *,
        knowledge: Knowledge = None,
        intents: Intents = None,
        playbook: Book = None,
        state: Folder = None,
        customer: Annotated[str, typer.Option(help="Who is logged in.")] = "",
    ) -> dict[str, Any]:
        """Talk to the agent, a line a message; an empty line ends."""
        agent, session = self._built(knowledge, intents, playbook, state=state), None
        turns: list[dict[str, Any]] = []
        while line := _asked():
            reply = agent.reply(line, session=session, customer=customer)
            session = reply.session
            turns.append({"message": line, "reply": reply.reply, "action": reply.action, "status": reply.status})
            _print(reply.reply)
            for piece in reply.pieces:
                if piece.citation is not None:
                    _print(f"  [{piece.citation.hit.chunk.source}, {piece.citation.locator}]")
            if reply.action is not None:
                _print(f"  action: {json.dumps(reply.action, ensure_ascii=False)}")
        agent.close()
        return {"session": session, "turns": turns}

    def _evaluate(
        self,
        file: Annotated[
            str, typer.Argument(help="CSV or JSONL of text and any of intent, source, answer, handover, session.")
        ],
        *,
        knowledge: Knowledge = None,
        intents: Intents = None,
        alarm: Annotated[float, typer.Option(min=0.001, max=0.5, help="False alarms that are accepted.")] = 0.05,
        out: Annotated[str | None, typer.Option(help="Write JSON; .html tries five places of the dial too.")] = None,
        baseline: Annotated[str | None, typer.Option(help="JSON of an earlier run; fail where it was better.")] = None,
    ) -> dict[str, Any]:
        """Measure the agent on your own messages, each figure with its 95 % interval."""
        from mmsdk_service import measuring

        rows = measuring.read_cases(file)
        with TemporaryDirectory() as folder, self._built(knowledge, intents, state=folder) as agent:

            def at(dial: float) -> list[measuring.Case]:
                return measuring.run(rows, lambda state: agent.copy(state, dial=dial))

            figures = measuring.measure(at(agent.options.dial), agent, alarm=alarm)
            done: dict[str, Any] = {"messages": len(rows), "figures": measuring.shown(figures)}
            if out is not None and Path(out).suffix == ".html":
                done["curve"] = [measuring.point(at(dial), dial) for dial in measuring.DIALS]
        if out is not None:
            _written(out, done)
        if baseline is not None:
            measuring.compare(figures, baseline)
        return done

    def _handover(
        self,
        action: Annotated[
            Literal["list", "show", "take", "say", "release", "deliver"], typer.Argument(help="What to do.")
        ] = "list",
        number: Annotated[int | None, typer.Argument(help="Which hand-over.")] = None,
        *,
        by: Who = "",
        text: Annotated[str, typer.Option(help="What to say to the customer, or the note when releasing.")] = "",
        state: Folder = None,
    ) -> Any:
        """List the threads that wait for people; take one, write in it, give it back to the agent."""
        with State(state or self.config.state, create=False) as opened:
            queue = Queue(opened, self._desk())
            if action == "list":
                return queue.waiting()
            if action == "deliver":
                return {"delivered": queue.deliver()}
            if number is None:
                raise InputError(f"name the hand-over to {action}: mmsdk service handover {action} NUMBER")
            if action == "show":
                return queue.get(number)
            if action == "take":
                return queue.take(number, by)
            if action == "say":
                queue.say(number, by, text)
                return {"said": text}
            return queue.release(number, by, note=text)

    def _analytics(
        self,
        *,
        out: Annotated[str | None, typer.Option(help="Write a page (.html) or JSON.")] = None,
        ratings: Annotated[str | None, typer.Option(help="Take in ratings: CSV of session and score.")] = None,
        state: Folder = None,
    ) -> dict[str, Any]:
        """Count what happened: containment, reasons, unanswered questions in clusters, latency, ratings, coverage."""
        from mmsdk_service import analytics

        with State(state or self.config.state, create=False) as opened:
            if ratings is not None:
                analytics.import_ratings(opened, ratings)
            encoder = next((one for one in self.runtime.encoders() if "text" in one.modalities), None)
            found = analytics.figures(opened, encoder=encoder)
        if out is not None and Path(out).suffix == ".html":
            analytics.page(found).write(out)
        elif out is not None:
            Path(out).write_text(json.dumps(found, indent=1, ensure_ascii=False), "utf-8")
        return found

    def _export(self, customer: str, *, state: Folder = None) -> dict[str, Any]:
        """Give everything that is kept of a customer."""
        with State(state or self.config.state, create=False) as opened:
            return opened.export(customer)

    def _erase(self, customer: str, *, state: Folder = None) -> dict[str, int]:
        """Delete everything that is kept of a customer."""
        with State(state or self.config.state, create=False) as opened:
            return {"sessions": opened.erase(customer)}

    def _expire(
        self,
        *,
        days: Annotated[float | None, typer.Option(min=0, help="Silent for longer; else the setting's.")] = None,
        state: Folder = None,
    ) -> dict[str, int]:
        """Delete sessions that were silent for long; replies do it too, at most once an hour."""
        with State(state or self.config.state, create=False) as opened:
            return {"sessions": opened.expire(self.config.days if days is None else days)}

    def _built(
        self,
        knowledge: str | None = None,
        intents: str | None = None,
        playbook: str | None = None,
        *,
        state: str | None = None,
    ) -> "ServiceAgent":
        from mmsdk_service.agent import ServiceAgent
        from mmsdk_service.parts import Options

        config = self.config
        options = Options(
            dial=config.dial,
            patience=config.patience,
            llm=self.runtime.llm() if config.rephrase else None,
            days=config.days,
            stale_days=config.stale_days,
            tools=_tools(config.tools),
            desk=self._desk(),
        )
        return ServiceAgent(
            *(knowledge or config.knowledge, intents or config.intents),
            playbook=playbook or config.playbook,
            state=state or config.state,
            options=options,
            runtime=self.runtime,
        )

    def _desk(self) -> Desk:
        config, hook = self.config, None
        if config.webhook:
            if not os.environ.get(SECRET):
                raise SettingsError(f"[plugins.service] webhook is set; set the environment variable {SECRET} too")
            hook = Webhook(config.webhook, os.environ[SECRET])
        return Desk({**MINUTES, **config.minutes}, hook)


def train(
    file: Annotated[str, typer.Argument(help="Examples: CSV or JSONL with text and intent, or YAML of lists.")],
    *,
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("intents.safetensors"),
) -> dict[str, Any]:
    """Train intents on your examples; says how well it does on examples it has not seen."""
    import time

    from mmsdk_service.examples import read_examples
    from mmsdk_service.intents import IntentClassifier

    texts, labels = read_examples(file)
    started = time.perf_counter()
    model = IntentClassifier().fit(texts, labels)
    model.save(out)
    held = {"accuracy": round(model.unseen_accuracy_, 4), "by": "leaving each example out"}
    seconds = round(time.perf_counter() - started, 2)
    return {
        "file": str(out),
        "examples": len(texts),
        "intents": len(model.classes_),
        "held_out": held,
        "seconds": seconds,
    }


def _tools(name: str | None) -> tuple[Tool, ...]:
    if name is None:
        return ()
    module, _, attribute = name.partition(":")
    try:
        found: Sequence[Tool] = getattr(import_module(module), attribute)
        tools = tuple(found)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise SettingsError(f"[plugins.service] tools = {name!r} must be module:NAME of a sequence: {error}") from error
    if not all(isinstance(one, Tool) for one in tools):
        raise SettingsError(f"[plugins.service] tools = {name!r} holds something else than mmsdk_service.Tool")
    return tools


def _decoded(name: str, value: str) -> Content:
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{name} is not base64: {error}") from error
    return load(data)


def _written(out: str, done: Mapping[str, Any]) -> None:
    if Path(out).suffix != ".html":
        Path(out).write_text(json.dumps(done, indent=1, ensure_ascii=False), "utf-8")
        return
    from mmsdk_service.analytics import evaluation_page

    evaluation_page(done).write(out)


def _asked() -> str:
    if sys.stdin.isatty():
        sys.stderr.write("> ")
        sys.stderr.flush()
    return sys.stdin.readline().strip()


def _print(text: str) -> None:
    sys.stderr.write(f"{text}\n")
