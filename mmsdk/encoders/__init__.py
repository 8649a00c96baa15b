"""Encoders: contents of one modality become vectors of one space. One module a modality or backend.

Which encoders a collection uses is decided by the settings; nothing here knows of collections.
"""

from functools import cache
from typing import cast

from mmsdk import registry
from mmsdk.protocols import Encoder, PairScorer
from mmsdk.settings import Settings
from mmsdk.weights import model_name


def build(settings: Settings) -> tuple[Encoder, ...]:
    """Give the encoders of the settings: for text, for images and for speech. Weights load on first use.

    Speech is recognised and then encoded as text; the bundled image encoder, too, gives vectors in the
    space of the text encoder.
    """
    names = (model_name("text", settings), model_name("image", settings), "speech")
    return tuple(shared(name, settings) for name in names)


def shared(name: str, settings: Settings) -> Encoder:
    """Give the encoder of a registry name such as ``open_clip:ViT-B-32``, one object a process and settings."""
    return cast(Encoder, _made("encoders", name, settings.model_dump_json()))


def scorer(name: str, settings: Settings) -> PairScorer:
    """Give the scorer of a registry name, such as ``cross`` or ``cross:BAAI/bge-reranker-base``, one a process."""
    return cast(PairScorer, _made("scorers", name, settings.model_dump_json()))


@cache
def _made(group: registry.Group, name: str, settings: str) -> object:
    chosen = Settings.model_validate_json(settings)
    return registry.create(group, name, pins=chosen.pins, settings=chosen)
