"""Why an item was recommended: parts of the score itself, not a story about it.

EASE, item-kNN, iALS and content scores are sums over the history, and so is what the hybrid takes from them; attention
and popularity are told as one part each. Content is named as a reason only where it carried weight. An LLM may phrase
what is found; what it writes is checked, and replaced where it says more.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from mmsdk.protocols import LLM
from mmsdk.types import Message
from mmsdk_recommend.catalogue import plain
from mmsdk_recommend.models.content import ContentModel
from mmsdk_recommend.recommender import Recommender

_LEAST = 0.05
"""Share of what speaks for an item from which on a reason is named."""
_NAMED = {
    "popularity": "it is popular",
    "all_time": "it is popular",
    "sequence": "it fits what came last",
    "sasrec": "it fits what came last",
}


@dataclass(frozen=True)
class Explanation:
    """Hold what a score is made of.

    ``history``: item and what it adds, strongest first; ``rest``: what else adds, by name. They sum to ``score``.
    ``by_content`` is the part of ``history`` that comes from content.
    """

    item: Hashable
    score: float
    history: tuple[tuple[Hashable, float], ...]
    rest: dict[str, float]
    by_content: float
    text: str

    def to_json(self) -> dict[str, Any]:
        """Write it in the shape that ``mmsdk recommend explain --json`` prints."""
        return {
            "item": plain(self.item),
            "score": self.score,
            "contributions": [{"item": plain(name), "value": value} for name, value in self.history],
            "rest": self.rest,
            "by_content": self.by_content,
            "text": self.text,
        }


def explain(
    recommender: Recommender, user: Hashable, item: Hashable, *, llm: LLM | None = None, most: int = 3
) -> Explanation:
    """Explain the score of an item for a user. Raises ``InputError`` for an unknown user or item.

    ``most`` items of the history are named in the text; ``llm`` phrases it.
    """
    history = recommender.history_of(user)
    told = recommender.contributions(history, item)
    names = recommender.data.items[history.items]
    summed: dict[Hashable, float] = {}
    for name, value in zip(names, told.history.tolist(), strict=True):
        summed[name] = summed.get(name, 0.0) + value
    ordered = tuple(sorted(summed.items(), key=lambda pair: -pair[1]))
    content = told.history if isinstance(recommender.model, ContentModel) else told.parts.get("content")
    by_content = 0.0 if content is None else float(content.sum())
    reasons = [shown(recommender, name) for name, value in ordered[:most] if value > 0]
    text = _sentence(recommender, item, ordered, told.rest, by_content=by_content, reasons=reasons)
    if llm is not None:
        text = phrased(text, [shown(recommender, item), *reasons], recommender, llm=llm)
    return Explanation(item, told.total, ordered, dict(told.rest), by_content, text)


def shown(recommender: Recommender, item: Hashable) -> str:
    """Give the title of an item, or its name."""
    record = recommender.metadata[int(recommender.places([item])[0])]
    return str(record.get("title") or item)


def phrased(text: str, named: list[str], recommender: Recommender, *, llm: LLM) -> str:
    """Let an LLM say it; give ``text`` itself when the reply names other items, numbers or addresses."""
    ask = f"Say this to a customer in one friendly sentence. Add nothing and keep the names exactly:\n{text}"
    deltas = llm.generate([Message("user", ask)], max_tokens=120)
    reply = " ".join("".join(delta.text for delta in deltas).split())
    left = reply
    for name in sorted(named, key=len, reverse=True):
        left = left.replace(name, "")
    titles = {str(record.get("title") or record["item"]) for record in recommender.metadata} - set(named)
    strange = any(len(title) > 3 and title in left for title in titles) or any(letter.isdigit() for letter in left)
    whole = bool(reply) and all(name in reply for name in named) and "://" not in reply
    return reply if whole and not strange and len(reply) <= 3 * len(text) else text


def _sentence(
    recommender: Recommender,
    item: Hashable,
    history: tuple[tuple[Hashable, float], ...],
    rest: Mapping[str, float],
    *,
    by_content: float,
    reasons: list[str],
) -> str:
    for_it = sum(value for _, value in history if value > 0)
    more = {name: value for name, value in rest.items() if name in _NAMED and value > 0}
    total = max(for_it + sum(more.values()), 1e-12)
    said = []
    if reasons and for_it / total >= _LEAST:
        said.append(f"you took {_listed(reasons)}")
        if by_content / total >= _LEAST:
            said.append("its content is like theirs")
    said += [_NAMED[name] for name, value in more.items() if value / total >= _LEAST]
    title = shown(recommender, item)
    return f"{title}: because {'; '.join(dict.fromkeys(said))}." if said else f"{title}: nothing speaks for it."


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
