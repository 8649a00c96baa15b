"""Local chat models by transformers, on tiny random checkpoints that the tests make and save."""

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from mmsdk import registry
from mmsdk.errors import GenerationError, ModelLoadError, UnsupportedModalityError
from mmsdk.llms.transformers import TransformersLLM
from mmsdk.protocols import LLM
from mmsdk.settings import Settings
from mmsdk.types import Audio, Image, Message

TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>"
    "{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for p in m.content %}{% if p.type == 'image' %}<image>{% else %}{{ p.text }}{% endif %}{% endfor %}{% endif %}"
    "</s>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<pad>", "<s>", "</s>", "<image>", "<|user|>", "<|assistant|>", "<|system|>"]
CPU = Settings(device="cpu")
SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.5,  # large, so that every input token matters
}


def tokenizer() -> transformers.PreTrainedTokenizerFast:
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        ["hello there"], trainers.BpeTrainer(vocab_size=280, initial_alphabet=alphabet, special_tokens=SPECIAL)
    )
    return transformers.PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=raw, pad_token="<pad>", bos_token="<s>", eos_token="</s>", extra_special_tokens=SPECIAL[3:]
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny")
    words = tokenizer()
    words.chat_template = TEMPLATE
    words.save_pretrained(path)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(vocab_size=len(words), pad_token_id=0, bos_token_id=1, eos_token_id=2, **SHAPE)
    transformers.LlamaForCausalLM(config).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def llm(folder: Path) -> TransformersLLM:
    built = registry.create("llms", f"transformers:{folder}", settings=CPU)
    assert isinstance(built, TransformersLLM)
    return built


ASK = [Message("system", "Be brief."), Message("user", "Hello 你好")]


def test_it_streams_counts_samples_by_seed_and_stops(llm: TransformersLLM) -> None:
    assert isinstance(llm, LLM)
    assert llm.context == 256
    assert llm.modalities == {"text"}
    deltas = list(llm.generate(ASK, max_tokens=10))
    text, usage = "".join(delta.text for delta in deltas), deltas[-1].usage
    assert usage is not None
    assert usage.output_tokens == 10
    assert usage.input_tokens > 20
    warm = ["".join(d.text for d in llm.generate(ASK, max_tokens=10, temperature=1.0, seed=s)) for s in (1, 1, 2)]
    assert warm[0] == warm[1] != warm[2]
    stopped = "".join(delta.text for delta in llm.generate(ASK, max_tokens=10, stop=[text[2:4]]))
    assert text.startswith(stopped)
    assert text[2:4] not in stopped


def test_a_schema_makes_even_a_random_model_write_json(llm: TransformersLLM) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"enum": ["ant", "bee", "蜂"]}, "legs": {"type": "boolean"}},
        "required": ["name", "legs"],
        "additionalProperties": False,
    }
    for seed in range(3):
        deltas = llm.generate(ASK, max_tokens=200, schema=schema, temperature=1.0, seed=seed)
        reply = json.loads("".join(delta.text for delta in deltas))
        assert reply["name"] in ("ant", "bee", "蜂")
        assert isinstance(reply["legs"], bool)


def test_closing_stops_generation(llm: TransformersLLM) -> None:
    before = threading.active_count()
    stream = llm.generate(ASK, max_tokens=200)
    next(stream)
    stream.close()
    assert threading.active_count() == before
    assert len(list(llm.generate(ASK, max_tokens=3))) >= 2


def test_what_does_not_fit_or_load_is_a_typed_error(llm: TransformersLLM, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(GenerationError, match="takes 256 tokens"):
        list(llm.generate([Message("user", "word " * 300)]))
    with pytest.raises(UnsupportedModalityError, match="not image"):
        llm.generate([Message("user", [Image(np.zeros((4, 4, 3), np.uint8))])])
    with pytest.raises(ModelLoadError, match="needs a model"):
        TransformersLLM(None, settings=CPU)
    with pytest.raises(ModelLoadError, match="cannot load"):
        list(TransformersLLM(str(tmp_path), settings=CPU).generate(ASK))
    bare = tmp_path / "bare"
    tokenizer().save_pretrained(bare)
    transformers.LlamaForCausalLM.from_pretrained(folder).save_pretrained(bare)
    with pytest.raises(ModelLoadError, match="chat template"):
        list(TransformersLLM(str(bare), settings=CPU).generate(ASK))


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> TransformersLLM:
    path = tmp_path_factory.mktemp("seeing")
    words = tokenizer()
    pictures = transformers.CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    transformers.LlavaProcessor(  # type: ignore[no-untyped-call]
        pictures,
        words,
        patch_size=8,
        vision_feature_select_strategy="default",
        chat_template=TEMPLATE,
        image_token="<image>",
        num_additional_image_tokens=1,
    ).save_pretrained(path)
    vision = transformers.CLIPVisionConfig(
        image_size=16, patch_size=8, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2
    )
    language = transformers.LlamaConfig(vocab_size=len(words), pad_token_id=0, bos_token_id=1, eos_token_id=2, **SHAPE)
    image = SPECIAL.index("<image>")
    config = transformers.LlavaConfig(vision_config=vision, text_config=language, image_token_index=image)
    torch.manual_seed(0)
    transformers.LlavaForConditionalGeneration(config).save_pretrained(path)
    return TransformersLLM(str(path), settings=CPU)


def test_a_model_that_sees_takes_pictures(seeing: TransformersLLM) -> None:
    assert seeing.modalities == {"text", "image"}
    noise = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    replies = []
    for pixels in (noise, np.zeros_like(noise)):
        asked = [Message("user", ["What is shown?", Image(pixels)])]
        deltas = list(seeing.generate(asked, max_tokens=12, temperature=1.0))
        replies.append("".join(delta.text for delta in deltas))
        assert deltas[-1].usage is not None
    assert replies[0] != replies[1]
    with pytest.raises(UnsupportedModalityError, match="not audio"):
        seeing.generate([Message("user", [Audio(np.zeros(4, np.float32), 8000)])])
