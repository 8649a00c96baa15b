"""Any LangChain chat model as an LLM.

Which model, which server and which key is LangChain's business (``init_chat_model``, environment
variables of the provider). ``max_tokens``, ``seed`` and ``temperature`` reach models that have a field of
that name; ``stop`` always holds, because the stream is cut here too.
"""

import json
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from mmsdk.errors import GenerationError, MmsdkError, SettingsError
from mmsdk.llms.messages import check, protocol
from mmsdk.llms.streams import cut
from mmsdk.settings import Settings
from mmsdk.types import Delta, Message, Modality, Usage

_KINDS: dict[str, type[BaseMessage]] = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}


class LangChainLLM:
    """Generate with a LangChain chat model: an object, or a name for ``init_chat_model`` such as ``openai:gpt-4o``.

    ``context`` is not checked here; a prompt that is too long comes back as ``GenerationError``.

    >>> from langchain_core.language_models import FakeListChatModel
    >>> llm = LangChainLLM(FakeListChatModel(responses=["Hello."]))
    >>> "".join(delta.text for delta in llm.generate([Message("user", "Greet me.")]))
    'Hello.'
    """

    modalities: frozenset[Modality] = frozenset({"text", "image"})

    def __init__(
        self, model: str | BaseChatModel | None = None, *, settings: Settings | None = None, context: int = 32768
    ) -> None:
        if model is None:
            raise SettingsError(
                "langchain needs a model: langchain:PROVIDER:MODEL, for example langchain:openai:gpt-4o"
            )
        del settings
        self.model = model
        self.context = context
        self._chat = None if isinstance(model, str) else model
        self._lock = threading.Lock()

    def generate(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int = 512,
        seed: int = 0,
        temperature: float = 0.0,
        schema: Mapping[str, Any] | None = None,
        stop: Sequence[str] = (),
    ) -> Generator[Delta]:
        """Stream the reply; closing the iterator closes LangChain's.

        ``schema`` uses the model's ``with_structured_output``, where it has one, and comes in one piece.
        Raises ``UnsupportedModalityError`` for recordings and ``GenerationError`` for what the model raises.
        """
        check(messages, self.modalities, name=f"langchain:{self._name()}")
        written = [_KINDS[row["role"]](content=row["content"]) for row in protocol(messages)]
        options = {"max_tokens": max_tokens, "seed": seed, "temperature": temperature}
        return self._generate(written, schema, stop, options)

    def _generate(
        self,
        messages: list[BaseMessage],
        schema: Mapping[str, Any] | None,
        stop: Sequence[str],
        options: Mapping[str, Any],
    ) -> Generator[Delta]:
        try:
            if schema is None:
                with closing(cut(self._streamed(messages, stop, options), stop)) as deltas:
                    yield from deltas
            else:
                yield from self._structured(messages, schema)
        except MmsdkError:
            raise
        except Exception as error:
            raise GenerationError(f"langchain:{self._name()} failed: {type(error).__name__}: {error}") from error

    def _streamed(
        self, messages: list[BaseMessage], stop: Sequence[str], options: Mapping[str, Any]
    ) -> Generator[Delta]:
        usage = Usage()
        chat = self._loaded()
        known = {name: value for name, value in options.items() if name in type(chat).model_fields}
        chunks = cast("Generator[AIMessage]", chat.stream(messages, stop=list(stop) or None, **known))
        with closing(chunks):
            for chunk in chunks:
                usage = usage + _usage(chunk)
                if chunk.text:
                    yield Delta(str(chunk.text))
        yield Delta("", usage)

    def _structured(self, messages: list[BaseMessage], schema: Mapping[str, Any]) -> Generator[Delta]:
        titled = {"title": "reply", "description": "the reply", **schema}
        try:
            model = self._loaded().with_structured_output(titled, include_raw=True)
        except NotImplementedError:
            asked = f"Reply with JSON only, matching this JSON Schema: {json.dumps(dict(schema), ensure_ascii=False)}"
            yield from self._streamed([*messages, HumanMessage(content=asked)], (), {})
            return
        found = cast("dict[str, Any]", model.invoke(messages))
        parsed, raw = found["parsed"], found["raw"]
        text = str(raw.text) if parsed is None else json.dumps(parsed, ensure_ascii=False)
        yield Delta(text, _usage(raw))

    def _loaded(self) -> BaseChatModel:
        with self._lock:
            if self._chat is None:
                from langchain.chat_models import init_chat_model

                self._chat = init_chat_model(cast("str", self.model))
            return self._chat

    def _name(self) -> str:
        return self.model if isinstance(self.model, str) else type(self.model).__name__


def _usage(message: Any) -> Usage:
    counted = getattr(message, "usage_metadata", None)
    return Usage(counted["input_tokens"], counted["output_tokens"]) if counted else Usage()
