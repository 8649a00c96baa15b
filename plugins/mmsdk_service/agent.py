"""The agent: a company's documents, intents, flows and tools; messages in, replies out, with people behind it."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmsdk import Collection, Runtime
from mmsdk.protocols import Closing, Retriever
from mmsdk.types import Query
from mmsdk_service.examples import read_examples
from mmsdk_service.flows import Engine
from mmsdk_service.handover import Desk, Queue
from mmsdk_service.intents import IntentClassifier
from mmsdk_service.knowledge import Knowledge, Screened
from mmsdk_service.parts import Options, Parts
from mmsdk_service.playbook import Playbook
from mmsdk_service.reply import Reply
from mmsdk_service.senses import Senses
from mmsdk_service.state import State
from mmsdk_service.tools import Toolbox
from mmsdk_service.turn import Turn

TIDY = 3600.0
"""Seconds after which a reply looks for sessions that have expired."""


class ServiceAgent(Closing):
    """Answer customers from documents and approved replies, run flows, and hand over to people.

    ``knowledge`` is a collection, any retriever, the folder of a collection, or None. ``intents`` is a fitted
    classifier, a file that ``save`` wrote, a file of examples, or a mapping of intents to phrases. ``playbook`` is the
    company's words and flows, ``state`` the folder that remembers. Raises ``InputError``.

    >>> import tempfile
    >>> with Collection.open("shop", create=True) as shop:
    ...     ids = shop.add_texts(["Returns are free within 30 days."])
    ...     with ServiceAgent(shop, state=tempfile.mkdtemp()) as agent:
    ...         reply = agent.reply("Are returns free?")
    >>> reply.reply, reply.action, reply.pieces[0].origin
    ('Returns are free within 30 days.', None, 'source')
    """

    def __init__(
        self,
        knowledge: Retriever | str | Path | None,
        intents: IntentClassifier | Mapping[str, Sequence[str]] | str | Path | None = None,
        *,
        playbook: Playbook | str | Path | None = None,
        state: str | Path = "service-state",
        options: Options | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        self.options = options or Options()
        self.runtime = runtime or Runtime()
        self.playbook = (
            playbook if isinstance(playbook, Playbook) else Playbook.read(playbook) if playbook else Playbook()
        )
        self.engine = Engine(self.playbook.flows, Toolbox(self.options.tools), phrases=self.playbook.phrases)
        self.classifier = _classifier(intents)
        retriever = self.runtime.collection(knowledge) if isinstance(knowledge, str | Path) else knowledge
        self.collection = retriever
        self.knowledge = None if retriever is None else self._knowledge(retriever)
        self.senses = Senses(self.runtime, retriever if isinstance(retriever, Collection) else None)
        self.state = State(state)
        self.queue = Queue(self.state, self.options.desk)
        self._parts = Parts(
            self.options, self.playbook, self.engine, self.classifier, self.knowledge, self.state, self.queue
        )
        self._tidied = -TIDY
        self._locks = [threading.Lock() for _ in range(64)]

    def reply(self, message: Query, *, session: str | None = None, customer: str = "", vip: bool = False) -> Reply:
        """Reply to a message: text, a recording, a picture, or several of them at once.

        Without a session a new one begins; its name is in the reply. ``customer`` is who is logged in, as the caller
        knows them, never from text. Raises ``InputError`` for another customer's session.
        """
        if time.monotonic() - self._tidied > TIDY:
            self._tidied = time.monotonic()
            self.expire()
        name, _ = self.state.open(session, customer)
        with self._locks[hash(name) % len(self._locks)]:
            _, memory = self.state.open(name, customer)
            said = self.senses.perceive(message)
            return Turn(self._parts, name, memory, customer=customer, vip=vip).reply(said)

    def copy(self, state: str | Path, *, dial: float) -> "ServiceAgent":
        """Give the same agent with another memory and dial, that posts to nobody: for trying it out."""
        options = replace(self.options, dial=dial, desk=Desk(self.options.desk.minutes))
        parts: dict[str, Any] = {"playbook": self.playbook, "options": options, "runtime": self.runtime}
        return ServiceAgent(self.collection, self.classifier, state=state, **parts)

    def export(self, customer: str) -> dict[str, Any]:
        """Give everything that is kept of a customer, as JSON."""
        return self.state.export(customer)

    def erase(self, customer: str) -> int:
        """Delete everything that is kept of a customer; give the number of sessions."""
        return self.state.erase(customer)

    def expire(self) -> int:
        """Delete sessions that were silent for longer than the options' days; give how many; replies do so hourly."""
        return self.state.expire(self.options.days)

    def rate(self, session: str, score: float) -> None:
        """Keep how satisfied a customer was, from 1 to 5. Raises ``InputError``."""
        self.state.rate(session, score)

    def grounded(self, reply: Reply) -> bool:
        """Check anew that every sentence stands in its source, is approved, or is a phrase of the agent or a flow."""
        return all(
            (piece.origin == "source" and piece.citation is not None and piece.text in piece.citation.hit.chunk.text)
            or (
                piece.origin == "approved"
                and any(piece.text in one.values() for one in self.playbook.approved.values())
            )
            or piece.origin in ("system", "flow")
            for piece in reply.pieces
        )

    def close(self) -> None:
        """Close the state; calling it twice is fine. The collection stays open: it is the caller's or the runtime's."""
        self.state.close()

    def _knowledge(self, retriever: Retriever) -> Knowledge:
        options = self.options
        screened = Screened(retriever, self.playbook.links, options.where)
        settings, stale = self.runtime.settings, options.stale_days
        return Knowledge(screened, options.llm, settings=settings, dial=options.dial, stale_days=stale)


def _classifier(
    intents: IntentClassifier | Mapping[str, Sequence[str]] | str | Path | None,
) -> IntentClassifier | None:
    if intents is None or isinstance(intents, IntentClassifier):
        return intents
    if isinstance(intents, Mapping):
        pairs = [(phrase, name) for name, phrases in intents.items() for phrase in phrases]
        return IntentClassifier().fit([text for text, _ in pairs], [name for _, name in pairs])
    if Path(intents).suffix == ".safetensors":
        return IntentClassifier.load(intents)
    return IntentClassifier().fit(*read_examples(intents))
