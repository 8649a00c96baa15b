"""The trained path: files in, a folder out, figures; other types, Chinese, no relations, wrong lines."""

import json
import re
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsdk.cli import main
from mmsdk.errors import InputError, WeightsError
from mmsdk_graph.annotations import Entity, Relation, Sentence, read
from mmsdk_graph.scores import score
from mmsdk_graph.tagger import Labels, Tagger, decode, surer
from mmsdk_graph.training import Plan, train
from mmsdk_graph.verdicts import TRAITS, Judge, learnt, traits

pytestmark = pytest.mark.usefixtures("bundled")
PEOPLE, TOWNS = ("Ada Wong", "Tom Berg", "Eva Lind", "Max Roth"), ("Bern", "Oslo", "Lima", "Rome")


def line(tokens: list[str], entities: list[tuple[str, int, int]], relations: list[tuple[str, int, int]]) -> str:
    shown: dict[str, Any] = {"tokens": tokens}
    shown["entities"] = [{"type": t, "start": a, "end": b} for t, a, b in entities]
    shown["relations"] = [{"type": t, "head": a, "tail": b} for t, a, b in relations]
    return json.dumps(shown, ensure_ascii=False)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("labels") / "train.jsonl"
    lives = [
        line([*who.split(), "lives", "in", town], [("Who", 0, 2), ("Town", 4, 5)], [("lives", 0, 1)])
        for who in PEOPLE
        for town in TOWNS
    ]
    likes = [
        line(["In", town, who.split()[0], "left"], [("Town", 1, 2), ("Who", 2, 3)], [])
        for who in PEOPLE
        for town in TOWNS
    ]
    file.write_text("\n".join(lives + likes) + "\n", "utf-8")
    return file


def test_train_and_evaluate_by_command(labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "model")
    assert (
        main(["graph", "train", "--train", str(labelled), "--dev", str(labelled), "--out", out, "--epochs", "6"]) == 0
    )
    capsys.readouterr()
    assert main(["graph", "evaluate", "--model", out, "--data", str(labelled), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["entities"]["f1"] > 0.9
    assert told["relations"]["f1"] > 0.8
    assert {"precision", "recall", "f1"} <= set(told["relations"])
    assert sorted(p.name for p in Path(out).iterdir()) == ["model.json", "model.safetensors"]
    tagger = Tagger.load(out)
    texts = [
        "In Rome Max left",
        "Eva Lind lives in Oslo",
        "Tom Berg lives in Lima and Ada Wong lives in Bern",
        "In Oslo",
    ]
    together = tagger.predict([text.split() for text in texts])
    assert [(e.type, e.start, e.end) for e in together[1].entities] == [("Who", 0, 2), ("Town", 4, 5)]
    for text, found in zip(texts, together, strict=True):
        (alone,) = tagger.predict([text.split()])
        assert [e.key for e in found.entities] == [e.key for e in alone.entities]
        assert [(r.type, r.head, r.tail) for r in found.relations] == [
            (r.type, r.head, r.tail) for r in alone.relations
        ]
    Path(out, "model.safetensors").write_bytes(b"broken")
    with pytest.raises(WeightsError, match="damaged"):
        Tagger.load(out)


def test_chinese_without_relations_is_learnt(tmp_path: Path) -> None:
    rows = [
        Sentence(tuple(f"{name}在{town}"), (Entity(3, 5, "地点"),))
        for name in ("张", "王")
        for town in ("北京", "上海")
    ]
    rows = [Sentence(("我", "在", *town, "工作"), (Entity(2, 4, "地点"),)) for town in ("北京", "上海", "广州")] * 4
    tagger, about = train(rows, rows, plan=Plan(epochs=5))
    assert about["held_out"]["entities"]["f1"] == 1.0
    assert about["held_out"]["relations"]["f1"] == 0.0
    tagger.save(tmp_path / "m", {})
    assert Tagger.load(tmp_path / "m").predict([rows[0].tokens])[0].entities[0].type == "地点"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", "line 1: this is no JSON"),
        ("[]", 'the list "tokens"'),
        ('{"tokens": []}', "one or more"),
        ('{"tokens": ["a"], "entities": [{"type": "X", "start": 0, "end": 2}]}', "end 2"),
        ('{"tokens": ["a"], "entities": [{"type": "X", "start": "0", "end": 1}]}', "integers"),
        ('{"tokens": ["a"], "entities": [], "relations": [{"type": "R", "head": 0, "tail": 1}]}', "indices"),
        ("", "no sentences"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, text: str, match: str) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text(text)
    with pytest.raises(InputError, match=match):
        read(file)


def test_nothing_to_learn_and_no_model_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to learn"):
        train([Sentence(("a",))])
    with pytest.raises(InputError, match="mmsdk graph train"):
        Tagger.load(tmp_path)


def test_viterbi_gives_well_formed_spans() -> None:
    labels = Labels(("X", "Y"))
    chance = np.random.default_rng(0)
    for length in (1, 2, 7):
        for _ in range(50):
            spans = decode(chance.normal(size=(length, 9)).astype(np.float32), labels)
            assert all(a.end <= b.start for a, b in pairwise(spans))
    scores_ = np.full((3, 9), -5.0, np.float32)
    for place, tag in enumerate(("B-X", "I-X", "L-X")):
        scores_[place, labels.tags.index(tag)] = 5
    assert [e.key for e in decode(scores_, labels)] == [(0, 3, "X")]


def test_an_entity_is_as_probable_as_all_paths_with_it() -> None:
    labels = Labels(("X",))
    logits = np.random.default_rng(3).normal(size=(3, 5)).astype(np.float32)
    chances = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    total, through = 0.0, dict[tuple[int, int, str], float]()
    for path in product(range(5), repeat=3):
        if all(labels.steps[a, b] == 0 for a, b in pairwise((-1, *path, -1))):
            weight = float(np.prod(chances[np.arange(3), path]))
            total += weight
            tags = "".join(labels.tags[n][0] for n in path)
            for found in re.finditer("U|BI*L", tags):
                key = (found.start(), found.end(), "X")
                through[key] = through.get(key, 0.0) + weight
    found_ones = decode(logits, labels)
    assert found_ones
    for entity in found_ones:
        assert entity.probability == pytest.approx(through[entity.key] / total, rel=1e-4)


def test_a_judge_learns_that_rivals_and_doubtful_entities_speak_against_a_relation() -> None:
    sure, doubtful = Entity(0, 1, "X", 0.99), Entity(2, 3, "Y", 0.4)
    entities = (sure, doubtful, Entity(4, 5, "Y", 0.99))
    found = [Relation("r", 0, 1, 0.7), Relation("r", 0, 2, 0.9)]
    told = traits(entities, found)
    assert told.shape == (2, TRAITS)
    assert told[0, 3] == pytest.approx(told[1, 0])  # the better of the others with its head
    judge = learnt(np.tile(told, (20, 1)), ["r"] * 40, np.array([False, True] * 20), relations=("r",))
    first, second = judge.judged(entities, found)
    assert first.probability < 0.5 < second.probability
    assert Judge(("r",)).judged(entities, found)[0].probability == pytest.approx(0.7)
    assert traits((), ()).shape == (0, TRAITS)
    assert told[0, 5:] == pytest.approx([0.7, 0.7 * 0.99 * 0.4])
    older = Judge(("r",), (0.5, 0.0, 0.0, 0.0, 0.0), (1.0,))  # models of before have five weights
    assert older.judged(entities, found)[1].probability == pytest.approx(1 / (1 + np.exp(-0.5 * np.log(9) - 1)))


def test_an_unsure_entity_stays_where_a_relation_needs_it() -> None:
    entities = (
        Entity(0, 1, "Who", 0.4),
        Entity(1, 2, "Who", 0.5),
        Entity(2, 3, "Town", 0.6),
        Entity(3, 4, "Town", 0.9),
    )
    found = surer(Sentence(("a", "b", "c", "d"), entities, (Relation("lives", 1, 2, 0.8),)), 0.7)
    assert found.entities == entities[1:]
    assert [(r.head, r.tail) for r in found.relations] == [(0, 1)]
    assert surer(found, 0.0) == found


def test_strict_and_partial_scores() -> None:
    gold = Sentence(("a", "b", "c"), (Entity(0, 2, "X"), Entity(2, 3, "Y")), (Relation("r", 0, 1),))
    near = Sentence(("a", "b", "c"), (Entity(0, 1, "X"), Entity(2, 3, "Y")), (Relation("r", 0, 1),))
    told = score([gold], [near])
    assert told["entities"]["f1"] == pytest.approx(0.5)
    assert told["relations"]["f1"] == 0.0
    assert told["relations"]["partial"]["f1"] == 1.0
    assert score([gold], [gold])["relations"]["f1"] == 1.0
