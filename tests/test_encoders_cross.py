"""The pair scorer: what the bundled one tells apart, and cross-encoders from folders."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder as Model
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

from mmsdk import encoders, weights
from mmsdk.encoders.cross import BODY
from mmsdk.errors import ModelLoadError, PluginNotFoundError
from mmsdk.protocols import PairScorer
from mmsdk.settings import Settings

TENT = {
    "price": "Heron 3 tent: It costs 240 euros.",
    "weight": "Heron 3 tent: The tent weighs 3.1 kg with its pegs.",
    "colour": "Heron 3 tent: It is sold in green and in sand.",
    "warranty": "Heron 3 tent: We repair torn fabric free of charge for five years.",
}


def scorer(name: str = "cross") -> PairScorer:
    return encoders.scorer(name, Settings())


def saved(folder: Path, *, outputs: int) -> Path:
    """Save a small cross-encoder with random weights and the vocabulary of the bundled text encoder."""
    torch.manual_seed(3)
    tokenizer = AutoTokenizer.from_pretrained(weights.resolve(BODY, settings=Settings()))
    config = BertConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    config.num_labels = outputs
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is the price of the Heron 3?", "price"),
        ("How heavy is the tent?", "weight"),
        ("Which colours does it come in?", "colour"),
        ("What do you do if the fabric rips?", "warranty"),
    ],
)
def test_the_sentence_that_answers_scores_highest(question: str, answer: str) -> None:
    scores = scorer().score([(question, text) for text in TENT.values()])
    assert list(TENT)[int(scores.argmax())] == answer


def test_scores_are_logits_in_order_and_do_not_depend_on_the_batch() -> None:
    pairs = [("How heavy is the tent?", text) for text in TENT.values()]
    together = scorer().score(pairs)
    assert together.dtype == np.float32
    assert together.shape == (4,)
    alone = np.concatenate([scorer().score([pair]) for pair in pairs])
    np.testing.assert_allclose(together, alone, atol=0.01)
    assert together.max() > 0 > together.min()
    assert scorer().score([]).shape == (0,)


def test_what_is_too_long_is_cut() -> None:
    assert np.isfinite(scorer().score([("How heavy is the tent?", "word " * 5000)])).all()


def test_a_folder_of_sentence_transformers_is_a_scorer(tmp_path: Path) -> None:
    folder = saved(tmp_path / "mine", outputs=1)
    pairs = [("a question", "a text"), ("another", "one more text")]
    expected = Model(str(folder), device="cpu").predict(pairs, activation_fn=torch.nn.Identity())
    np.testing.assert_allclose(scorer(f"cross:{folder}").score(pairs), expected, atol=1e-5)


def test_a_model_with_several_outputs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="one output"):
        scorer(f"cross:{saved(tmp_path / 'three', outputs=3)}").score([("a", "b")])


def test_an_unknown_scorer_is_an_error() -> None:
    with pytest.raises(PluginNotFoundError, match=r"no scorers entry point is called 'crss'.*cross"):
        scorer("crss")
