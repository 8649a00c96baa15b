"""spaCy's small English pipeline, loaded once: dependency parses and named entities. It does not know our schema."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsdk import weights
from mmsdk.errors import MissingDependencyError
from mmsdk.settings import Settings

MODEL = "en-core-web-sm"


@cache
def pipeline(settings: str, *, parser: bool) -> Any:
    """Give the pipeline, with or without the parser; ``settings`` as JSON. Raises ``MissingDependencyError``."""
    try:
        import spacy
    except ModuleNotFoundError as error:
        raise MissingDependencyError("spacy", "graph") from error
    path = weights.resolve(MODEL, settings=Settings.model_validate_json(settings))
    without = ["senter"] if parser else ["senter", "tagger", "parser", "attribute_ruler", "lemmatizer"]
    return spacy.load(path, exclude=without)


def marks(sentences: Sequence[Sequence[str]], settings: Settings) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
    """Give what spaCy takes each token for, as ``B-PERSON`` or ``O``, and its vectors ``[tokens, 96]``."""
    from spacy.tokens import Doc

    nlp = pipeline(settings.model_dump_json(), parser=False)
    docs: Iterable[Any] = (Doc(nlp.vocab, words=list(words)) for words in sentences)
    for doc in nlp.pipe(docs, batch_size=64):
        yield [f"{token.ent_iob_}-{token.ent_type_}" if token.ent_type_ else "O" for token in doc], doc.tensor


def signals(settings: Settings) -> list[str]:
    """Name the marks that there are, ``O`` first."""
    labels = pipeline(settings.model_dump_json(), parser=False).get_pipe("ner").labels
    return ["O", *(f"{side}-{label}" for label in sorted(labels) for side in "BI")]
