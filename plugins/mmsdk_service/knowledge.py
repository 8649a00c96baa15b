"""Answers from the company's documents: the best sentence, quoted, or phrased by an LLM and checked word for word.

Sentences that instruct an assistant, or that name a link to a host that is not allowed, are blanked before anything
reads them, so that neither a reply nor an LLM's prompt can hold them. It does not know whether a document is right.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from mmsdk import Answer, Assistant, Chunk, Citation, Hit, Message, guard, lexicon
from mmsdk.answerability import table
from mmsdk.chunking import sentences
from mmsdk.protocols import LLM, Retriever
from mmsdk.settings import Settings
from mmsdk.statements import split
from mmsdk.types import Delta, Filter, Modality, Query, Usage
from mmsdk_service.wording import Language, reworded

TITLED = 0.7
"""The confidence in an answer that stands under a title which is what was asked."""
DATES = ("updated", "modified", "date", "valid_until")
"""Keys of a document's metadata that say how old it is."""
_LINK = re.compile(
    r"(?:https?|ftp)://([^\s/)\]>\"'，。]+)|(?<![\w@.])(?:www\.)([\w-]+(?:\.[\w-]+)+)|(?:javascript|data):|"
    r"(?<![\w@.-])((?:[\w-]+\.)+(?:com|net|org|io|cn|co|ru|info|biz|xyz|top|dev|app|example|test))/(?=\S)",
    re.IGNORECASE,
)
_ROW = re.compile(
    r"(?:question|q|title|问题|问|標題|标题|問題|問)[:：] .+?; "
    r"(?:answer|a|reply|response|答案|答|回答|答复|回复)[:：] (?P<reply>\S.*)",
    re.IGNORECASE | re.DOTALL,
)
"""A row of a table of questions and answers, as the loaders write it."""
_QUESTION_WORDS = re.compile(
    r"多(?:长时间|久|少(?:天|钱|元|个)?|大|高|远|重|长)|什么时[候间]|何时|几[点天个次年月]?|哪[些里儿个种家天位]?|怎么[样办]?|怎样|如何"
    r"|为什么|为何|什么样?|[是能可]否|能不能|可不可以|有没有|是不是|谁|请问|(?:我)?想(?:知道|问|了解)|[的了吗呢么啊吧是在有和与及您你我们会要]"
)
"""Chinese words that a question has and its answer has not."""


@dataclass(frozen=True)
class Found:
    """Hold what the documents say to a question: an answer, how sure it is, and which cited documents are stale."""

    answer: Answer
    confidence: float
    stale: str = ""

    @property
    def known(self) -> bool:
        """Whether the documents answer."""
        return self.answer.status == "answered"


class Quoting:
    """Be the LLM that adds nothing, so that the assistant quotes the best sentence."""

    context = 1_000_000
    modalities: frozenset[Modality] = frozenset({"text", "image", "audio"})

    def generate(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int = 512,
        seed: int = 0,
        temperature: float = 0.0,
        schema: Mapping[str, Any] | None = None,
        stop: Sequence[str] = (),
    ) -> Iterator[Delta]:
        """Say nothing."""
        del messages, max_tokens, seed, temperature, schema, stop
        yield Delta("", Usage())


@dataclass(frozen=True)
class Screened:
    """Retrieve hits without the sentences that no reply may hold; their places stay as they are."""

    retriever: Retriever
    links: frozenset[str] = frozenset()
    where: Filter | None = None
    blanked: list[str] = field(default_factory=list, compare=False)

    def retrieve(self, query: Query, k: int = 8, *, where: Filter | None = None) -> list[Hit]:
        """Give at most ``k`` hits, best first."""
        both = [one for one in (self.where, where) if one]
        narrowed = {"$and": both} if len(both) > 1 else both[0] if both else None
        return [replace(hit, chunk=self._clean(hit.chunk)) for hit in self.retriever.retrieve(query, k, where=narrowed)]

    def _clean(self, chunk: Chunk) -> Chunk:
        text = chunk.text
        for start, stop in sentences(chunk.text):
            if refused(text[start:stop], self.links):
                text = text[:start] + re.sub(r"\S", " ", text[start:stop]) + text[stop:]
        if text == chunk.text:
            return chunk
        self.blanked.append(chunk.source)
        content = chunk.content.replace(chunk.text, text) if isinstance(chunk.content, str) else chunk.content
        return replace(chunk, text=text, content=content)


class Knowledge:
    """Answer questions from a retriever.

    ``llm`` phrases, None quotes. ``dial`` in [0, 1] moves the least probability of an answer: 0.5 is the fitted one,
    0 answers more, 1 hands over more. Documents older than ``stale_days`` are marked.
    """

    def __init__(
        self,
        retriever: Retriever,
        llm: LLM | None = None,
        *,
        settings: Settings,
        dial: float = 0.5,
        stale_days: float | None = None,
    ) -> None:
        self.llm = llm or Quoting()
        self.retriever = retriever
        self.settings = settings
        self.dial = dial
        self.stale_days = stale_days

    def answer(self, question: Query, *, language: Language, history: Sequence[Message] = ()) -> Found:
        """Answer a masked question; the history completes one that leans on it.

        A Chinese question that names a thing by its use is asked in the words of titles first (``wording.reworded``).
        """
        again = reworded(question) if language == "zh" and isinstance(question, str) else ""
        if again:
            found = self._answer(again, language=language)
            if found.known:
                return found
        return self._answer(question, language=language, history=history)

    def _answer(self, question: Query, *, language: Language, history: Sequence[Message] = ()) -> Found:
        answer = self._assistant(language).ask(question, history=history)
        candidates: Any = answer.trace.get("candidates") or []
        confidence = float(candidates[0]["probability"]) if candidates else 0.0
        if not answer.citations and confidence and self._is_titled(answer, candidates[0]):
            answer = self._assistant(language, least=confidence).ask(question, history=history)
            confidence = max(confidence, TITLED)
        return Found(answer, confidence, self._stale(answer.citations))

    def _is_titled(self, answer: Answer, best: Mapping[str, Any]) -> bool:
        """Tell whether the most probable sentence stands under a title that is what a Chinese question asks for."""
        asked = str(answer.trace["question"])
        return lexicon.is_cjk(asked) and any(
            one.text == best["text"] and is_title_of(one.headings, one.lead, one.text, question=asked)
            for one in split(answer.hits)
        )

    def _assistant(self, language: Language, *, least: float | None = None) -> Assistant:
        if least is not None:
            return Assistant(self.retriever, self.llm, settings=self.settings, threshold=least)
        fitted = float(table()["chinese" if language == "zh" else "english"]["threshold"])
        return Assistant(self.retriever, self.llm, settings=self.settings, threshold=turned(fitted, self.dial))

    def _stale(self, citations: Sequence[Citation]) -> str:
        """Give the date of the oldest cited document that is out of date, empty for none."""
        found = [day for citation in citations if (day := self.dated(citation.hit.chunk.metadata)) is not None]
        return min(found).isoformat() if found else ""

    def dated(self, metadata: Mapping[str, Any]) -> date | None:
        """Give the date of a document that is out of date by its metadata, None for one that is not."""
        today = datetime.now(UTC).date()
        for key in DATES:
            try:
                day = date.fromisoformat(str(metadata.get(key, ""))[:10])
            except ValueError:
                continue
            if key == "valid_until" and day < today:
                return day
            if key != "valid_until" and self.stale_days is not None and today - day > timedelta(self.stale_days):
                return day
        return None


def turned(fitted: float, dial: float) -> float:
    """Give the threshold for a dial: a third of the fitted one at 0, the fitted one at 0.5, near 1 at 1.

    >>> [round(turned(0.6, dial), 2) for dial in (0, 0.5, 1)]
    [0.2, 0.6, 0.98]
    """
    low, high = fitted / 3, 0.98
    return low + (fitted - low) * 2 * dial if dial <= 0.5 else fitted + (high - fitted) * (2 * dial - 1)


def refused(sentence: str, links: frozenset[str]) -> bool:
    """Tell whether a sentence may not be sent: it instructs an assistant, or names a link to another host."""
    if guard.instructs(sentence):
        return True
    for match in _LINK.finditer(sentence):
        host = next((group for group in match.groups() if group), "").casefold().rpartition("@")[2].partition(":")[0]
        if not any(host == allowed or host.endswith(f".{allowed}") for allowed in links):
            return True
    return False


def reply_in(quoted: str) -> str:
    """Give the answer in a quoted row of questions and answers, anything else as it is.

    >>> reply_in("question: Can I pay later?; answer: Yes, within 30 days.")
    'Yes, within 30 days.'
    """
    match = _ROW.match(quoted)
    return match["reply"] if match else quoted


def is_title_of(headings: str, lead: str, text: str, *, question: str) -> bool:
    """Tell whether a Chinese question asks for what the title over a text names and says nothing that neither has.

    >>> is_title_of("退换货 > 退货期限", "", "签收后四十五天内可以退货。", question="退货期限是多久？")
    True
    >>> is_title_of("退换货 > 退货期限", "", "签收后四十五天内可以退货。", question="退货地址是什么？")
    False
    """
    asked = _letters(question)
    titles = [_letters(title) for title in (headings.rpartition("\n")[2].rpartition(" > ")[2], lead)]
    said = _letters(text)
    return any(len(title) >= 2 and title.issubset(asked) and asked.issubset(title | said) for title in titles)


def _letters(text: str) -> set[str]:
    return set(re.findall(r"\w", _QUESTION_WORDS.sub("", text.casefold())))


def is_answerable(text: str) -> bool:
    """Tell whether a text has words that a document could speak of."""
    return bool(lexicon.content(text) or reworded(text))
