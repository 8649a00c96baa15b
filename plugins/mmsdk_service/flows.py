"""Procedures that must not be improvised: ask for what is needed, check it, confirm, run one tool, say what came.

A flow is data and its course is deterministic. It takes a value only where the company's pattern matches, and lets
the customer correct a value, ask something else in between, or stop.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mmsdk import lexicon
from mmsdk_service.tools import Toolbox, ToolError
from mmsdk_service.wording import Language, Phrases, filled, phrase, says

Step = Literal["asking", "confirming"]
Text = Mapping[str, str]
"""A phrase by language: ``en`` and, if the company speaks it, ``zh``."""
CORRECTION = re.compile(
    r"\b(?:i meant|i mean|no|sorry|wrong|correction|actually|instead|should be|it's|it is|not)\b|错了|更正|改成|是",
    re.IGNORECASE,
)

_NO = re.compile(
    r"^\W*(?:no|nope|nah|don't|do not|不是?|不要|不用|别)(?:[,.;!，。！]+ *| +(?=i\b|please\b|wait\b))(?P<rest>\S.*)",
    re.IGNORECASE | re.DOTALL,
)
_WORDS = re.compile(
    r"^\W*(?:(?:for|by|just|only|about|maybe|it's|make it|another|yes)\W+)*(?P<word>[a-z]+)"
    r"(?: \w+)?(?: please)?\W*$",
    re.IGNORECASE,
)
_CHINESE = re.compile(
    r"^\W*(?:就|要|再|大概|延长)*(?=[一二两三四五六七八九十])(?P<tens>[一二三四五六七八九](?=十))?"
    r"(?P<ten>十)?(?P<units>[一二两三四五六七八九])?[\u4e00-\u9fff]{0,2}\W*$"
)


@dataclass(frozen=True)
class Slot:
    """Hold what a flow needs: a pattern that the value matches (case is ignored), and how to ask for it."""

    name: str
    pattern: str
    ask: Text
    invalid: Text = field(default_factory=dict)

    def found(self, text: str) -> str:
        """Give the last value in a text, empty when there is none; in capitals unless the pattern has small letters."""
        matches = list(re.finditer(rf"(?<![A-Za-z0-9])(?:{self.pattern})(?![A-Za-z0-9])", text, re.IGNORECASE))
        value = matches[-1].group() if matches else ""
        return value if re.search("[a-z]", re.sub(r"\\.|\(\?P?<\w+>", "", self.pattern)) else value.upper()


@dataclass(frozen=True)
class Flow:
    """Hold a procedure: the intents that start it, its slots, the tool, and what is said before and after."""

    name: str
    intents: tuple[str, ...]
    slots: tuple[Slot, ...]
    tool: str
    done: Text
    confirm: Text = field(default_factory=dict)


@dataclass
class Standing:
    """Hold where a customer stands in a flow; it is JSON in the session."""

    flow: str
    step: Step = "asking"
    slots: dict[str, str] = field(default_factory=dict)
    asked: str = ""
    tries: int = 0


@dataclass(frozen=True)
class Move:
    """Hold what a flow says and does next. ``understood`` is False when the message was about something else."""

    text: str
    standing: Standing | None
    action: dict[str, Any] | None = None
    failed: str = ""
    understood: bool = True


class Engine:
    """Take flows further, one message a time."""

    def __init__(self, flows: Sequence[Flow], toolbox: Toolbox, *, phrases: Phrases | None = None) -> None:
        self.flows = {flow.name: flow for flow in flows}
        self.toolbox = toolbox
        self.phrases = phrases
        for flow in flows:
            if toolbox.tool(flow.tool).effects and not flow.confirm:
                raise ValueError(f"flow {flow.name} runs {flow.tool}, which has effects, without a phrase to confirm")

    def starting(self, intent: str) -> Flow | None:
        """Give the flow that an intent starts."""
        return next((flow for flow in self.flows.values() if intent in flow.intents), None)

    def acts(self, intent: str) -> bool:
        """Tell whether the flow that an intent starts has effects."""
        flow = self.starting(intent)
        return flow is not None and self.toolbox.tool(flow.tool).effects

    def begin(self, flow: Flow, text: str, *, language: Language, customer: str, known: Mapping[str, str]) -> Move:
        """Start a flow with what the message and the session hold already."""
        slots = {slot.name: value for slot in flow.slots if (value := slot.found(text) or known.get(slot.name, ""))}
        return self._next(Standing(flow.name, slots=slots), language=language, customer=customer)

    def go_on(self, standing: Standing, text: str, *, language: Language, customer: str) -> Move:
        """Take a message within a flow."""
        flow = self.flows[standing.flow]
        if says("stop", text):
            return Move(phrase("cancelled", language, self.phrases), None)
        changed = self._corrected(flow, standing, text)
        if changed:
            return self._next(changed, language=language, customer=customer)
        if standing.step == "confirming":
            return self._confirmed(flow, standing, text, language=language, customer=customer)
        slot = next(slot for slot in flow.slots if slot.name == standing.asked)
        if _tries(text) and standing.tries < 2:
            said = _spoken(slot.invalid, language) or phrase("invalid", language, self.phrases)
            again = Standing(flow.name, "asking", standing.slots, standing.asked, standing.tries + 1)
            return Move(f"{said} {_spoken(slot.ask, language)}", again)
        failed = f"no valid {slot.name} after {standing.tries + 1} tries" if _tries(text) else ""
        return Move(self.question(standing, language), standing, failed=failed, understood=bool(failed))

    def question(self, standing: Standing, language: Language) -> str:
        """Give what the flow waits for, to be asked again after another topic."""
        flow = self.flows[standing.flow]
        if standing.step == "confirming":
            return filled(_spoken(flow.confirm, language), standing.slots)
        return next((_spoken(slot.ask, language) for slot in flow.slots if slot.name == standing.asked), "")

    def _corrected(self, flow: Flow, standing: Standing, text: str) -> Standing | None:
        """Give the standing with values that the message brings, None when it brings none."""
        slots = dict(standing.slots)
        for slot in flow.slots:
            value = slot.found(text) or (slot.found(spelt(text)) if slot.name == standing.asked else "")
            waited = slot.name == standing.asked or slot.name not in slots
            short = len(text) <= 2 * len(value) + 12
            if value and value != slots.get(slot.name) and (waited or short or CORRECTION.search(text)):
                slots[slot.name] = value
        return Standing(flow.name, slots=slots) if slots != standing.slots else None

    def _confirmed(self, flow: Flow, standing: Standing, text: str, *, language: Language, customer: str) -> Move:
        if says("yes", text):
            return self._run(flow, standing, language=language, customer=customer)
        if says("no", text):
            return Move(phrase("cancelled", language, self.phrases), None)
        if refusal(text):
            return Move(phrase("cancelled", language, self.phrases), None, understood=False)
        return Move(self.question(standing, language), standing, understood=False)

    def _next(self, standing: Standing, *, language: Language, customer: str) -> Move:
        flow = self.flows[standing.flow]
        missing = next((slot for slot in flow.slots if slot.name not in standing.slots), None)
        if missing is not None:
            return Move(_spoken(missing.ask, language), Standing(flow.name, "asking", standing.slots, missing.name))
        if flow.confirm:
            asked = filled(_spoken(flow.confirm, language), standing.slots)
            return Move(asked, Standing(flow.name, "confirming", standing.slots))
        return self._run(flow, standing, language=language, customer=customer)

    def _run(self, flow: Flow, standing: Standing, *, language: Language, customer: str) -> Move:
        action: dict[str, Any] = {"tool": flow.tool, "arguments": dict(standing.slots)}
        try:
            result = self.toolbox.run(flow.tool, standing.slots, customer=customer)
        except ToolError as error:
            return Move(phrase("failed", language, self.phrases), None, action | {"error": str(error)}, str(error))
        said = filled(_spoken(flow.done, language), {**standing.slots, **result})
        return Move(said, None, action | {"result": result})


def refusal(text: str) -> str:
    """Give what a message says behind a no, empty when it does not begin with one.

    >>> refusal("No, I want to move it instead"), refusal("Not sure yet")
    ('I want to move it instead', '')
    """
    match = _NO.match(text)
    return match["rest"].strip() if match else ""


def spelt(text: str) -> str:
    """Give in figures the number that a short reply says in words, empty when it is no such reply.

    >>> spelt("three days"), spelt("just two please"), spelt("十二天"), spelt("this one is red")
    ('3', '2', '12', '')
    """
    match = _WORDS.match(text)
    found = sorted(lexicon.numbers(match["word"])) if match else []
    if found or not (chinese := _CHINESE.match(text)):
        return found[0] if len(found) == 1 else ""
    tens, ten, units = chinese["tens"], chinese["ten"], chinese["units"]
    figures = {letter: place for place, letter in enumerate("零一二三四五六七八九")} | {"两": 2}
    return str((figures.get(tens, 1) * 10 if ten else 0) + figures.get(units, 0))


def _spoken(text: Text, language: Language) -> str:
    return text.get(language) or text.get("en") or next(iter(text.values()), "")


def _tries(text: str) -> bool:
    """Tell whether a message looks like an attempt at a value: short and with a figure in it."""
    return len(text) <= 40 and any(letter.isdigit() for letter in text)
