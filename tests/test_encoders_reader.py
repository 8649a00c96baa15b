"""The reader: GGUF weights are what was written, the right sentence scores highest, however pairs are put together."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mmsdk import encoders, weights
from mmsdk.encoders import gguf, reader
from mmsdk.errors import ModelLoadError
from mmsdk.protocols import PairScorer
from mmsdk.settings import Settings
from tests.test_encoders_cross import TENT

QUESTIONS = {
    "What is the price of the Heron 3?": "price",
    "How heavy is the tent?": "weight",
    "Which colours does it come in?": "colour",
    "What do you do if the fabric rips?": "warranty",
}


@pytest.fixture(scope="module")
def scorer() -> PairScorer:
    return encoders.scorer("reader", Settings())


@pytest.fixture(scope="module")
def stored() -> gguf.Weights:
    return gguf.read(weights.resolve(reader.BODY, settings=Settings()))


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def written(path: Path, kind: int, data: bytes, shape: tuple[int, ...]) -> Path:
    """Write a file of two facts and one tensor."""
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 2)
    head += text("words") + struct.pack("<IIQ", 9, 8, 2) + text("été") + text("")
    head += text("general.alignment") + struct.pack("<II", 4, 64)
    head += text("x") + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape[::-1])
    head += struct.pack("<IQ", kind, 0)
    path.write_bytes(head + b"\0" * (-len(head) % 64) + data)
    return path


def test_four_bits_are_low_halves_first_times_the_scale_above_the_least(tmp_path: Path) -> None:
    halves = bytes(low | (15 - low) << 4 for low in range(16))
    block = np.array([0.5, -3.0], "<f2").tobytes() + halves
    found = gguf.read(written(tmp_path / "f", 3, block * 2, (2, 32)))
    row = [0.5 * q - 3 for q in [*range(16), *range(15, -1, -1)]]
    assert found.tensors["x"].tolist() == [row, row]
    assert found.facts["words"] == ["été", ""]


def test_eight_bits_are_signed(tmp_path: Path) -> None:
    block = np.array([0.25], "<f2").tobytes() + np.arange(-16, 16, dtype=np.int8).tobytes()
    found = gguf.read(written(tmp_path / "f", 8, block, (1, 32))).tensors["x"]
    assert found[0].tolist() == [0.25 * q for q in range(-16, 16)]


@pytest.mark.parametrize("damage", ["other kind", "cut", "no GGUF", "empty"])
def test_what_is_no_file_of_known_weights_is_refused(tmp_path: Path, damage: str) -> None:
    path = written(tmp_path / "f", 14 if damage == "other kind" else 0, b"\0" * 128, (1, 32))
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[:200], "no GGUF": b"GGML" + whole[4:], "empty": b""}.get(damage, whole))
    with pytest.raises(ModelLoadError, match="no GGUF file that can be read here"):
        gguf.read(path)


def test_the_bundled_llm_read_by_torch_knows_what_it_knows_in_llama_cpp(stored: gguf.Weights) -> None:
    ids = reader.tokenizer(stored.facts).encode("The capital of France is").ids
    with torch.inference_mode():
        body = reader.body(stored).train(mode=False)
        states = body(torch.tensor([ids])).last_hidden_state[0, -1]
        best = int((body.embed_tokens.weight @ states).argmax())
    assert stored.facts["tokenizer.ggml.tokens"][best] == "ĠParis"


def test_control_tokens_in_a_document_are_text(stored: gguf.Weights) -> None:
    found = reader.tokenizer(stored.facts).encode("<|im_start|>system")
    assert stored.facts["tokenizer.ggml.tokens"].index("<|im_start|>") not in found.ids
    assert len(found.ids) > 3


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_sentence_that_answers_scores_highest(scorer: PairScorer, question: str) -> None:
    scores = scorer.score([(question, sentence) for sentence in TENT.values()])
    assert list(TENT)[int(scores.argmax())] == QUESTIONS[question]
    assert scores.dtype == np.float32


def test_scores_keep_their_order_and_do_not_depend_on_what_is_read_beside_them(scorer: PairScorer) -> None:
    pairs = [(question, sentence) for sentence in TENT.values() for question in QUESTIONS]
    together = scorer.score(sorted(pairs))
    alone = np.concatenate([scorer.score([pair]) for pair in sorted(pairs)])
    np.testing.assert_allclose(together, alone, atol=0.25)
    mixed = scorer.score(pairs)
    np.testing.assert_allclose(mixed, [together[sorted(pairs).index(pair)] for pair in pairs], atol=0.25)
    assert scorer.score([]).shape == (0,)


def test_a_question_read_once_gives_what_reading_all_in_one_piece_gives(stored: gguf.Weights) -> None:
    one = reader.Reader(settings=Settings())
    one.__dict__["_loaded"] = reader.body(stored).train(mode=False), one._loaded[1]
    question, sentences = next(iter(QUESTIONS)), list(TENT.values())
    scores = one.score([(question, sentence) for sentence in sentences])
    words, (body, output) = reader.tokenizer(stored.facts), one._loaded
    for sentence, score in zip(sentences, scores, strict=True):
        ids = words.encode(f"Question: {question}\nText: {sentence}\nAnswered:").ids
        with torch.inference_mode():
            last = body(torch.tensor([ids])).last_hidden_state[0, -1]
        assert float(last @ output[:-1] + output[-1]) == pytest.approx(float(score), abs=1e-3)


def test_adapters_of_another_model_and_files_that_are_not_there_are_refused(tmp_path: Path) -> None:
    save_file({"output": torch.zeros(577), "layers.40.mlp.up_proj.B": torch.zeros(1536, 2)}, tmp_path / "other")
    for file in (tmp_path / "other", tmp_path / "none"):
        with pytest.raises(ModelLoadError, match="does not load as a reader"):
            encoders.scorer(f"reader:{file}", Settings()).score([("a", "b")])


def test_what_is_too_long_is_cut_and_many_are_read_in_turn(scorer: PairScorer) -> None:
    long = [("How heavy is the tent? " * 50, "word " * 5000)]
    many = [("How heavy is the tent?", f"{TENT['weight']} {number}" * (number % 9)) for number in range(80)]
    scores = scorer.score(long + many)
    assert scores.shape == (81,)
    assert np.isfinite(scores).all()
