"""Local chat models by Hugging Face transformers, on CPU or GPU; pictures where the model takes them.

The model's own chat template writes the prompt; ``schema`` is enforced token by token by llguidance.
Only safetensors are read and no code of a repository is run. This module does not know which models are
good at what.
"""

import json
import threading
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import transformers

from mmsdk import weights
from mmsdk.errors import DeviceMemoryError, GenerationError, ModelLoadError
from mmsdk.llms.messages import check, contents, text
from mmsdk.llms.streams import Emit, cut, pushed
from mmsdk.settings import Settings
from mmsdk.types import Delta, Image, Message, Modality, Usage


@dataclass(frozen=True)
class _Loaded:
    model: Any
    tokenizer: Any
    processor: Any  # None for a model that takes text only
    context: int


class TransformersLLM:
    """Generate with a local chat model: a hub id such as ``Qwen/Qwen3-4B-Instruct-2507`` or a folder.

    ``context`` and ``modalities`` are the model's and load it; a prompt that does not fit raises
    ``GenerationError``. One object may be used from several threads; they take turns.
    """

    def __init__(self, model: str | None = None, *, settings: Settings) -> None:
        if model is None:
            raise ModelLoadError("transformers needs a model: transformers:ORGANISATION/NAME or transformers:FOLDER")
        self.model = model
        self.settings = settings
        self._held: _Loaded | None = None
        self._guides: Any = None
        self._loading = threading.Lock()
        self._turn = threading.Lock()

    @property
    def context(self) -> int:
        """Tokens that prompt and reply may have together."""
        return self._loaded().context

    @property
    def modalities(self) -> frozenset[Modality]:
        """``text``, and ``image`` when the model has an image processor."""
        return frozenset({"text"}) if self._loaded().processor is None else frozenset({"text", "image"})

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
        """Stream the reply; closing the iterator stops generation at the next token.

        Raises ``UnsupportedModalityError``, ``ModelLoadError``, ``DeviceMemoryError``, and
        ``GenerationError`` when the messages exceed ``context``.
        """
        check(messages, self.modalities, name=f"transformers:{self.model}")
        sampling: dict[str, Any] = {"do_sample": False}
        if temperature > 0:
            sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
        sampling["max_new_tokens"] = max_tokens

        def produce(emit: Emit) -> None:
            with self._turn:
                self._run(messages, sampling, seed, schema, emit)

        return cut(pushed(produce), stop)

    def _run(
        self,
        messages: Sequence[Message],
        sampling: Mapping[str, Any],
        seed: int,
        schema: Mapping[str, Any] | None,
        emit: Emit,
    ) -> None:
        held = self._loaded()
        inputs = self._inputs(held, messages)
        read = int(inputs["input_ids"].shape[1])
        if read >= held.context:
            raise GenerationError(
                f"transformers:{self.model} takes {held.context} tokens and the messages have {read}. Shorten them."
            )
        streamer = _Streamer(held.tokenizer, emit)
        guides = [] if schema is None else [_Guide(self._guidance(held), schema)]
        options = {**sampling, "max_new_tokens": min(sampling["max_new_tokens"], held.context - read)}
        cuda = [held.model.device] if held.model.device.type == "cuda" else []
        try:
            with torch.inference_mode(), torch.random.fork_rng(devices=cuda):
                torch.manual_seed(seed)
                held.model.generate(
                    **inputs,
                    **options,
                    streamer=streamer,
                    logits_processor=transformers.LogitsProcessorList(guides),
                    stopping_criteria=transformers.StoppingCriteriaList([streamer.stopped]),
                )
        except torch.OutOfMemoryError as error:
            raise DeviceMemoryError(
                f"transformers:{self.model} ran out of memory on {held.model.device} with {read} prompt tokens. "
                "Shorten the messages or choose a smaller model."
            ) from error
        emit(Delta("", Usage(read, streamer.count)))

    def _inputs(self, held: _Loaded, messages: Sequence[Message]) -> Any:
        plain = held.processor is None
        written = [
            {"role": message.role, "content": text(message) if plain else [_part(part) for part in contents(message)]}
            for message in messages
        ]
        template = held.tokenizer if plain else held.processor
        inputs = template.apply_chat_template(
            written, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
        return inputs.to(held.model.device)

    def _guidance(self, held: _Loaded) -> Any:
        if self._guides is None:
            import llguidance.hf

            size = held.model.get_output_embeddings().weight.shape[0]
            self._guides = llguidance.hf.from_tokenizer(held.tokenizer, n_vocab=size)
        return self._guides

    def _loaded(self) -> _Loaded:
        with self._loading:
            if self._held is None:
                self._held = self._load()
            return self._held

    def _load(self) -> _Loaded:
        folder = weights.resolve(self.model, settings=self.settings)
        device = _device(self.settings.device)
        try:
            config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
            sees = type(config) in transformers.AutoModelForImageTextToText._model_mapping
            auto: Any = transformers.AutoModelForImageTextToText if sees else transformers.AutoModelForCausalLM
            reader: Any = transformers.AutoProcessor if sees else transformers.AutoTokenizer
            processor = reader.from_pretrained(folder)
            dtype = torch.bfloat16 if device.startswith("cuda") else "auto"
            model = auto.from_pretrained(folder, dtype=dtype, use_safetensors=True).to(device).eval()
        except torch.OutOfMemoryError as error:
            raise DeviceMemoryError(f"{self.model} does not fit into the memory of {device}") from error
        except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
            raise ModelLoadError(f"transformers cannot load {self.model} from {folder}: {error}") from error
        if processor.chat_template is None:
            raise ModelLoadError(f"{self.model} has no chat template; choose an instruct or chat model")
        tokenizer = processor.tokenizer if sees else processor
        context = getattr(config.get_text_config(), "max_position_embeddings", None) or tokenizer.model_max_length
        return _Loaded(model, tokenizer, processor if sees else None, int(context))


class _Streamer(transformers.TextIteratorStreamer):
    """Hand each piece of text on as it is decoded, count the tokens, and say when the consumer has gone."""

    def __init__(self, tokenizer: Any, emit: Emit) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self.emit = emit
        self.count = -1  # the prompt comes first
        self.gone = False

    def put(self, value: Any) -> None:
        self.count += 1
        super().put(value)  # type: ignore[no-untyped-call]

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        del stream_end
        if text and not self.emit(Delta(text)):
            self.gone = True

    def stopped(self, input_ids: torch.Tensor, scores: Any, **options: Any) -> torch.Tensor:
        del scores, options
        self.gone = self.gone or not self.emit(Delta(""))
        return torch.full((input_ids.shape[0],), self.gone, dtype=torch.bool, device=input_ids.device)


class _Guide(transformers.LogitsProcessor):
    """Let only tokens through that keep the reply inside a JSON schema."""

    def __init__(self, tokenizer: Any, schema: Mapping[str, Any]) -> None:
        import llguidance

        grammar = llguidance.LLMatcher.grammar_from_json_schema(json.dumps(dict(schema)))
        self.matcher = llguidance.LLMatcher(tokenizer, grammar)
        if self.matcher.is_error():
            raise GenerationError(f"the schema cannot be enforced: {self.matcher.get_error()}")
        self.begun = False

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if self.begun:
            self.matcher.consume_token(int(input_ids[0, -1]))
        self.begun = True
        mask = torch.frombuffer(bytearray(self.matcher.compute_bitmask()), dtype=torch.uint8)
        allowed = (mask[:, None] >> torch.arange(8, dtype=torch.uint8)) & 1
        banned = allowed.flatten()[: scores.shape[1]].to(scores.device) == 0
        return scores.masked_fill(banned, float("-inf"))


def _part(content: Any) -> dict[str, Any]:
    if isinstance(content, Image):
        from PIL import Image as Pillow

        return {"type": "image", "image": Pillow.fromarray(content.pixels)}
    return {"type": "text", "text": content}


def _device(wanted: str) -> str:
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
