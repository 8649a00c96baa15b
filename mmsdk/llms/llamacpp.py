"""GGUF models by llama.cpp (xllamacpp), on CPU or GPU, text only.

llama.cpp applies the model's chat template and, for ``schema``, a grammar that lets nothing but
matching JSON through. It does not know how long a good answer is, and a small model invents: use it to
phrase, not as a source.
"""

import secrets
import threading
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from mmsdk import weights
from mmsdk.errors import GenerationError, ModelLoadError
from mmsdk.llms.messages import check, protocol
from mmsdk.llms.streams import Emit, pushed
from mmsdk.settings import Settings
from mmsdk.types import Delta, Message, Modality, Usage

MODEL = "SmolLM2-135M-Instruct"


class LlamaCpp:
    """Generate with a GGUF file: a short name such as ``SmolLM2-135M-Instruct``, a hub id or a path.

    ``context`` is in tokens; a prompt that does not fit raises ``GenerationError``. The model is
    loaded on first use. One object may be used from several threads: llama.cpp queues the calls.

    >>> llm = LlamaCpp(settings=Settings())
    >>> said = "".join(delta.text for delta in llm.generate([Message("user", "Say hello.")], max_tokens=8))
    """

    modalities: frozenset[Modality] = frozenset({"text"})

    def __init__(self, model: str | None = None, *, settings: Settings, context: int = 4096) -> None:
        self.model = model or MODEL
        self.settings = settings
        self.context = context
        self._server: Any = None
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
        """Stream the reply; closing the iterator stops llama.cpp at the next token.

        Raises ``UnsupportedModalityError`` for pictures and recordings, ``ModelLoadError``, and
        ``GenerationError`` when the messages exceed ``context``.
        """
        check(messages, self.modalities, name=f"llamacpp:{self.model}")
        request: dict[str, Any] = {
            "messages": protocol(messages),
            "max_tokens": max_tokens,
            "seed": seed,
            "temperature": temperature,
            "stop": list(stop),
            "stream": True,
            "stream_options": {"include_usage": True},
            "cache_prompt": False,  # reusing a prefix changes the last digits, and with them the reply
        }
        if schema is not None:
            request["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "reply", "schema": dict(schema)},
            }
        return pushed(lambda emit: self._run(request, emit))

    def _run(self, request: Mapping[str, Any], emit: Emit) -> None:
        problems: list[str] = []

        def receive(chunk: Mapping[str, Any]) -> bool:
            if "error" in chunk:
                problems.append(str(chunk["error"].get("message", chunk["error"])))
                return True
            return not emit(_delta(chunk))

        try:
            self._loaded().handle_chat_completions(request, receive)
        except RuntimeError as error:
            problems.append(str(error))
        if problems:
            raise GenerationError(
                f"llamacpp:{self.model} (context {self.context} tokens) did not generate: {problems[0]}. "
                "Shorten the messages or build it with a larger context."
            )

    def _loaded(self) -> Any:
        with self._lock:
            if self._server is None:
                self._server = self._load()
            return self._server

    def _load(self) -> Any:
        import xllamacpp

        path = weights.resolve(self.model, settings=self.settings)
        if path.is_dir():
            files = sorted(path.glob("*.gguf"))
            if not files:
                raise ModelLoadError(f"{path} holds no .gguf file; llamacpp reads GGUF models only")
            path = files[0]
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(path)
        parameters.n_ctx = self.context
        parameters.n_parallel = 1
        parameters.cache_ram_mib = 0
        parameters.n_gpu_layers = 0 if self.settings.device == "cpu" else -1
        parameters.verbosity = -1
        # xllamacpp always listens on a free loopback port; with a key that nobody knows it answers no one.
        parameters.api_keys = [secrets.token_hex(32)]
        parameters.ui = False
        try:
            return xllamacpp.Server(parameters)
        except RuntimeError as error:
            raise ModelLoadError(
                f"llama.cpp cannot load {path}: {error} Check that it is a GGUF file and that its "
                f"context of {self.context} tokens fits into memory."
            ) from error


def _delta(chunk: Mapping[str, Any]) -> Delta:
    choices = chunk.get("choices") or [{}]
    text = choices[0].get("delta", {}).get("content") or ""
    usage = chunk.get("usage")
    if usage is None:
        return Delta(text)
    return Delta(text, Usage(usage["prompt_tokens"], usage["completion_tokens"]))
