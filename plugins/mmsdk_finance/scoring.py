"""The scorer as the monitor sees it: texts and the names in them to sentiments. The model behind it is elsewhere."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Protocol


class Evidence(Protocol):
    """A sentence that decided, verbatim, the words that spoke most for the label, and the kinds of event told."""

    @property
    def sentence(self) -> str: ...  # noqa: D102
    @property
    def words(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def events(self) -> Sequence[str]: ...  # noqa: D102


class Sentiment(Protocol):
    """What is said of one entity; ``status`` is other than ``scored`` where the model could not read it."""

    @property
    def label(self) -> str: ...  # noqa: D102
    @property
    def probabilities(self) -> Mapping[str, float]: ...  # noqa: D102
    @property
    def evidence(self) -> Sequence[Evidence]: ...  # noqa: D102
    @property
    def status(self) -> str: ...  # noqa: D102


class Scorer(Protocol):
    """Give a sentiment for each entity of each text, in their order."""

    def score_texts(  # noqa: D102
        self, texts: Sequence[str], entities: Sequence[Sequence[str]]
    ) -> Sequence[Sequence[Sentiment]]: ...


def version(scorer: Scorer) -> str:
    """Name a scorer for the audit trail: its ``version``, or its class and the SHA-256 of its description."""
    named = getattr(scorer, "version", None)
    if named is not None:
        return str(named)
    described = json.dumps(getattr(scorer, "description", {}), sort_keys=True, default=str)
    return f"{type(scorer).__name__}/{hashlib.sha256(described.encode()).hexdigest()[:12]}"
