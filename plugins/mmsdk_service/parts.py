"""What an agent is made of, as a turn of a conversation uses it, and how it is to behave."""

from dataclasses import dataclass, field

from mmsdk.protocols import LLM
from mmsdk.types import Filter
from mmsdk_service.flows import Engine
from mmsdk_service.handover import Desk, Queue
from mmsdk_service.intents import IntentClassifier
from mmsdk_service.knowledge import Knowledge
from mmsdk_service.playbook import Playbook
from mmsdk_service.state import State
from mmsdk_service.tools import Tool
from mmsdk_service.wording import REASONS


@dataclass(frozen=True)
class Options:
    """Say how an agent behaves.

    ``dial`` in [0, 1] goes from answering more to handing over more. Of ``triggers`` each hands over at once (a request
    for a person always does). After ``patience`` messages in a row without an answer people take over. With an ``llm``
    answers are phrased by it and checked; without, documents are quoted. ``where`` limits the documents, ``tools`` are
    what flows may run. Sessions that
    were silent for ``days`` are deleted; documents older than ``stale_days`` are marked.
    """

    dial: float = 0.5
    triggers: frozenset[str] = frozenset(REASONS)
    patience: int = 2
    llm: LLM | None = None
    where: Filter | None = None
    days: float = 90.0
    stale_days: float | None = None
    tools: tuple[Tool, ...] = ()
    desk: Desk = field(default_factory=Desk)

    def __post_init__(self) -> None:
        if not 0 <= self.dial <= 1:
            raise ValueError(f"dial is in [0, 1], not {self.dial}")
        unknown = self.triggers - set(REASONS)
        if unknown:
            raise ValueError(f"triggers are of {', '.join(REASONS)}, not {', '.join(sorted(unknown))}")


@dataclass(frozen=True)
class Parts:
    """Hold what a turn needs: how to behave, the company's words, flows, meaning, documents, memory, people."""

    options: Options
    playbook: Playbook
    engine: Engine
    classifier: IntentClassifier | None
    knowledge: Knowledge | None
    state: State
    queue: Queue
