"""How easy is a text to read? A plugin and an encoder for mmsdk."""

from acme_readability.encoder import NgramEncoder
from acme_readability.plugin import Readability, ScoreRequest, ScoreResponse, SimplestRequest, SimplestResponse

__all__ = ["NgramEncoder", "Readability", "ScoreRequest", "ScoreResponse", "SimplestRequest", "SimplestResponse"]
