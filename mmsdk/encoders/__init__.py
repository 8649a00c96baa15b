"""Encoders: contents of one modality become vectors of one space. One module a modality or backend.

Which encoders a collection uses is decided by the settings; nothing here knows of collections.
"""

from functools import cache
from typing import cast

from mmsdk import registry
from mmsdk.protocols import Encoder
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
    return cast(Encoder, _made(name, settings.model_dump_json()))


@cache
def _made(name: str, settings: str) -> object:
    chosen = Settings.model_validate_json(settings)
    return registry.create("encoders", name, pins=chosen.pins, settings=chosen)
