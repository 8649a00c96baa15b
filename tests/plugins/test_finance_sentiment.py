"""Sentiment by entity, with the bundled weights on headlines whose meaning is plain; and training on a user's CSV."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmsdk import weights
from mmsdk.errors import InputError, WeightsError
from mmsdk.recognizers.devices import without_bars
from mmsdk.settings import Settings
from mmsdk_finance.fitting import Plan, _Mean, save, trained
from mmsdk_finance.marking import LONGEST, OTHER, TARGET, marked
from mmsdk_finance.reader import BODY, Network, Reader
from mmsdk_finance.sentiment import LABELS, EntitySentiment, SentimentModel, score_text, score_texts
from mmsdk_finance.train import main, read, started
from mmsdk_finance.wording import events, flags, outcome, turns

HEADLINES = [
    ("Acme Motors shares surge 8% on record quarterly profit", {"Acme Motors": "positive"}),
    (
        "Acme Motors slumps as profit misses estimates, Bolt Steel rallies",
        {"Acme Motors": "negative", "Bolt Steel": "positive"},
    ),
    ("Bolt Steel gains, Acme Motors falls in weak trade", {"Acme Motors": "negative", "Bolt Steel": "positive"}),
    ("Acme Motors to hold annual meeting on June 12", {"Acme Motors": "neutral"}),
    ("Acme Motors net loss widens in Q2 on higher costs", {"Acme Motors": "negative"}),
    ("Acme Motors Q2 net loss narrows sharply", {"Acme Motors": "positive"}),
    ("Broker downgrades Acme Motors", {"Acme Motors": "negative"}),
    ("Acme Motors wins Rs 500 crore order from Bolt Steel", {"Acme Motors": "positive"}),
    ("Court fines Acme Motors for fraud", {"Acme Motors": "negative"}),
    ("Acme Motors fails to recover, ends 3% lower", {"Acme Motors": "negative"}),
    ("Broker downgrades Acme Motors, upgrades Bolt Steel", {"Acme Motors": "negative", "Bolt Steel": "positive"}),
    ("Acme Motors profit falls less than feared", {"Acme Motors": "positive"}),
    ("Acme Motors profit rises less than expected", {"Acme Motors": "negative"}),
    ("Acme Motors does not expect profit to fall", {"Acme Motors": "positive"}),
    ("Acme Motors denies it will cut its dividend", {"Acme Motors": "positive"}),
    ("Acme Motors files for bankruptcy protection", {"Acme Motors": "negative"}),
    ("Acme Motors recalls 20,000 cars over brake fault", {"Acme Motors": "negative"}),
    ("Acme Motors cuts dividend, Bolt Steel raises guidance", {"Acme Motors": "negative", "Bolt Steel": "positive"}),
    ("Bolt Steel wins contract from Acme Motors", {"Bolt Steel": "positive", "Acme Motors": "neutral"}),
]


@pytest.mark.parametrize(("text", "expected"), HEADLINES, ids=[text[:30] for text, _ in HEADLINES])
def test_headlines_with_a_plain_meaning(text: str, expected: dict[str, str]) -> None:
    assert {found.entity: found.label for found in score_text(text, list(expected))} == expected


def test_results_have_probabilities_and_evidence() -> None:
    text = "Markets were calm. Acme Motors may cut its dividend after a lawsuit, analysts said."
    found = score_text(text, ["Acme Motors"])[0]
    assert set(found.probabilities) == set(LABELS)
    assert sum(found.probabilities.values()) == pytest.approx(1)
    assert found.probabilities[found.label] == max(found.probabilities.values())
    assert -1 <= found.score <= 1
    quoted = found.evidence[0]
    assert quoted.sentence == text[quoted.start : quoted.stop] == text[19:]
    assert quoted.words
    assert all(word in quoted.sentence.casefold() for words in quoted.words for word in words.split())
    assert "hedged" in quoted.flags
    assert {"dividend", "lawsuit"} <= set(quoted.events)


def test_an_absent_entity_is_neutral_without_evidence_and_order_is_kept() -> None:
    found = score_text("Acme soars", ["Bolt", "Acme", "me"])
    assert [(each.entity, each.label, bool(each.evidence), each.status) for each in found] == [
        ("Bolt", "neutral", False, "absent"),
        ("Acme", "positive", True, "scored"),
        ("me", "neutral", False, "absent"),
    ]


def test_a_name_does_not_matter_and_legal_forms_are_left_out() -> None:
    one, other = score_texts(["Acme profit rises 10%", "Bolt Ltd profit rises 10%"], [["Acme Inc"], ["Bolt Ltd"]])
    assert one[0].probabilities == pytest.approx(other[0].probabilities)


def test_batches_equal_single_texts() -> None:
    texts = [text for text, _ in HEADLINES]
    names = [list(expected) for _, expected in HEADLINES]
    together = score_texts(texts, names)
    for text, entities, found in zip(texts, names, together, strict=True):
        for alone, batched in zip(score_text(text, entities), found, strict=True):
            assert alone.probabilities == pytest.approx(batched.probabilities, abs=0.02)  # bfloat16 rounds


def test_a_document_rolls_up_its_sentences() -> None:
    text = "Acme profit hits a record. It also raised its forecast. Bolt Steel slumped on weak demand. All is well."
    acme, bolt = score_text(text, ["Acme", "Bolt Steel"])
    assert (acme.label, bolt.label) == ("positive", "negative")
    assert sorted(each.sentence for each in acme.evidence) == [
        "Acme profit hits a record.",
        "It also raised its forecast.",
    ]
    assert [each.sentence for each in bolt.evidence] == ["Bolt Steel slumped on weak demand."]


def test_the_whole_text_is_read_for_an_empty_name() -> None:
    assert score_text("Profit plunges and shares crash", [""])[0].label == "negative"


def test_text_in_a_script_the_model_does_not_read_is_said_to_be_so() -> None:
    for text, name in (("北辰科技净利润大涨", "北辰科技"), ("Акции Газпром упали", "Газпром")):
        found = score_text(text, [name])[0]
        assert (found.label, found.status, found.evidence) == ("neutral", "language", ())


@pytest.mark.parametrize(
    "text", ["", "   ", "!!! 🚀🚀", "[MASK] [unused5] Acme \x01\x02\x00", "Acme " * 3000, "Acme\n\nAcme"]
)
def test_odd_texts_have_a_result(text: str) -> None:
    found = score_text(text, ["Acme", ""])
    assert [type(each) for each in found] == [EntitySentiment] * 2


def test_bad_calls_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 texts need a list of entities each, these are 1"):
        score_texts(["a", "b"], [["a"]])
    with pytest.raises(TypeError, match="texts must be a list of str"):
        score_texts("a", [["a"]])
    with pytest.raises(WeightsError, match="holds no sentiment model"):
        SentimentModel(tmp_path).score_texts(["a"], [["a"]])


def test_turns_flags_and_events_by_rule() -> None:
    assert turns("profit falls less than feared") == ("good_falls", "softened")
    assert turns("亏损收窄") == ("bad_falls",)
    assert turns("denies its margins are falling") == ("not_good_falls",)
    assert turns("misses Street estimates") == ("miss",)
    assert flags("Acme may not raise its dividend next year") == ("negated", "hedged", "forward")
    assert events("北辰科技董事长辞职") == ("management",)
    assert events("Acme to merge with Bolt; CEO resigns") == ("merger", "management")
    assert outcome(f"{TARGET} halves its dividend") == "negative"
    assert outcome(f"{OTHER} halves its dividend") is None
    assert (
        outcome(f"{TARGET} may file for bankruptcy") is outcome(f"{TARGET} denies that it filed for bankruptcy") is None
    )
    assert turns("holds a meeting") == flags("holds a meeting") == events("picnic") == ()


def test_marks_and_views() -> None:
    long = "word " * 100 + "Acme falls " + "word " * 100
    found = marked(long, [(500, 504)], [(0, 4)])
    assert len(found.text.split()) == LONGEST
    assert TARGET in found.text
    assert OTHER not in found.text
    assert TARGET in found.clause
    assert found.window.split()[4:6] == [TARGET, "falls"]


def test_training_on_a_users_chinese_csv(tmp_path: Path) -> None:
    rows = [
        (f"{name}{word}", name, label)
        for name in ("北辰科技", "星河银行", "海蓝能源", "东岭药业")
        for word, label in (
            ("净利润大涨", "positive"),
            ("股价涨停", "positive"),
            ("遭立案调查", "negative"),
            ("亏损扩大", "negative"),
            ("召开股东大会", "neutral"),
            ("发布公告", "neutral"),
        )
    ]
    with (tmp_path / "zh.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "entity", "label"), *rows])
    assert main(["--data", str(tmp_path / "zh.csv"), "--out", str(tmp_path / "zh"), "--folds", "3"]) == 0
    model = SentimentModel(tmp_path / "zh")
    assert model.description["readers"] == 0
    up, down = model.score_texts(["云山股份净利润大涨，月湖集团亏损扩大"], [["云山股份", "月湖集团"]])[0]
    assert (up.label, down.label) == ("positive", "negative")
    assert model.score_texts(["Acme soars"], [["Acme"]])[0][0].status == "language"


def test_data_is_checked_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    for written, said in (
        ("text,entity,label\na b,a,great\n", "line 2: the label must be one of negative, neutral, positive"),
        ("text,entity,label\n,a,neutral\n", "line 2 has no text"),
        ("text,label\na,neutral\n", "needs the columns text, entity and label"),
        ("", "no rows"),
    ):
        file.write_text(written, "utf-8")
        with pytest.raises(InputError, match=said):
            read(file)
    assert main(["--data", str(file), "--out", str(tmp_path / "out")]) != 0


def test_equal_texts_share_a_group_and_ways_never_hold_the_name(tmp_path: Path) -> None:
    file = tmp_path / "some.csv"
    file.write_text(
        "text,entity,label\nAcme  up,Acme,positive\nACME UP,Acme,positive\nBolt down,Bolt,negative\n", "utf-8"
    )
    cases = read(file)
    assert [(case.group, case.entity) for case in cases] == [(0, "Acme"), (1, "Bolt")]
    assert all("Acme" not in way.text for way in cases[0].ways[:2])


def test_the_network_is_that_of_transformers() -> None:
    from transformers import BertModel

    reader = Reader((), settings=Settings.load())
    network = Network(reader.source, 3, kind=torch.float32).eval()
    folder = weights.resolve(BODY, settings=Settings.load())
    rows = reader.tokens([f"{TARGET} rises as {OTHER} falls", f"{TARGET} up", "no target at all"])
    ids, there, target = reader.tensors(rows)
    with torch.inference_mode(), without_bars():
        state = BertModel.from_pretrained(folder, add_pooling_layer=False)(ids, there.long()).last_hidden_state
        mean = torch.stack([row[real].mean(dim=0) for row, real in zip(state, there, strict=True)])
        aimed = torch.stack([state[0][target[0]].mean(dim=0), state[1][target[1]].mean(dim=0), mean[2]])
        assert torch.allclose(network(ids, there, target), network.head(torch.cat([mean, aimed], dim=1)), atol=1e-4)


def test_adapters_train_and_come_back_from_their_file(tmp_path: Path) -> None:
    reader = Reader((), settings=Settings.load())
    texts = [[f"{TARGET} rises"], [f"{TARGET} falls"], [f"{TARGET} meets"]] * 8
    labels = [2, 0, 1] * 8
    network = trained(reader, texts, labels, plan=Plan(epochs=4, rank=4, batch=8))
    save(network, tmp_path / "some.safetensors")
    marks = [ways[0] for ways in texts[:3]]
    again = Reader([tmp_path / "some.safetensors"], settings=Settings.load())
    assert again.logits(marks).argmax(axis=1).tolist() == labels[:3]
    assert np.allclose(again.logits(marks), reader.logits(marks, networks=[network]), atol=0.1)  # float16, bfloat16


def test_training_goes_on_from_readers_that_are_there(tmp_path: Path) -> None:
    reader, marks = Reader((), settings=Settings.load()), [f"{TARGET} rises", f"{TARGET} falls", f"{TARGET} meets"]
    still = Plan(epochs=1, rate=0.0, start="bundled")
    files = started(still.start)
    assert [file.name for file in files if file] == ["sentiment-reader-0.safetensors", "sentiment-reader-1.safetensors"]
    network = trained(reader, [[mark] for mark in marks], [2, 0, 1], plan=still, start=files[1])
    bundled = Reader([file for file in files[1:] if file], settings=Settings.load()).logits(marks)
    assert np.allclose(reader.logits(marks, networks=[network]), bundled, atol=0.1)
    with pytest.raises(WeightsError, match="of shape"):
        trained(reader, [[marks[0]]], [2], plan=Plan(epochs=1, rank=4), start=files[0])
    with pytest.raises(InputError, match="holds no readers"):
        started(str(tmp_path))


def test_a_reader_can_be_the_mean_over_its_last_steps(tmp_path: Path) -> None:
    reader = Reader((), settings=Settings.load())
    network = Network(reader.source, 3, kind=torch.float32, rank=2)
    mean = _Mean(network)
    mean.put()  # nothing taken: as it was
    first = network.head.bias.detach().clone()
    for change in (1.0, 3.0):
        with torch.no_grad():
            network.head.bias.add_(change)
        mean.take()
    mean.put()
    assert torch.allclose(network.head.bias, first + 2.5)
    texts, labels = [[f"{TARGET} rises"], [f"{TARGET} falls"], [f"{TARGET} meets"]] * 8, [2, 0, 1] * 8
    made = [trained(reader, texts, labels, plan=Plan(epochs=4, rank=4, batch=8, average=share)) for share in (0.0, 0.5)]
    logits = [reader.logits([ways[0] for ways in texts[:3]], networks=[one]) for one in made]
    assert all(some.argmax(axis=1).tolist() == labels[:3] for some in logits)
    assert not np.allclose(logits[0], logits[1], atol=1e-3)


def test_the_bundled_model_says_what_it_is() -> None:
    description = SentimentModel(settings=Settings.load()).description
    assert description["scripts"] == ["latin"]
    assert np.array(description["stack"]).shape[1] == 3
    assert float(description["held_out"]["ece"].split()[0]) <= 0.05
    assert json.dumps(description)


@pytest.mark.parametrize(
    ("text", "entities"), [(5, None), ("Acme", "Acme"), ("Acme", [None]), (None, ["Acme"]), ("Acme", [3])]
)
def test_what_is_no_text_is_a_type_error(text: Any, entities: Any) -> None:
    with pytest.raises(TypeError, match="must be a list of str"):
        score_text(text, entities)


def test_odd_texts_are_scored_and_labels_are_the_most_probable() -> None:
    texts = ["Acme \ud800 profit soars", "Acme\x00 slumps", "🚀 Acme", "", "贵州茅台净利润大增", "ارتفاع أرباح"]
    for found in score_texts(texts, [["Acme", "Zed"]] * len(texts)):
        for one in found:
            assert max(one.probabilities, key=one.probabilities.__getitem__) == one.label
            assert sum(one.probabilities.values()) == pytest.approx(1)
            assert json.dumps([each.sentence for each in one.evidence]).isascii()
