"""Score how well a sentence answers a question by reading both with a small LLM that was trained to say so.

The LLM is the bundled SmolLM2-135M (Allal et al. 2025, https://arxiv.org/abs/2502.02737), its GGUF weights made whole
in torch, with low-rank adapters (Hu et al. 2021) and one output that lie beside this module; data, protocol, figures
and limits are in docs/cross-encoder.md. It knows English questions and single sentences.
"""

import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.resources import as_file, files
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import DynamicCache, LlamaConfig, LlamaModel

from mmsdk import weights
from mmsdk.encoders import cross, gguf
from mmsdk.encoders.text import native_half
from mmsdk.errors import ModelLoadError
from mmsdk.recognizers.devices import torch_device, without_bars
from mmsdk.settings import Settings

BODY = "SmolLM2-135M-Instruct"
"""The pinned model that the bundled adapters belong to."""
LENGTH = 128
"""How many tokens are read of a text, and of a question."""
TOKENS = 2048
"""How many tokens are read at once."""
_NAMES = {
    "token_embd": "embed_tokens",
    "output_norm": "norm",
    "blk": "layers",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


class Reader:
    """Score pairs of question and sentence with the bundled LLM. Safe to share between threads.

    ``adapters`` is a file of ``benchmarks/cross/reader.py``; without one, the bundled adapters are used.

    >>> from mmsdk.settings import Settings
    >>> question = "How much is the tent?"
    >>> pairs = [(question, "The tent costs 90 euros."), (question, "The tent weighs 2 kg.")]
    >>> price, weight = Reader(settings=Settings()).score(pairs)
    >>> bool(price > 0 > weight)
    True
    """

    def __init__(self, adapters: str | None = None, *, settings: Settings) -> None:
        self.adapters = adapters
        self.settings = settings
        self._running = threading.Lock()

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Score pairs in order; float32 ``[len(pairs)]``, logits: any real number, higher for a better match.

        Pairs with the same question should be neighbours: it is read once for them. Raises ``WeightsError`` and
        ``ModelLoadError``.
        """
        scores = np.zeros(len(pairs), np.float32)
        with self._running, torch.inference_mode():
            for question, group in groupby(range(len(pairs)), key=lambda place: pairs[place][0]):
                places = list(group)
                asked, *texts = self._ids([f"Question: {question}", *(f"\nText: {pairs[at][1]}" for at in places)])
                order = sorted(range(len(places)), key=lambda at: len(texts[at]))
                for batch in _batches(order, [len(text) for text in texts]):
                    scores[[places[at] for at in batch]] = self._read(asked, [texts[at] for at in batch])
        return scores

    def _read(self, question: list[int], texts: list[list[int]]) -> NDArray[np.float32]:
        """Read texts behind a question that is read once."""
        model, output = self._loaded
        read = DynamicCache(config=model.config)
        model(torch.tensor([question], device=model.device), past_key_values=read)
        read.batch_repeat_interleave(len(texts))
        ended = [[*text, *self._end] for text in texts]
        longest = max(map(len, ended))
        filled = torch.tensor([text + [0] * (longest - len(text)) for text in ended], device=model.device)
        states = model(filled, past_key_values=read).last_hidden_state
        last = states[torch.arange(len(ended)), [len(text) - 1 for text in ended]].float()
        scores: NDArray[np.float32] = (last @ output[:-1] + output[-1]).cpu().numpy()
        return scores

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [found.ids[:LENGTH] for found in self._tokenizer.encode_batch(list(texts))]

    @cached_property
    def _end(self) -> list[int]:
        return self._ids(["\nAnswered:"])[0]

    @cached_property
    def _stored(self) -> gguf.Weights:
        return gguf.read(weights.resolve(BODY, settings=self.settings))

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return tokenizer(self._stored.facts)

    @cached_property
    def _loaded(self) -> tuple[LlamaModel, torch.Tensor]:
        device = torch_device(self.settings.device)
        try:
            with as_file(files("mmsdk.encoders").joinpath("reader.safetensors")) as bundled:
                changes = load_file(self.adapters or bundled)
            output = changes.pop("output").float()
            read: Any = body(self._stored)
            cross.adapt(read, changes)
            return read.to(device, native_half(device) or torch.float32).eval(), output.to(device)
        except (OSError, ValueError, RuntimeError, KeyError, AttributeError) as error:
            raise ModelLoadError(f"{BODY} does not load as a reader: {error}") from error


def body(stored: gguf.Weights) -> LlamaModel:
    """Give the layers of a Llama model of a GGUF file, in float32."""
    facts = {name.removeprefix("llama."): value for name, value in stored.facts.items()}
    heads, shared = facts["attention.head_count"], facts["attention.head_count_kv"]
    shape: dict[str, Any] = {
        "vocab_size": facts["vocab_size"],
        "hidden_size": facts["embedding_length"],
        "intermediate_size": facts["feed_forward_length"],
        "num_hidden_layers": facts["block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": shared,
        "max_position_embeddings": facts["context_length"],
        "rms_norm_eps": facts["attention.layer_norm_rms_epsilon"],
        "rope_theta": facts["rope.freq_base"],
    }
    config = LlamaConfig(**shape)
    found = {}
    for name, tensor in stored.tensors.items():
        turned = {"attn_q": heads, "attn_k": shared}.get(name.split(".")[-2])
        found[".".join(_NAMES.get(part, part) for part in name.split("."))] = _halves(tensor, turned)
    with without_bars():
        model: LlamaModel = LlamaModel.from_pretrained(None, config=config, state_dict=found, dtype=torch.float32)
    return model


def _halves(tensor: torch.Tensor, heads: int | None) -> torch.Tensor:
    """Put the rows of a head, which llama.cpp rotates by neighbours, in the order that transformers rotates halves."""
    if heads is None:
        return tensor
    return tensor.reshape(heads, -1, 2, tensor.shape[1]).transpose(1, 2).reshape(tensor.shape)


def tokenizer(facts: Mapping[str, Any]) -> Tokenizer:
    """Give the byte-level tokenizer of a GGUF file. Control tokens are plain text to it: documents may hold them."""
    words = {word: place for place, word in enumerate(facts["tokenizer.ggml.tokens"])}
    merges = [tuple(merge.split(" ", 1)) for merge in facts["tokenizer.ggml.merges"]]
    found = Tokenizer(models.BPE(words, merges))
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return found


def _batches(order: Sequence[int], lengths: Sequence[int]) -> list[list[int]]:
    """Cut texts, shortest first, into batches of a limited size."""
    found: list[list[int]] = [[]]
    for place in order:
        if found[-1] and (len(found[-1]) + 1) * (lengths[place] + 8) > TOKENS:
            found.append([])
        found[-1].append(place)
    return found
