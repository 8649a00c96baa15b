"""Content: an item is scored by how near its text, picture or sound is to those of the history.

It needs no interactions of an item, so it places new items; it knows nothing of what other users do.
"""

from typing import Any

import numpy as np

from mmsdk.errors import InputError
from mmsdk_recommend.interactions import Floats, Histories
from mmsdk_recommend.models.protocol import Arrays, Contributions, Corpus, Target, shared, single


class ContentModel:
    """Score by the inner product of content with the mean content of the history.

    ``half_life``: as in EASE. Items without content score 0.

    >>> model = ContentModel()
    >>> content = np.array([[1, 0], [0.8, 0.6], [0, 1]], np.float32)
    >>> model.fit(Corpus(Histories.of([[0]], width=3), content))
    >>> model.score(Histories.of([[0]], width=3)).argsort()[0, ::-1].tolist()
    [0, 1, 2]
    """

    def __init__(self, half_life: float | None = None) -> None:
        self.half_life = half_life
        self.content: Floats = np.zeros((0, 0), np.float32)

    def get_params(self) -> dict[str, Any]:
        """Give the parameters."""
        return {"half_life": self.half_life}

    def fit(self, corpus: Corpus) -> None:
        """Keep the content. Raises ``InputError`` when there is none."""
        if corpus.content is None:
            raise InputError(
                "the content model needs a catalogue with a column title, text, description, image, audio or vector"
            )
        self.content = corpus.content

    def score(self, histories: Histories) -> Floats:
        """Compare with the mean of the history."""
        return self.near(self.vectors(histories))

    def vectors(self, histories: Histories) -> Floats:
        """Give the mean content of histories; float32 ``[len(histories), dimension]``."""
        taken = histories.faded(self.half_life)
        total = np.maximum(np.asarray(taken.sum(axis=1)).reshape(-1, 1), 1e-9)
        return np.asarray((taken @ self.content) / total, np.float32)

    def item_vectors(self) -> Floats:
        """Give the content."""
        return self.content

    def near(self, vectors: Floats) -> Floats:
        """Give the inner product of all items with vectors of the content's space."""
        return np.asarray(vectors @ self.content.T)

    def contributions(self, history: Histories, target: Target) -> Contributions:
        """Give the nearness of each item of the history."""
        values = self.content @ (self.content.T @ target)
        if self.half_life is None:
            count = len(np.unique(single(history).items))
            return Contributions(shared(history, values) / max(count, 1))
        counting = np.exp2(-np.arange(len(history.items))[::-1] / self.half_life)
        return Contributions(values[single(history).items] * counting / max(counting.sum(), 1e-9))

    def arrays(self) -> Arrays:
        """Give the content."""
        return {"content": self.content}

    def restore(self, arrays: Arrays) -> None:
        """Take the content."""
        self.content = arrays["content"]
