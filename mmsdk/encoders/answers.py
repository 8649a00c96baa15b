"""Score how well a sentence answers a question by the mean of two opinions: the cross-encoder's and the reader's."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mmsdk.encoders.cross import CrossEncoder
from mmsdk.encoders.reader import Reader
from mmsdk.errors import PluginNotFoundError
from mmsdk.protocols import PairScorer
from mmsdk.settings import Settings


class AnswerScorer:
    """Score pairs of question and sentence with both bundled scorers.

    They are of different kinds (an encoder of 23 million parameters, an LLM of 135 million) and err differently, so
    that their mean is better than either; figures are in docs/cross-encoder.md. Safe to share between threads.
    """

    def __init__(self, model: str | None = None, *, settings: Settings) -> None:
        if model is not None:
            raise PluginNotFoundError(f"the scorer 'answers' takes no model, not {model!r}; cross and reader do")
        self.settings = settings

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Score pairs in order; float32 ``[len(pairs)]``, logits: any real number, higher for a better match.

        Raises ``WeightsError`` and ``ModelLoadError``.
        """
        opinions = [scorer.score(pairs) for scorer in self._scorers]
        mean: NDArray[np.float32] = np.mean(opinions, axis=0, dtype=np.float32)
        return mean

    @cached_property
    def _scorers(self) -> tuple[PairScorer, ...]:
        return CrossEncoder(settings=self.settings), Reader(settings=self.settings)
