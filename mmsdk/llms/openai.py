"""Any server that speaks OpenAI's chat completions: OpenAI, vLLM, Ollama, llama.cpp, ... by the official client.

The address is read from ``OPENAI_BASE_URL`` and the key from ``OPENAI_API_KEY``; neither is a setting of
mmsdk. This module does not know what the server's model can do: pictures are sent when they are given,
and what the server refuses becomes a ``GenerationError``.
"""

import os
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import openai

from mmsdk.errors import GenerationError
from mmsdk.llms.messages import check, protocol
from mmsdk.settings import Settings
from mmsdk.types import Delta, Message, Modality, Usage


class OpenAILLM:
    """Generate with a model of a server that speaks OpenAI's protocol.

    ``model`` is the server's name for it; without one, ``OPENAI_MODEL`` or the first model that the
    server lists. A server of your own needs no key. ``context`` is what the server allows; it is not
    checked here, and a prompt that is too long comes back as ``GenerationError``.

    >>> OpenAILLM("gpt-4o-mini", settings=Settings()).model
    'gpt-4o-mini'
    """

    modalities: frozenset[Modality] = frozenset({"text", "image"})

    def __init__(self, model: str | None = None, *, settings: Settings, context: int = 32768) -> None:
        self.model = model or os.environ.get("OPENAI_MODEL")
        self.settings = settings
        self.context = context
        self._client: openai.OpenAI | None = None
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
        """Stream the reply; closing the iterator closes the connection, which is how servers are told to stop.

        Raises ``UnsupportedModalityError`` for recordings and ``GenerationError`` for whatever the server
        or the way to it refuses.
        """
        check(messages, self.modalities, name=f"openai:{self.model or ''}")
        request: dict[str, Any] = {
            "messages": protocol(messages),
            "max_tokens": max_tokens,
            "seed": seed,
            "temperature": temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if stop:
            request["stop"] = list(stop)
        if schema is not None:
            shape = {"name": "reply", "schema": dict(schema), "strict": True}
            request["response_format"] = {"type": "json_schema", "json_schema": shape}
        return self._stream(request)

    def _stream(self, request: Mapping[str, Any]) -> Generator[Delta]:
        try:
            client = self._connected()
            with closing(client.chat.completions.create(model=self._named(client), **request)) as chunks:
                yield from _deltas(chunks)
        except openai.OpenAIError as error:
            raise GenerationError(self._explained(error)) from error

    def _connected(self) -> openai.OpenAI:
        with self._lock:
            if self._client is None:
                address = os.environ.get("OPENAI_BASE_URL")
                if self.settings.offline and not _is_loopback(address):
                    raise GenerationError(
                        f"offline is set and {address or 'OpenAI'} is not on this machine. "
                        "Use a local LLM such as llamacpp, or unset offline."
                    )
                key = os.environ.get("OPENAI_API_KEY")
                if key is None and address is None:
                    raise GenerationError(
                        "no OPENAI_API_KEY in the environment. Set it, or set OPENAI_BASE_URL to a server of your own."
                    )
                self._client = openai.OpenAI(api_key=key or "none", base_url=address)
            return self._client

    def _named(self, client: openai.OpenAI) -> str:
        if self.model is None:
            listed = next(iter(client.models.list()), None)
            if listed is None:
                raise GenerationError(f"{client.base_url} lists no models; name one: openai:MODEL")
            self.model = listed.id
        return self.model

    def _explained(self, error: openai.OpenAIError) -> str:
        where = f"openai:{self.model or ''} at {self._client.base_url if self._client else 'an unknown address'}"
        if isinstance(error, openai.AuthenticationError):
            return f"{where} refused the key in OPENAI_API_KEY: {error.message}"
        if isinstance(error, openai.APIConnectionError):
            return (
                f"{where} cannot be reached ({error.__cause__ or error}). Is OPENAI_BASE_URL right and the server up?"
            )
        if isinstance(error, openai.APIStatusError):
            return f"{where} answered {error.status_code}: {error.message}"
        return f"{where} failed: {error}"


def _deltas(chunks: "openai.Stream[Any]") -> Iterator[Delta]:
    usage = Usage()
    for chunk in chunks:
        if chunk.usage is not None:
            usage = Usage(chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
        for choice in chunk.choices[:1]:
            if choice.delta.content:
                yield Delta(choice.delta.content)
    yield Delta("", usage)


def _is_loopback(address: str | None) -> bool:
    host = urlsplit(address or "").hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
