"""The bundled Whisper base in the formats of openai-whisper and transformers, so that both engines run real weights.

CTranslate2's ``model.bin`` is a list of named arrays; names change, fused projections are taken apart.
"""

import json
import re
import struct
from collections.abc import Iterator
from functools import reduce
from pathlib import Path

import numpy as np
import torch
from transformers import GenerationConfig, WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration
from transformers.models.whisper.tokenization_whisper import LANGUAGES, WhisperTokenizer

from mmsdk import weights
from mmsdk.settings import Settings

DIMENSIONS = {
    "n_mels": 80,
    "n_audio_ctx": 1500,
    "n_audio_state": 512,
    "n_audio_head": 8,
    "n_audio_layer": 6,
    "n_vocab": 51865,
    "n_text_ctx": 448,
    "n_text_state": 512,
    "n_text_head": 8,
    "n_text_layer": 6,
}
PIECES = {
    "self_attention/linear_0": ("attn.query", "attn.key", "attn.value"),
    "self_attention/linear_1": ("attn.out",),
    "self_attention/layer_norm": ("attn_ln",),
    "attention/linear_0": ("cross_attn.query",),
    "attention/linear_1": ("cross_attn.key", "cross_attn.value"),
    "attention/linear_2": ("cross_attn.out",),
    "attention/layer_norm": ("cross_attn_ln",),
    "ffn/linear_0": ("mlp.0",),
    "ffn/linear_1": ("mlp.2",),
    "ffn/layer_norm": ("mlp_ln",),
}
RENAMED = (
    ("decoder.token_embedding", "decoder.embed_tokens"),
    ("positional_embedding", "embed_positions.weight"),
    ("blocks", "layers"),
    ("cross_attn_ln", "encoder_attn_layer_norm"),
    ("attn_ln", "self_attn_layer_norm"),
    ("cross_attn", "encoder_attn"),
    (".attn.", ".self_attn."),
    (".query", ".q_proj"),
    (".key", ".k_proj"),
    (".value", ".v_proj"),
    (".out.", ".out_proj."),
    ("mlp_ln", "final_layer_norm"),
    ("mlp.0", "fc1"),
    ("mlp.2", "fc2"),
    ("encoder.ln_post", "encoder.layer_norm"),
    ("decoder.ln.", "decoder.layer_norm."),
)


def folder() -> Path:
    return weights.resolve("whisper-base", settings=Settings())


def arrays(file: Path) -> Iterator[tuple[str, torch.Tensor]]:
    with file.open("rb") as stream:

        def number(kind: str) -> int:
            return int(struct.unpack(f"<{kind}", stream.read(struct.calcsize(kind)))[0])

        def word() -> str:
            return stream.read(number("H"))[:-1].decode()

        assert (number("I"), word(), number("I")) == (6, "WhisperSpec", 3)
        for _ in range(number("I")):
            name = word()
            shape = [number("I") for _ in range(number("B"))]
            kind, data = number("B"), stream.read(number("I"))
            if kind == 4 and shape:
                yield name, torch.from_numpy(np.frombuffer(data, np.float16).reshape(shape).astype(np.float32))


def openai_state() -> dict[str, torch.Tensor]:
    """Give the weights under openai-whisper's names."""
    state = {}
    for name, array in arrays(folder() / "model.bin"):
        side, _, rest = name.partition("/")
        path, _, kind = rest.rpartition("/")
        kind = {"gamma": "weight", "beta": "bias"}.get(kind, kind)
        if path.startswith("layer_") and path != "layer_norm":
            layer, _, piece = path.removeprefix("layer_").partition("/")
            for target, part in zip(PIECES[piece], array.chunk(len(PIECES[piece])), strict=True):
                if not (target.endswith("key") and kind == "bias"):
                    state[f"{side}.blocks.{layer}.{target}.{kind}"] = part.clone()
        elif path == "position_encodings":
            state[f"{side}.positional_embedding"] = array
        else:
            norm = "ln_post" if side == "encoder" else "ln"
            target = {"layer_norm": norm, "embeddings": "token_embedding"}.get(path, path)
            state[f"{side}.{target}.{kind}"] = array
    return state


def write_openai(file: Path) -> None:
    torch.save({"dims": DIMENSIONS, "model_state_dict": openai_state()}, file)


def write_transformers(target: Path) -> None:
    state = {}
    for name, array in openai_state().items():
        state[f"model.{reduce(lambda so_far, pair: so_far.replace(*pair), RENAMED, name)}"] = array
    state["proj_out.weight"] = state["model.decoder.embed_tokens.weight"]
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=51865,
            d_model=512,
            encoder_layers=6,
            decoder_layers=6,
            encoder_attention_heads=8,
            decoder_attention_heads=8,
            encoder_ffn_dim=2048,
            decoder_ffn_dim=2048,
            bos_token_id=50257,
            eos_token_id=50257,
            pad_token_id=50257,
            decoder_start_token_id=50258,
        )
    )
    model.load_state_dict(state)
    tokenizer = WhisperTokenizer(tokenizer_file=str(folder() / "tokenizer.json"))
    marks = [word for word in tokenizer.get_vocab() if re.fullmatch(r"<\|[a-z]+\|>", word)]
    tokenizer.add_special_tokens({"additional_special_tokens": marks})
    known = json.loads((folder() / "config.json").read_text())
    numbers = tokenizer.get_vocab()
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        decoder_start_token_id=50258,
        eos_token_id=50257,
        pad_token_id=50257,
        max_length=448,
        suppress_tokens=known["suppress_ids"],
        begin_suppress_tokens=known["suppress_ids_begin"],
        is_multilingual=True,
        lang_to_id={f"<|{code}|>": numbers[f"<|{code}|>"] for code in LANGUAGES if f"<|{code}|>" in numbers},
        task_to_id={"transcribe": 50359, "translate": 50358},
        no_timestamps_token_id=50363,
        max_initial_timestamp_index=50,
        return_timestamps=True,
    )
    extractor = WhisperFeatureExtractor()  # type: ignore[no-untyped-call]
    for piece in (model, tokenizer, extractor):
        piece.save_pretrained(target)
