"""Intents: scikit-learn manners, calibration, out of scope, Chinese, saving; figures on real data are in benchmarks."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from mmsdk.errors import InputError, WeightsError
from mmsdk.runtime import Runtime
from mmsdk.testing import HashingEncoder
from mmsdk_service import IntentClassifier
from mmsdk_service.examples import read_examples

TEXTS = [
    *("where is my parcel", "has my order been sent", "track my delivery", "my package has not come", "包裹到哪了"),
    *("I want my money back", "refund please", "please refund this order", "give me a refund", "我要退款"),
    *("when are you open", "opening hours", "are you open on sunday", "what time do you close", "几点开门"),
]
LABELS = [label for label in ("delivery", "refund", "hours") for _ in range(5)]


@pytest.fixture(scope="module")
def model(bundled: Runtime) -> IntentClassifier:
    return IntentClassifier(bundled.encoder("text:all-MiniLM-L6-v2")).fit(TEXTS, LABELS)


def test_paraphrases_are_understood_and_probabilities_sum_to_one(model: IntentClassifier) -> None:
    asked = [
        "could you tell me when the package comes",
        "I would like to be reimbursed",
        "你们什么时候开门",
        "我想退款",
    ]
    assert model.predict(asked).tolist() == ["delivery", "refund", "hours", "refund"]
    chances = model.predict_proba(asked)
    assert chances.shape == (4, 3)
    assert np.allclose(chances.sum(axis=1), 1)
    assert model.classes_.tolist() == ["delivery", "hours", "refund"]
    assert model.score(asked, ["delivery", "refund", "hours", "refund"]) == 1


def test_what_nobody_asked_scores_as_out_of_scope(model: IntentClassifier) -> None:
    inside = model.out_of_scope_score(["where is my delivery", "please refund me"])
    outside = model.out_of_scope_score(["who painted the Mona Lisa", "integrate x squared", ""])
    assert ((outside >= 0) & (outside <= 1)).all()
    assert inside.max() < outside.min()


def test_it_is_cloned_and_cross_validated_as_scikit_learn_does() -> None:
    model = IntentClassifier(HashingEncoder(), surface=0.3)
    copied = clone(model)
    assert copied.get_params()["surface"] == 0.3
    assert cross_val_score(model, TEXTS * 2, LABELS * 2, cv=2).min() > 0.5


@pytest.mark.parametrize(
    "kind", [list, tuple, np.array, np.asarray, pd.Series, lambda some: pd.Series(some, index=range(9, 9 + len(some)))]
)
def test_lists_arrays_and_series_are_read_alike(kind: Any, tmp_path: Path) -> None:
    numbers = [["delivery", "refund", "hours"].index(label) for label in LABELS]
    model = IntentClassifier(HashingEncoder()).fit(kind(TEXTS), kind(LABELS))
    assert model.predict(kind(TEXTS[:3])).tolist() == ["delivery"] * 3
    model = clone(model).fit(kind(TEXTS), kind(numbers))
    assert model.classes_.tolist() == [0, 1, 2]
    assert cross_val_score(model, kind(TEXTS * 2), kind(numbers * 2), cv=2).min() > 0.5
    model.save(tmp_path / "numbers.safetensors")
    loaded = IntentClassifier.load(tmp_path / "numbers.safetensors", HashingEncoder())
    assert loaded.predict(TEXTS).tolist() == model.predict(TEXTS).tolist()
    assert model.predict([]).shape == (0,)
    assert model.predict_proba([]).shape == (0, 3)
    assert model.out_of_scope_score(["", " "]).shape == (2,)


def test_what_is_saved_predicts_the_same(model: IntentClassifier, tmp_path: Path) -> None:
    model.save(tmp_path / "intents.safetensors")
    loaded = IntentClassifier.load(tmp_path / "intents.safetensors", model.encoder)
    assert np.allclose(loaded.predict_proba(TEXTS), model.predict_proba(TEXTS), atol=1e-2)
    assert np.allclose(loaded.out_of_scope_score(TEXTS), model.out_of_scope_score(TEXTS), atol=2e-2)
    with pytest.raises(WeightsError, match="was trained with"):
        IntentClassifier.load(tmp_path / "intents.safetensors", HashingEncoder())
    (tmp_path / "other.safetensors").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="holds no intents"):
        IntentClassifier.load(tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    ("texts", "labels", "said"),
    [
        (["a", "b"], ["x"], "2 texts and 1 labels"),
        (["a", "b"], ["x", "x"], "from two on"),
        (["a", " "], ["x", "y"], "example 1 is empty"),
        (["a", 3], ["x", "y"], "text 1 is int 3"),
        ("ab", ["x", "y"], "a list of texts"),
        (["a", "b"], "xy", "a list of labels"),
        (["a", float("nan")], ["x", "y"], "text 1 is float nan"),
        (["a", None], ["x", "y"], "text 1 is NoneType None"),
        (["a", "b"], ["x", float("nan")], "label 1 is float nan"),
        (["a", "b"], ["x", 2], "label 1 is int 2; labels are all strings or all integers"),
        (["a", "b"], [0.5, 1.5], "label 0 is float 0.5"),
        (np.array([["a"], ["b"]]), ["x", "y"], "text 0 is ndarray"),
        ([], [], "from two on"),
    ],
)
def test_wrong_examples_are_named(texts: Any, labels: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        IntentClassifier(HashingEncoder()).fit(texts, labels)


def test_leaving_one_out_is_what_fitting_without_it_gives() -> None:
    texts = [f"{word} number {n}" for word in ("tent", "boot", "stove") for n in ("one", "two", "three", "four")]
    labels = [text.split()[0] for text in texts]
    whole = IntentClassifier(HashingEncoder(), names=False, surface=0.0).fit(texts, labels)
    tops = []
    for place in range(len(texts)):
        rest = [n for n in range(len(texts)) if n != place]
        part = IntentClassifier(HashingEncoder(), names=False, surface=0.0)
        part.fit([texts[n] for n in rest], [labels[n] for n in rest])
        tops.append(part.decision_function([texts[place]]).max())
    assert np.allclose(np.sort(tops), whole.tops_[1:-1], atol=1e-3)


def test_examples_are_read_from_csv_jsonl_and_yaml(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("\ufefftext,intent\n退货,refund\nhi,hello\n".encode())
    (tmp_path / "a.jsonl").write_text(json.dumps({"message": "退货", "label": "refund"}) + "\n")
    (tmp_path / "a.yaml").write_text("refund: [退货]\nhello: [hi, hey]\n", "utf-8")
    assert read_examples(tmp_path / "a.csv") == (["退货", "hi"], ["refund", "hello"])
    assert read_examples(tmp_path / "a.jsonl") == (["退货"], ["refund"])
    assert read_examples(tmp_path / "a.yaml") == (["退货", "hi", "hey"], ["refund", "hello", "hello"])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"text,intent\nhi,\n", "row 1 of .* has no intent"),
        ("a.csv", b"", "is empty"),
        ("a.csv", b"\xff\xfe\x00", "UTF-8"),
        ("a.jsonl", b"{", "line 1 of"),
        ("a.yaml", b"- a\n- b\n", "map each intent"),
        ("a.yaml", b"!!python/object/apply:os.system ['true']", "cannot be read as YAML"),
    ],
)
def test_a_wrong_file_is_named_with_its_place(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_examples(tmp_path / name)


def test_ten_intents_of_real_data(shared_data: Path, bundled: Runtime) -> None:
    with (shared_data / "cs_banking77" / "train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = sorted({row["category"] for row in rows})[:10]
    chosen = [(row["text"], row["category"]) for name in names for row in rows if row["category"] == name][::5]
    texts, labels = map(list, zip(*chosen, strict=True))
    model = IntentClassifier(bundled.encoder("text:all-MiniLM-L6-v2")).fit(texts[::2], labels[::2])
    assert model.score(texts[1::2], labels[1::2]) > 0.8
