"""Tell what customers want: a Gaussian process over sentence vectors and the words of each message.

It is least-squares classification (Rasmussen and Williams 2006, section 6.5,
https://gaussianprocess.org/gpml) in one closed-form step, with two kernels added: a radial one over the vectors of
the text encoder, and the cosine of TF-IDF over words and parts of words. Its leave-one-out predictions come out of the
same step (section 5.4.2), so probabilities and out-of-scope scores are calibrated on messages that the model has not
seen, without folds. Chinese, which the bundled encoder does not read, is compared by characters alone.
It does not know what a message asks beyond which examples it is like.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import safetensors
from numpy.typing import NDArray
from safetensors.numpy import save_file
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.linalg.lapack import spotri
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_matrix, hstack
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.utils.validation import check_is_fitted

from mmsdk import encoder as shared_encoder
from mmsdk import lexicon
from mmsdk.chunking import CJK
from mmsdk.errors import InputError, WeightsError
from mmsdk.protocols import Encoder
from mmsdk.types import Vectors

ENCODER = "text:all-MiniLM-L6-v2"
MOST = 20_000
"""The greatest number of examples: the step takes memory with their square and time with their cube."""
_WORD = rf"[{CJK}]|[^\W{CJK}]+|[^\w\s]"
_BATCH = 512
_FORMAT = 1

Floats = NDArray[np.float32]
Label = str | int


class IntentClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Learn intents from examples, with the manners of a scikit-learn classifier.

    ``width`` is how fast the radial kernel falls with the cosine, ``surface`` how much words and parts of words weigh
    beside meaning, ``noise`` how far single labels are doubted. With ``names`` the words of a label (``card_arrival``)
    are an example of it. ``encoder`` is a text encoder, None for the bundled.

    >>> texts = ["where is my parcel", "has it been sent", "I want my money back", "refund please"]
    >>> model = IntentClassifier().fit(texts, ["delivery", "delivery", "refund", "refund"])
    >>> model.predict(["when does the parcel come"]).tolist(), model.classes_.tolist()
    (['delivery'], ['delivery', 'refund'])
    """

    def __init__(
        self,
        encoder: Encoder | None = None,
        *,
        width: float = 2.0,
        surface: float = 0.15,
        noise: float = 0.1,
        names: bool = True,
    ) -> None:
        self.encoder = encoder
        self.width = width
        self.surface = surface
        self.noise = noise
        self.names = names

    def fit(self, texts: Sequence[str], labels: Sequence[str] | Sequence[int]) -> Self:
        """Learn from texts and their labels, which are all strings or all integers; duplicates count once.

        Lists, arrays and series are read alike. Raises ``InputError`` for lengths that differ, texts that are no
        strings, anything empty or missing, labels of mixed types, fewer than two labels, more than ``MOST`` examples.
        """
        examples = _examples(texts, labels)
        self.classes_ = np.array(sorted({label for _, label in examples}))
        if len(self.classes_) < 2:
            raise InputError(f"intents are told apart from two on; the examples have {self.classes_.tolist()}")
        own = len(examples)
        if self.names:
            examples += [(name, label) for label in self.classes_ if (name := _spoken(label))]
        if len(examples) > MOST:
            raise InputError(f"{len(examples)} examples are more than {MOST}; leave some out of the largest intents")
        self.texts_ = [text for text, _ in examples]
        self.rows_ = np.searchsorted(self.classes_, [label for _, label in examples])
        self.vectors_ = self._encoded(self.texts_)
        self._solve(own)
        return self

    def predict(self, texts: Sequence[str]) -> NDArray[Any]:
        """Give the most probable label of each text, as the labels were given."""
        found: NDArray[Any] = self.classes_[self.decision_function(texts).argmax(axis=1)]
        return found

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Give calibrated probabilities ``[n, len(classes_)]``, rows that sum to 1, given that a text is in scope."""
        return _softmax(self.decision_function(texts) / self.temperature_)

    def out_of_scope_score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Say how unlike the examples each text is, in [0, 1], higher for less like.

        A score of 0.95 is what one message in twenty of the kind of the examples reaches too: the score above which
        a message is held for out of scope is one minus the false alarms that are accepted.
        """
        top = self.decision_function(texts).max(axis=1)
        return np.asarray(np.interp(top, self.tops_, np.linspace(1, 0, len(self.tops_))))

    def understand(self, texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Give ``predict_proba``, ``out_of_scope_score`` and the cosine to the nearest example, in one pass."""
        logits = self.decision_function(texts)
        outside = np.interp(logits.max(axis=1), self.tops_, np.linspace(1, 0, len(self.tops_)))
        return _softmax(logits / self.temperature_), np.asarray(outside), self._nearest(texts)

    def _nearest(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Give the greatest cosine to an example: of vectors, or of words and their parts for Chinese."""
        cosines = (self._encoded(texts) @ self.vectors_.T).max(axis=1).astype(np.float64)
        for place, text in enumerate(texts):
            if lexicon.is_cjk(text):
                cosines[place] = float((self._counted([text]) @ self._rows.T).max())
        return np.asarray(cosines)

    def decision_function(self, texts: Sequence[str]) -> Floats:
        """Give the mean of the process for each class, ``[n, len(classes_)]``, near 1 for the right one."""
        check_is_fitted(self, "weights_")
        given = _strings(texts)
        found = [np.zeros((0, len(self.classes_)), np.float32)]
        for start in range(0, len(given), _BATCH):
            cut = given[start : start + _BATCH]
            near = self._near(self._encoded(cut))
            found.append(near @ self.weights_ + np.asarray(self._counted(cut) @ self._words))
        return np.concatenate(found)

    def save(self, file: str | Path) -> None:
        """Write examples, vectors and weights as safetensors; nothing is pickled."""
        import json

        check_is_fitted(self, "weights_")
        header = {
            "format": _FORMAT,
            "classes": self.classes_.tolist(),
            "texts": self.texts_,
            "options": {name: getattr(self, name) for name in ("width", "surface", "noise", "names")},
            "temperature": self.temperature_,
            "encoder": self._encoder.fingerprint,
        }
        arrays: dict[str, NDArray[Any]] = {
            "vectors": self.vectors_.astype(np.float16),
            "weights": np.ascontiguousarray(self.weights_),
            "tops": self.tops_,
            "rows": self.rows_.astype(np.int32),
        }
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        save_file(arrays, str(file), metadata={"intents": json.dumps(header)})

    @classmethod
    def load(cls, file: str | Path, encoder: Encoder | None = None) -> Self:
        """Read what ``save`` wrote. Raises ``WeightsError`` for anything else, or another encoder."""
        import json

        try:
            with safetensors.safe_open(str(file), "np") as opened:
                header = json.loads((opened.metadata() or {})["intents"])
                arrays = {name: opened.get_tensor(name) for name in ("vectors", "weights", "tops", "rows")}
        except (OSError, KeyError, ValueError, safetensors.SafetensorError) as error:
            raise WeightsError(
                f"{file} holds no intents saved by mmsdk: {error}; make it: mmsdk service train"
            ) from error
        if header["format"] > _FORMAT:
            raise WeightsError(f"{file} has format {header['format']}, this mmsdk reads {_FORMAT}; install a newer one")
        model = cls(encoder, **header["options"])
        if model._encoder.fingerprint != header["encoder"]:
            raise WeightsError(f"{file} was trained with {header['encoder']}, not {model._encoder.fingerprint}")
        model.classes_, model.texts_ = np.array(header["classes"]), header["texts"]
        model.temperature_, model.tops_, model.rows_ = header["temperature"], arrays["tops"], arrays["rows"]
        model.vectors_, model.weights_ = arrays["vectors"].astype(np.float32), arrays["weights"]
        model._count()
        return model

    @cached_property
    def _encoder(self) -> Encoder:
        return self.encoder if self.encoder is not None else shared_encoder(ENCODER)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the encoder that was found by name, which cannot be copied."""
        return {name: value for name, value in vars(self).items() if name != "_encoder"}

    def _encoded(self, texts: Sequence[str]) -> Vectors:
        """Give the vectors of texts; rows of zeros for Chinese, which is compared by its characters."""
        vectors = np.zeros((len(texts), self._encoder.dimension), np.float32)
        read = [place for place, text in enumerate(texts) if not lexicon.is_cjk(text)]
        if read:
            vectors[read] = self._encoder.encode([texts[place] for place in read])
        return vectors

    def _near(self, vectors: Vectors) -> Floats:
        """Give the radial kernel between vectors and those of the examples; none with Chinese."""
        near = np.exp(self.width * (vectors @ self.vectors_.T - 1))
        near[~vectors.any(axis=1)] = 0
        near[:, ~self.vectors_.any(axis=1)] = 0
        return np.asarray(near, np.float32)

    def _count(self) -> None:
        """Learn which words and parts of words the examples have."""
        shared: dict[str, Any] = {"sublinear_tf": True, "dtype": np.float32}
        self._vectorizers = [
            TfidfVectorizer(ngram_range=(1, 2), token_pattern=_WORD, **shared).fit(self.texts_),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), **shared).fit(self.texts_),
        ]
        self._rows = self._counted(self.texts_)
        self._words = np.asarray(self._rows.T @ self.weights_)

    def _counted(self, texts: Sequence[str]) -> csr_matrix:
        """Give weighted TF-IDF rows; Chinese weighs as much as words and meaning together elsewhere."""
        rows = hstack([vectorizer.transform(texts) for vectorizer in self._vectorizers], format="csr")
        scale = [0.5 if lexicon.is_cjk(text) else self.surface for text in texts]
        return csr_matrix(rows.multiply(np.sqrt(np.array(scale, np.float32))[:, None]))

    def _solve(self, own: int) -> None:
        """Solve for the weights, and calibrate on the leave-one-out predictions of the first ``own`` examples."""
        size = len(self.texts_)
        self.weights_ = np.zeros((size, len(self.classes_)), np.float32)
        self._count()
        counted = self._rows
        kernel = self._near(self.vectors_)
        for start in range(0, size, _BATCH):
            kernel[start : start + _BATCH] += (counted[start : start + _BATCH] @ counted.T).toarray()
        kernel[np.diag_indices(size)] += self.noise
        wanted = np.full((size, len(self.classes_)), -1 / (len(self.classes_) - 1), np.float32)
        wanted[np.arange(size), self.rows_] = 1
        try:
            factor, lower = cho_factor(kernel.T, lower=True, overwrite_a=True, check_finite=False)
        except LinAlgError as error:  # only with a noise near zero
            raise InputError(f"the examples cannot be told apart with noise={self.noise}; raise it") from error
        self.weights_ = cho_solve((factor, lower), wanted, check_finite=False)
        self._words = np.asarray(counted.T @ self.weights_)
        inverse, _ = spotri(factor, lower=lower, overwrite_c=True)
        unseen = (wanted - self.weights_ / np.diag(inverse)[:, None])[:own]
        self.temperature_ = _temperature(unseen, self.rows_[:own])
        self.unseen_accuracy_ = float(np.mean(unseen.argmax(axis=1) == self.rows_[:own]))
        self.tops_ = np.concatenate([[-1.0], np.sort(unseen.max(axis=1)), [2.0]]).astype(np.float64)


def _strings(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, str):
        raise InputError("give a list of texts, not one string")
    given = list(texts)
    for place, text in enumerate(given):
        if not isinstance(text, str):
            raise InputError(f"text {place} is {type(text).__name__} {text!r}, not a string")
    return [str(text) for text in given]


def _examples(texts: Sequence[str], labels: Sequence[Label]) -> list[tuple[str, Label]]:
    """Check examples and give each once, in order."""
    given, named = _strings(texts), _labels(labels)
    if len(given) != len(named):
        raise InputError(f"{len(given)} texts and {len(named)} labels: give one label for every text")
    for place, (text, label) in enumerate(zip(given, named, strict=True)):
        if not text.strip() or not str(label).strip():
            raise InputError(f"example {place} is empty: text {text!r}, label {label!r}")
    return list(dict.fromkeys(zip(given, named, strict=True)))


def _labels(labels: Sequence[Label]) -> list[Label]:
    if isinstance(labels, str):
        raise InputError("give a list of labels, not one string")
    given = [label.item() if isinstance(label, np.generic) else label for label in labels]
    for place, label in enumerate(given):
        if not isinstance(label, str | int) or type(label) is not type(given[0]):
            raise InputError(
                f"label {place} is {type(label).__name__} {label!r}; labels are all strings or all integers"
            )
    return given


def _spoken(label: Label) -> str:
    """Give the words of a label, empty for a number and one such as ``intent_17`` or ``A3``."""
    if not isinstance(label, str):
        return ""
    words = " ".join(label.replace("_", " ").replace("-", " ").replace(".", " ").split())
    return words if sum(letter.isalpha() for letter in words) >= 3 and not words[-1].isdigit() else ""


def _temperature(logits: NDArray[Any], rows: NDArray[np.intp]) -> float:
    """Give the divisor under which unseen labels are most likely (Guo et al. 2017, arXiv:1706.04599)."""
    places = np.arange(len(rows))

    def surprise(log: float) -> float:
        return float(-np.log(np.maximum(_softmax(logits / np.exp(log))[places, rows], 1e-12)).mean())

    return float(np.exp(minimize_scalar(surprise, bounds=(-5, 1), method="bounded").x))


def _softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
