"""LLMs: messages become text. One module a backend; ``complete`` asks any of them for structured output.

A backend streams ``Delta`` objects: text as it comes, and the token usage with the last one. Closing
the iterator cancels generation. This package knows nothing of retrieval or of what the text is for.
"""

from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from mmsdk import registry, telemetry, weights
from mmsdk.errors import GenerationError
from mmsdk.protocols import LLM
from mmsdk.settings import Settings
from mmsdk.types import Message

Model = TypeVar("Model", bound=BaseModel)


def build(settings: Settings) -> LLM:
    """Give the LLM that the settings or their preset name; nothing is loaded until it generates."""
    llm: LLM = registry.create(
        "llms", weights.model_name("llm", settings), pins=settings.pins or None, settings=settings
    )
    return llm


def complete(
    llm: LLM, messages: Sequence[Message], model: type[Model], *, max_tokens: int = 512, seed: int = 0
) -> Model:
    """Ask for an object of a pydantic class; a reply that does not validate is asked for once more with the error.

    Raises ``GenerationError`` with the last reply when the second one does not validate either.

    >>> from mmsdk.llms.echo import Echo
    >>> class Price(BaseModel):
    ...     euros: float
    >>> complete(Echo(replies=['{"euros": "?"}', '{"euros": 3.5}']), [Message("user", "How much?")], Price)
    Price(euros=3.5)
    """
    reply, problem = "", ""
    asked = list(messages)
    for attempt in range(2):
        options = {"max_tokens": max_tokens, "seed": seed + attempt, "schema": model.model_json_schema()}
        reply = "".join(delta.text for delta in telemetry.generate(llm, asked, **options))
        try:
            return model.model_validate_json(reply)
        except ValidationError as error:
            problem = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
            asked = [
                *messages,
                Message("assistant", reply),
                Message("user", f"That is not a valid answer ({problem}). Reply with the corrected JSON only."),
            ]
    raise GenerationError(
        f"the LLM did not give a valid {model.__name__} in 2 attempts ({problem}); its last reply was {reply[:200]!r}. "
        "Raise max_tokens, simplify the model, or use a larger LLM."
    )
