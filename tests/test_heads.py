"""Small classifiers: what they learn, that they are calibrated, and that files come back as they were."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from mmsdk.errors import InputError, WeightsError
from mmsdk.heads import Head, Shape

INTENTS = {
    "refund": [
        "I want my money back",
        "please refund my order",
        "return it and give me a refund",
        "我要退款",
        "退钱给我",
    ],
    "delivery": ["where is my parcel", "when will my order arrive", "track the delivery", "快递到哪了", "什么时候发货"],
    "account": ["I forgot my password", "cannot log in to my account", "change my login", "密码忘了", "登录不了"],
}
TEXTS = [(text,) for texts in INTENTS.values() for text in texts]
LABELS = [label for label, texts in INTENTS.items() for _ in texts]


@pytest.fixture(scope="module")
def intents() -> Head:
    return Head.fit(TEXTS, LABELS)


def test_a_handful_of_examples_is_enough_for_intents(intents: Head) -> None:
    asked = [
        ("refund please",),
        ("my parcel has not arrived",),
        ("log in fails",),
        ("怎么退款",),
        ("快递呢",),
        ("忘了密码",),
    ]
    assert intents.predict(asked) == ["refund", "delivery", "account", "refund", "delivery", "account"]


def test_one_example_a_label_works_without_calibration() -> None:
    head = Head.fit([("good news",), ("bad news",)], ["good", "bad"])
    assert head.predict([("good",), ("bad",)]) == ["good", "bad"]
    assert head.temperature == 1.0


def test_probabilities_are_calibrated() -> None:
    random = np.random.default_rng(0)
    words = np.array(["up", "down"])
    truth = random.integers(2, size=1200)
    shown = np.where(random.random(1200) < 0.8, truth, 1 - truth)  # the word is right four times in five
    texts = [(f"{words[word]} {random.integers(10**6)}",) for word in shown]
    head = Head.fit(texts[:600], [str(label) for label in truth[:600]])
    chances = head.predict_proba(texts[600:])
    assert np.allclose(chances.sum(axis=1), 1)
    assert abs(chances.max(axis=1).mean() - 0.8) < 0.05


def test_vectors_count_beside_words() -> None:
    vectors = np.array([[1, 0], [0, 1]] * 10, np.float32)
    texts = [("same words",)] * 20
    head = Head.fit(texts, ["left", "right"] * 10, vectors=vectors, shape=Shape(vector_weight=2.0))
    assert head.predict(texts[:2], vectors=vectors[:2]) == ["left", "right"]
    with pytest.raises(InputError, match="2 dimensions"):
        head.predict(texts[:2])
    with pytest.raises(InputError, match="2 texts, 2 labels and 1 vectors"):
        head.predict(texts[:2], vectors=vectors[:1])


def test_contributions_name_the_words_that_decided(intents: Head) -> None:
    strongest, strength = intents.contributions(("please refund the parcel",), "refund")[0]
    assert "refund" in strongest
    assert strength > 0
    assert dict(intents.contributions(("please refund the parcel",), "refund"))["parcel"] < 0
    assert intents.contributions(("",), "refund") == []


def test_contributions_add_up_to_the_logit(intents: Head) -> None:
    views = ("please refund the refund, please",)
    logits = np.log(intents.predict_proba([views])[0]) * intents.temperature - intents.weights[-1]
    for place, label in enumerate(intents.labels):
        added = sum(amount for _, amount in intents.contributions(views, label))
        assert added == pytest.approx(logits[place] - logits.mean(), abs=1e-9)


def test_a_head_comes_back_from_its_file(intents: Head, tmp_path: Path) -> None:
    intents.save(tmp_path / "intents.safetensors", about="a test")
    again = Head.load(tmp_path / "intents.safetensors")
    assert (again.labels, again.shape, again.temperature) == (intents.labels, intents.shape, intents.temperature)
    assert np.allclose(again.predict_proba(TEXTS), intents.predict_proba(TEXTS), atol=2e-3)


def test_what_is_no_head_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"not safetensors")
    save_file({"x": np.zeros(1)}, str(tmp_path / "b"))
    for name in ("a", "b", "missing"):
        with pytest.raises(WeightsError, match=f"{name} is not a head"):
            Head.load(tmp_path / name)


@pytest.mark.parametrize(("labels", "said"), [(["one", "one"], "two labels or more"), (["one"], "2 texts, 1 labels")])
def test_bad_material_is_refused(labels: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Head.fit([("a",), ("b",)], labels)
