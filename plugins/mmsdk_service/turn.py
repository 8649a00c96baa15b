"""One message on its way to a reply: triggers, then the flow it belongs to, then approved replies and documents."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, TypeVar

from mmsdk import Message, lexicon
from mmsdk.types import Query
from mmsdk_service.flows import CORRECTION, Flow, Move, Standing, refusal
from mmsdk_service.handover import packed
from mmsdk_service.knowledge import Found, is_answerable, reply_in
from mmsdk_service.meaning import Meaning, followed_up, meanings
from mmsdk_service.parts import Parts
from mmsdk_service.reply import Origin, Piece, Reply, Status, joined
from mmsdk_service.senses import Perceived, product_name
from mmsdk_service.state import Memory
from mmsdk_service.wording import language_of, masked, phrase, says, triggered

T = TypeVar("T")
LONGEST = 4000
"""Characters of a message; longer ones are not read."""


class Turn:
    """Hold one message of a session and find the reply to it."""

    def __init__(self, agent: Parts, session: str, memory: Memory, *, customer: str, vip: bool) -> None:
        self.agent, self.session, self.memory, self.customer = agent, session, memory, customer
        self.vip = vip or customer in agent.playbook.vip
        self.pieces: list[Piece] = []
        self.found: list[Meaning] = []
        self.answers: list[Found] = []
        self.action: dict[str, Any] | None = None
        self.status: Status = "answered"
        self.reason = ""
        self.number: int | None = None
        self.confidence = 1.0
        self.seconds: dict[str, float] = {}
        self.language = language_of("")

    def reply(self, said: Perceived) -> Reply:
        """Find the reply to what was perceived, and keep both."""
        started = time.perf_counter()
        self.said = said
        self.masked = masked(said.text)
        self.language = self._language(said.text)
        self._decide(said)
        self.memory.language = self.language
        self.seconds["total"] = time.perf_counter() - started
        reply = self._made()
        self._keep(reply)
        return reply

    def _decide(self, said: Perceived) -> None:
        held = self.agent.queue.open(self.session)
        if held is not None and self._waits(held, said.text):
            return
        if self.memory.returned:
            self.memory.returned = False
            self._system("back")
        reason = self._urgent(said.text)
        if reason:
            self._hand_over(reason)
        elif said.unread or (not said.text and not said.product and not said.read):
            self.status = "unsure"
            self._system("unread" if said.unread else "empty")
        elif len(said.text) > LONGEST:
            self.status = "unsure"
            self._system("long")
        else:
            self._answer(said)

    def _answer(self, said: Perceived) -> None:
        if said.critical:
            self._system("heard", entities=", ".join(said.critical))
        if said.product is not None:
            self._system("seen", product=product_name(said.product))
        for line in (said.read, said.text):
            self._remember(line)
        if self.memory.flow is not None and self.memory.flow["flow"] not in self.agent.engine.flows:
            self.memory.flow = self.memory.paused = None  # the company has taken it out of its playbook
        if self.memory.flow is not None and self._flows_on(" ".join(filter(None, (said.text, said.read)))):
            return
        if self.memory.choices and self._chosen(said.text):
            return
        if not self._small_talk(self.said.text):
            self._understand(self.said)
        if self.memory.flow is not None and self.status != "handover":
            asked = self.agent.engine.question(Standing(**self.memory.flow), self.language)
            self.pieces = [piece for piece in self.pieces if piece.text != asked]  # it is asked last
            self._say(asked, "flow")

    # Who answers.

    def _waits(self, held: dict[str, Any], text: str) -> bool:
        """Leave the thread to people, unless it waits still and the customer calls it off."""
        self.number, self.reason = int(held["number"]), str(held["reason"])
        if held["person"]:
            self.status = "held"
            return True
        if says("stop", text):
            self.agent.queue.close(self.session, "called off by the customer")
            self.memory.rest()
            self.number, self.reason, self.status = None, "", "small_talk"
            self._system("cancelled")
            return True
        self.status = "queued"
        self._system("queued")
        return True

    def _urgent(self, text: str) -> str:
        found = triggered(text)
        if found == "request" or found in self.agent.options.triggers:
            return found
        return "vip" if self.vip else "language" if self.language == "other" else ""

    def _hand_over(self, reason: str) -> None:
        self.status, self.reason = "handover", reason
        if reason in ("safety", "medical"):
            self._system("emergency")
        self._system("handover")
        self.number = self.agent.queue.add(self.session, reason, self._packet(reason))
        self.memory.rest()

    def _packet(self, reason: str) -> dict[str, Any]:
        about = {
            "reason": reason,
            "customer": self.customer,
            "vip": self.vip,
            "language": self.language,
            "intent": next((m.intent for m in self.found if m.intent), "") or self.memory.intent,
            "slots": dict(self.memory.slots),
        }
        return packed(self.agent.state.turns(self.session, last=50), self.masked, action=self.action, about=about)

    # Flows and choices.

    def _remember(self, text: str) -> None:
        """Keep what a text holds of any flow's slots, such as the order number on a receipt."""
        for flow in self.agent.engine.flows.values():
            for slot in flow.slots:
                value = slot.found(text)
                if value and not slot.pattern.startswith((r"\d+", r"\d{1,")):
                    self.memory.slots[slot.name] = value

    def _flows_on(self, text: str) -> bool:
        """Take the flow further; give False when the message was about something else."""
        standing = Standing(**(self.memory.flow or {}))
        if self._elsewhere(standing, text):
            return False
        move = self.agent.engine.go_on(standing, text, language=self.language, customer=self.customer)
        if move.understood:
            self._moved(move)
        elif move.standing is None:
            self.memory.flow = self.memory.paused = None
            self._say(move.text, "system")
            self.said = replace(self.said, text=refusal(self.said.text))
        return move.understood

    def _elsewhere(self, standing: Standing, text: str) -> bool:
        """Tell whether a message asks for another procedure, though it may hold a value that this one waits for."""
        if len(text) < 12 or CORRECTION.search(text):
            return False
        found = meanings(text, self.agent.classifier, dial=self.agent.options.dial)
        others = [self.agent.engine.starting(one.intent) for one in found if one.familiar]
        return any(flow is not None and flow.name != standing.flow for flow in others)

    def _pause(self, flow: Flow) -> None:
        """Keep the flow that is open for after one that only tells; one with effects takes its place."""
        before, engine = self.memory.flow, self.agent.engine
        is_other = before is not None and before["flow"] != flow.name
        self.memory.paused = before if is_other and not engine.toolbox.tool(flow.tool).effects else None

    def _resume(self) -> None:
        """Go on with the flow that was open before, with what is known by now."""
        paused, self.memory.paused = self.memory.paused, None
        if paused is not None and paused["flow"] in self.agent.engine.flows:
            self._begin(self.agent.engine.flows[paused["flow"]], "", known=self.memory.slots | paused["slots"])

    def _begin(self, flow: Flow, text: str, *, known: Mapping[str, str]) -> None:
        begin = self.agent.engine.begin
        self._moved(begin(flow, text, language=self.language, customer=self.customer, known=known))

    def _moved(self, move: Move) -> None:
        self.status = "flow"
        self.memory.flow = None if move.standing is None else asdict(move.standing)
        if move.standing is not None:
            self.memory.slots |= move.standing.slots
            if self.action is None or "tool" not in self.action:
                self.action = {"flow": move.standing.flow, "step": move.standing.step, "waits_for": move.standing.asked}
        self.action = move.action or self.action
        if move.failed:
            if move.action is not None:
                self._say(move.text, "system")
            self._hand_over("tool" if move.action is not None else "flow")
        else:
            cancelled = move.standing is None and move.action is None
            self._say(move.text, "system" if cancelled else "flow")
            self.memory.unsure = 0
            if cancelled:
                self.memory.paused = None
            elif move.standing is None:
                self._resume()

    def _chosen(self, text: str) -> bool:
        """Take the answer to a clarifying question; False when it is none."""
        first, second = self.memory.choices
        plain = text.casefold().strip(" .!。！")
        titles = [self.agent.playbook.title(one, self.language).casefold() for one in (first, second)]
        if plain in ("1", "first", "the first", "the first one", "第一个", "前者", titles[0]):
            chosen = first
        elif plain in ("2", "second", "the second", "the second one", "第二个", "后者", titles[1]):
            chosen = second
        else:
            ranked = dict(meanings(text, self.agent.classifier, dial=0)[0].intents)
            sure = {one: ranked.get(one, 0.0) for one in (first, second)}
            chosen = max(sure, key=lambda one: sure[one])
            if sure[chosen] < 0.5:
                self.memory.choices = []
                return False
        asked, self.memory.choices = self.memory.question, []
        meaning = Meaning(asked or text, ((chosen, 1.0),), 0.0, "sure")
        self.found = [meaning]
        self._handle(meaning, asked or text)
        return True

    def _small_talk(self, text: str) -> bool:
        for kind in ("hello", "thanks", "bye"):
            if says(kind, text):
                self.status = "small_talk"
                self._system(kind)
                return True
        return False

    # Meaning and documents.

    def _understand(self, said: Perceived) -> None:
        agent, text = self.agent, said.text or said.read
        self.found = self._timed("understand", lambda: meanings(text, agent.classifier, dial=agent.options.dial))
        missed: list[Meaning] = []
        met: set[str] = set()
        for meaning in self.found:
            if meaning.intent in met and not is_answerable(meaning.text):
                continue  # "Where is it?" behind what it is about
            met.add(meaning.intent)
            if not self._handle(meaning, text if len(self.found) == 1 else meaning.text):
                missed.append(meaning)
            if self.status == "handover":
                return
        is_met = len(missed) < len(self.found)
        for meaning in [one for one in missed if one.asks and is_answerable(one.text)] if is_met else missed[:1]:
            self._give_up(meaning, is_met=is_met)

    def _handle(self, meaning: Meaning, text: str) -> bool:
        """Answer one part: documents come first for what is not clearly like the examples; False without an answer."""
        question = meaning.question or meaning
        may_act = not (question.prices and self.agent.engine.acts(question.intent))
        if meaning.familiar and may_act and self._by_intent(meaning, text):
            return True
        if meaning.torn and all(self._has_reply(name) for name, _ in meaning.intents[:2]):
            self._clarify(meaning, text)
            return True
        followed = followed_up(text, [str(one.content) for one in self._history() if one.role == "user"])
        for asked in dict.fromkeys(filter(None, [followed, text, question.text if meaning.question else ""])):
            found = self._look_up(asked)
            if found is not None and found.known:
                self._quote(found, meaning)
                return True
        if question.requests and may_act and self._by_intent(question, text):
            return True
        if question.verdict == "close" and any(self._has_reply(name) for name, _ in question.intents[:2]):
            self._clarify(question, text)
            return True
        return False

    def _by_intent(self, meaning: Meaning, text: str) -> bool:
        """Start the flow of an intent or give its approved reply; False when it has neither."""
        flow = self.agent.engine.starting(meaning.intent)
        approved = self.agent.playbook.approved.get(meaning.intent, {})
        if flow is not None:
            self._pause(flow)
            self._begin(flow, f"{text} {self.said.read}", known=self.memory.slots)
        elif approved:
            self._say(approved.get(self.language) or approved.get("en") or next(iter(approved.values())), "approved")
        self._sure(meaning)
        return flow is not None or bool(approved)

    def _has_reply(self, intent: str) -> bool:
        return intent in self.agent.playbook.approved or self.agent.engine.starting(intent) is not None

    def _clarify(self, meaning: Meaning, text: str) -> None:
        self.status = "clarify"
        self.memory.choices = [name for name, _ in meaning.intents[:2]]
        self.memory.question = masked(text)
        first, second = (self.agent.playbook.title(name, self.language) for name in self.memory.choices)
        self._system("which", first=first, second=second)
        self.confidence = min(self.confidence, meaning.intents[0][1])

    def _look_up(self, text: str) -> Found | None:
        found = self._timed("answer", lambda: self._found(masked(text)))
        if found is not None:
            self.answers.append(found)
            spent: Any = found.answer.trace.get("seconds") or {}
            self.seconds["retrieve"] = self.seconds.get("retrieve", 0.0) + spent.get("retrieve", 0.0)
        return found

    def _quote(self, found: Found, meaning: Meaning) -> None:
        for citation in found.answer.citations:
            said = found.answer.text[citation.start : citation.stop]
            self._say(reply_in(said), "source" if said == citation.quote else "rephrased", citation=citation)
        if found.stale:
            self._system("stale", date=found.stale)
        self.confidence = min(self.confidence, found.confidence)
        self._sure(meaning)

    def _give_up(self, meaning: Meaning, *, is_met: bool) -> None:
        """Say that nothing answers; the second message in a row, of which nothing ``is_met``, goes to people."""
        self.confidence = min((one.confidence for one in self.answers if not one.known), default=0.0)
        self.memory.unsure = 0 if is_met else self.memory.unsure + 1
        if self.memory.unsure >= self.agent.options.patience:
            self._hand_over("unsure")
        elif self.status != "unsure":
            self.status = "unsure"
            self._system("outside" if meaning.verdict == "outside" else "absent")

    def _found(self, question: str) -> Found | None:
        knowledge = self.agent.knowledge
        if knowledge is None or not is_answerable(question):
            return None
        asked: Query = [question, *self.said.images] if self.said.images and question else question
        found = knowledge.answer(asked, language=self.language, history=self._history())
        own = set(lexicon.content(question))
        leant = found.known and found.answer.trace.get("question") != question and own
        if leant and not own.intersection(lexicon.content(found.answer.text)):  # it says something of the topic alone
            alone = knowledge.answer(asked, language=self.language)
            if alone.known and own.intersection(lexicon.content(alone.answer.text)):
                return alone
        return found

    def _history(self) -> Sequence[Message]:
        turns = self.agent.state.turns(self.session, last=8)
        roles = {"customer": "user", "agent": "assistant"}
        return [Message(roles[t["role"]], t["text"]) for t in turns if t["role"] in roles and t["text"]]  # type: ignore[arg-type]

    def _sure(self, meaning: Meaning) -> None:
        self.memory.unsure = 0
        self.memory.intent = meaning.intent or self.memory.intent

    # Words.

    def _language(self, text: str) -> Any:
        """Tell the language; a message without words keeps that of the session."""
        words = re.sub(r"\S*\d\S*", " ", text).strip()
        if self.memory.language and (len(words) < 3 or says("yes", text) or says("no", text) or says("stop", text)):
            return self.memory.language
        return language_of(words or text)

    def _system(self, name: str, **values: str) -> None:
        self._say(phrase(name, self.language, self.agent.playbook.phrases, **values), "system")

    def _say(self, text: str, origin: Origin, *, citation: Any = None) -> None:
        if text:
            self.pieces.append(Piece(text, origin, citation))

    def _timed(self, name: str, step: Callable[[], T]) -> T:
        started = time.perf_counter()
        made = step()
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started
        return made

    def _made(self) -> Reply:
        said = self.said
        product = product_name(said.product) if said.product is not None else ""
        hits = [hit.to_json() for found in self.answers for hit in found.answer.hits]
        stale = next((found.stale for found in self.answers if found.stale), "")
        return Reply(
            *(joined(self.pieces), self.status, self.session, self.language, self.action),
            intents=[meaning.to_json() for meaning in self.found],
            pieces=tuple(self.pieces),
            slots=dict(self.memory.slots),
            handover=self.number,
            reason=self.reason,
            confidence=round(self.confidence if self.status not in ("handover", "held", "queued") else 0.0, 4),
            heard=said.heard,
            read_back=said.critical,
            product=product,
            stale=stale,
            hits=hits,
            seconds={name: round(value, 4) for name, value in self.seconds.items()},
        )

    def _keep(self, reply: Reply) -> None:
        detail = {"intents": [{**one, "text": masked(one["text"])} for one in reply.intents]}
        about = {name: getattr(reply, name) for name in ("status", "reason", "confidence", "seconds", "language")}
        turns = [("customer", self.masked or masked(self.said.read), detail | about)]
        if reply.reply:
            turns.append(("agent", masked(reply.reply), {"status": reply.status, "action": reply.action}))
        self.agent.state.note(self.session, turns, replace(self.memory))
