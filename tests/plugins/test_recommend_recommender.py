"""The recommender: its doors, filters, lists, changes and folders, on data where the right answer is known."""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mmsdk.errors import (
    CollectionError,
    CollectionNotFoundError,
    CorruptionError,
    InputError,
    InvalidFilterError,
    MmsdkError,
)
from mmsdk.types import Delta, Message, Modality
from mmsdk_recommend import Recommender, Rules, Serving
from mmsdk_recommend.changes import add_items, erase, update
from mmsdk_recommend.evaluation import GRIDS, evaluate
from mmsdk_recommend.explain import explain
from mmsdk_recommend.models.protocol import names
from mmsdk_recommend.report import write_report
from mmsdk_recommend.splits import split
from mmsdk_recommend.versions import Versions

COMPONENTS = {label: {"model": label} for label in ("ease", "item_knn", "popularity", "content")}
GROUPS = 4


def world(users: int = 60, items: int = 40, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Users who take items of their own of four groups; content tells the group; the last four items are new."""
    random = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        own = [item for item in range(items - 4) if item % GROUPS == user % GROUPS]
        for time, item in enumerate([random.integers(items - 4), *random.choice(own, 6, replace=False)]):
            rows.append((f"u{user}", f"i{item}", time + user))
    vectors = np.eye(GROUPS)[np.arange(items) % GROUPS] + random.normal(size=(items, GROUPS)) / 20
    catalogue = pd.DataFrame(
        {
            "item": [f"i{item}" for item in range(items)],
            "title": [f"Thing {item}" for item in range(items)],
            "brand": [f"b{item % 5}" for item in range(items)],
            "price": np.arange(items) * 2,
            "vector": list(vectors),
        }
    ).drop(columns=["title", "brand"])
    catalogue["name"], catalogue["maker"] = (
        [f"Thing {n}" for n in range(items)],
        [f"m{n % 5}" for n in range(items)],
    )
    return pd.DataFrame(rows, columns=["user", "item", "time"]), catalogue


@pytest.fixture(scope="module")
def hybrid() -> Recommender:
    return Recommender(components=COMPONENTS).fit(*world())


def group(item: str) -> int:
    return int(item[1:]) % GROUPS


def test_a_list_has_the_columns_that_are_promised(hybrid: Recommender) -> None:
    found = hybrid.recommend(["u1", "u2"], k=3)
    assert list(found.columns) == ["user", "item", "score", "rank"]
    assert found["rank"].tolist() == [1, 2, 3, 1, 2, 3]
    assert (found.groupby("user")["score"].diff().dropna() <= 0).all()
    assert {group(item) for item in found[found["user"] == "u1"]["item"]} == {1}


def test_one_user_may_be_asked_for_alone() -> None:
    frame = pd.DataFrame({"user": [1, 1, 2, 2, 3], "item": [5, 6, 5, 6, 5]})
    made = Recommender("item_knn").fit(frame)
    for users in (3, np.int64(3), [3], pd.Series([3], index=[9]), np.array([3])):
        assert made.recommend(users)[["user", "item"]].values.tolist() == [[3, 6]]
    assert made.recommend(4, k=9)["item"].tolist() == [5, 6]
    small = Recommender("item_knn").fit(frame.astype({"user": "int32", "item": "int16"})).recommend(frame["user"])
    assert [str(small[name].dtype) for name in ("user", "item")] == ["int32", "int16"]


def test_what_was_seen_comes_only_when_asked_for(hybrid: Recommender) -> None:
    own = set(world()[0].query("user == 'u1'")["item"])
    assert not own & set(hybrid.recommend(["u1"], k=40)["item"])
    assert own <= set(hybrid.recommend(["u1"], k=40, exclude_seen=False)["item"])


def test_filters_are_exact(hybrid: Recommender) -> None:
    found = hybrid.recommend(["u1"], k=40, exclude_seen=False, where={"price": {"$gte": 70}})
    assert sorted(found["item"]) == ["i35", "i36", "i37", "i38", "i39"]
    assert len(hybrid.recommend(["u1"], k=5, where={"price": {"$gt": 1000}})) == 0
    with pytest.raises(InvalidFilterError, match="unknown operator"):
        hybrid.recommend(["u1"], where={"price": {"$near": 3}})


def test_bad_questions_are_refused(hybrid: Recommender) -> None:
    with pytest.raises(InputError, match=r"users have no interactions: 'nobody'"):
        hybrid.rerank("nobody", ["i1"])
    for k in (0, -1, True, 2.5):
        with pytest.raises(ValueError, match="positive integer"):
            hybrid.recommend(["u1"], k=k)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="not fitted"):
        Recommender("ease").recommend(["u1"])
    with pytest.raises(InputError, match="items are not known: 'nothing'"):
        hybrid.similar("nothing")
    assert len(hybrid.recommend([])) == 0


def test_new_users_are_served_by_history_session_and_nothing(hybrid: Recommender) -> None:
    assert {group(item) for item in hybrid.for_history(["i2", "i6"], k=3)["item"]} == {2}
    popular = hybrid.for_history([], k=3)
    assert len(popular) == 3
    known = hybrid.history_of("u1")
    again = hybrid.for_history(list(hybrid.data.items[known.items]), k=5)
    assert again["item"].tolist() == hybrid.recommend(["u1"], k=5)["item"].tolist()


@pytest.mark.parametrize("name", ["ease", "item_knn", "ials", "sasrec", "popularity"])
def test_who_took_nothing_gets_what_is_popular(name: str) -> None:
    frame = pd.DataFrame(
        [(f"u{n}", item) for n in range(12) for item in ["a", "b", "c", "d"][: 1 + n % 4]] + [("x", "d"), ("x", "e")],
        columns=["user", "item"],
    )
    recommender = Recommender(name).fit(frame)
    found = recommender.recommend(["u0", "nobody", 7], k=2)
    assert found["user"].tolist() == ["u0", "u0", "nobody", "nobody", 7, 7]
    if name != "sasrec":  # it has learned what comes first
        assert found.query("user == 'nobody'")["item"].tolist() == ["a", "b"]
    nobody = recommender.history([])
    told = recommender.contributions(nobody, "b").total
    assert told == pytest.approx(float(recommender.scores(nobody)[0, recommender.places(["b"])[0]]), abs=1e-4)


def test_new_items_are_placed_by_content(hybrid: Recommender) -> None:
    where = {"item": {"$in": ["i36", "i37", "i38", "i39"]}}
    for user in ("u0", "u1", "u2", "u3"):
        assert group(hybrid.recommend([user], k=1, where=where)["item"][0]) == int(user[1:])


def test_similar_and_rerank(hybrid: Recommender) -> None:
    assert {group(item) for item in hybrid.similar("i5", k=4)["item"]} == {1}
    assert "i5" not in set(hybrid.similar("i5", k=40)["item"])
    ordered = hybrid.rerank("u1", ["i2", "i1", "i36", "i2"])
    assert sorted(ordered["item"]) == ["i1", "i2", "i36"]
    assert ordered["item"][0] == "i1"


def test_the_dial_trades_score_for_difference(hybrid: Recommender) -> None:
    def kinds(k: int = 6, **options: object) -> int:
        found = hybrid.recommend(["u1"], k=k, serving=Serving(**options))  # type: ignore[arg-type]
        return len({group(item) for item in found["item"]})

    assert kinds(k=3) == 1
    assert kinds(diversity=0.9) > 2
    assert kinds(diversity=0.9, method="dpp") > 2
    plain = hybrid.recommend(["u1"], k=6)["item"].tolist()
    assert hybrid.recommend(["u1"], k=6, serving=Serving())["item"].tolist() == plain


def test_caps_boosts_and_pins_hold(hybrid: Recommender) -> None:
    capped = hybrid.recommend(["u1"], k=5, serving=Serving(rules=Rules(caps={"maker": 1})))
    makers = [int(item[1:]) % 5 for item in capped["item"]]
    assert sorted(makers) == [0, 1, 2, 3, 4]
    pinned = hybrid.recommend(["u1"], k=4, serving=Serving(rules=Rules(pinned={"i38": 2})))
    assert pinned["item"][1] == "i38"
    kept_out = hybrid.recommend(
        ["u1"], k=4, where={"price": {"$lt": 70}}, serving=Serving(rules=Rules(pinned={"i38": 2}))
    )
    assert "i38" not in set(kept_out["item"])
    boosted = hybrid.recommend(["u1"], k=3, serving=Serving(rules=Rules(boosts=[({"maker": "m2"}, 10.0)])))
    assert {int(item[1:]) % 5 for item in boosted["item"]} == {2}
    for wrong in ({"diversity": 2.0}, {"method": "best"}, {"rules": Rules(caps={"maker": 0})}):
        with pytest.raises(InputError):
            Serving(**wrong)


@pytest.mark.parametrize("model", names())
def test_every_model_is_saved_and_read_the_same(model: str, tmp_path: Path) -> None:
    params = {"hybrid": {"components": COMPONENTS}, "sasrec": {"epochs": 1}}.get(model, {})
    made = Recommender(model, **params).fit(*world())  # type: ignore[arg-type]
    made.save(tmp_path / "saved")
    read = Recommender.load(tmp_path / "saved")
    assert read.get_params() == made.get_params()
    first, second = (one.recommend(["u1", "u7"], k=4, where={"price": {"$lt": 60}}) for one in (made, read))
    pd.testing.assert_frame_equal(first, second, rtol=1e-4)
    made.save(tmp_path / "saved")
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_a_folder_that_is_damaged_or_of_others_is_refused(hybrid: Recommender, tmp_path: Path) -> None:
    hybrid.save(tmp_path / "saved")
    for name in ("model.safetensors", "interactions.parquet", "catalogue.json"):
        shutil.copytree(tmp_path / "saved", tmp_path / name)
        whole = bytearray((tmp_path / name / name).read_bytes())
        whole[len(whole) // 2] ^= 1
        (tmp_path / name / name).write_bytes(whole)
        with pytest.raises(CorruptionError, match=name):
            Recommender.load(tmp_path / name)
    with pytest.raises(CollectionNotFoundError, match="mmsdk recommend fit"):
        Recommender.load(tmp_path / "nowhere")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(CollectionError, match="something else"):
        hybrid.save(tmp_path / "mine")
    (tmp_path / "saved" / "recommender.json").write_text('{"format": 99}')
    with pytest.raises(CollectionError, match="newer"):
        Recommender.load(tmp_path / "saved")


def test_versions_are_published_rolled_back_and_pruned(hybrid: Recommender, tmp_path: Path) -> None:
    versions = Versions(tmp_path / "state", keep=2)
    with pytest.raises(CollectionNotFoundError):
        versions.load()
    assert [versions.publish(hybrid, about={"who": "ann"}) for _ in range(3)] == ["v0001", "v0002", "v0003"]
    assert versions.names() == ["v0002", "v0003"]
    assert versions.rollback() == "v0002"
    assert versions.current() == "v0002"
    with pytest.raises(InputError, match="v0002 is the oldest"):
        versions.rollback()
    assert versions.rollback("v0003") == "v0003"
    assert json.loads((tmp_path / "state" / "v0003" / "about.json").read_text())["who"] == "ann"
    assert len(versions.load().recommend(["u1"], k=2)) == 2
    (tmp_path / "state" / "v0003").rename(tmp_path / "state" / "v9999")
    assert [versions.publish(hybrid), versions.publish(hybrid)] == ["v10000", "v10001"]
    assert versions.names() == ["v10000", "v10001"]


@pytest.mark.parametrize("model", names())
@pytest.mark.parametrize(
    ("users", "items"), [("a", "x"), ("aaaaa", "vwxyz"), ("abcde", "xxxxx"), ("aabb", "vwxy")], ids="".join
)
def test_the_smallest_logs_are_enough(model: str, users: str, items: str) -> None:
    log = pd.DataFrame({"user": list(users), "item": list(items), "time": range(len(users))})
    shop = pd.DataFrame({"item": list("vwxyz"), "title": ["red tent", "blue tent", "stove", "lamp", "book"]})
    recommender = Recommender(model).fit(log, shop)
    found = recommender.recommend(["a", "somebody new"], k=9)
    assert set(found["item"][found["user"] == "a"]) == set("vwxyz") - set(log["item"][log["user"] == "a"])
    assert np.isfinite(found["score"]).all()


@pytest.mark.parametrize("model", ["item_knn", "hybrid", "ease", "popularity", "content"])
def test_new_interactions_count_at_once(model: str) -> None:
    interactions, catalogue = world()
    params = {"components": COMPONENTS} if model == "hybrid" else {}
    made = Recommender(model, **params).fit(interactions, catalogue)  # type: ignore[arg-type]
    more = pd.DataFrame({"user": ["new", "new", "u1"], "item": ["i2", "i6", "fresh"], "time": [900, 901, 902]})
    update(made, more)
    found = made.recommend(["new"], k=3)
    assert not {"i2", "i6"} & set(found["item"])
    if model != "popularity":
        assert {group(item) for item in found["item"]} == {2}
    assert "fresh" not in set(made.recommend(["u1"], k=50)["item"])
    if model == "item_knn":
        again = Recommender("item_knn").fit(pd.concat([interactions, more]), catalogue)
        pd.testing.assert_frame_equal(found, again.recommend(["new"], k=3), rtol=1e-4)


@pytest.mark.parametrize("model", ["hybrid", "content"])
def test_new_items_count_at_once(model: str) -> None:
    interactions, catalogue = world()
    params = {"components": COMPONENTS} if model == "hybrid" else {}
    made = Recommender(model, **params).fit(interactions, catalogue)  # type: ignore[arg-type]
    add_items(made, pd.DataFrame({"item": ["late"], "price": [1], "vector": [[0.0, 0.0, 1.0, 0.0]]}))
    assert made.recommend(["u2"], k=5, where={"item": {"$in": ["late", "i1", "i3"]}})["item"][0] == "late"
    assert made.recommend(["u1"], k=50)["item"].tolist().index("late") > 3
    told = made.contributions(made.history_of("u2"), "late")
    assert told.total == pytest.approx(made.rerank("u2", ["late"])["score"][0], abs=1e-4)


def test_a_user_is_forgotten(tmp_path: Path) -> None:
    interactions, catalogue = world()
    made = Recommender("item_knn").fit(interactions, catalogue)
    assert erase(made, "u1")
    with pytest.raises(InputError, match="'u1'"):
        made.history_of("u1")
    others = interactions[interactions["user"] != "u1"]
    again = Recommender("item_knn").fit(others, catalogue)
    pd.testing.assert_frame_equal(made.recommend(["u2"], k=5), again.recommend(["u2"], k=5), rtol=1e-4)
    made.save(tmp_path / "saved")
    assert not pd.read_parquet(tmp_path / "saved" / "interactions.parquet")["user"].eq("u1").any()
    with pytest.raises(InputError):
        erase(made, "u1")


def test_explanations_are_the_score(hybrid: Recommender) -> None:
    for user in ("u1", "u2", "u30"):
        found = hybrid.recommend([user], k=3, serving=None)
        for item, score in zip(found["item"], found["score"], strict=True):
            told = explain(hybrid, user, item)
            assert told.score == pytest.approx(score, abs=1e-4)
            assert sum(value for _, value in told.history) + sum(told.rest.values()) == pytest.approx(score, abs=1e-4)
            assert "because" in told.text


def test_content_is_a_reason_only_where_it_carried_weight() -> None:
    interactions, catalogue = world()
    assert "content" not in explain(Recommender("ease").fit(interactions, catalogue), "u1", "i9").text
    hybrid = Recommender(components=COMPONENTS).fit(interactions, catalogue)
    hybrid.model.weights["content"] = 0.0  # type: ignore[attr-defined]
    assert explain(hybrid, "u1", "i9").by_content == 0
    hybrid.model.weights["content"] = 1.0  # type: ignore[attr-defined]
    told = explain(hybrid, "u1", "i9")
    assert told.by_content > 0
    assert "content is like" in told.text


def test_the_content_model_says_that_content_is_its_reason() -> None:
    told = explain(Recommender("content").fit(*world()), "u1", "i9")
    assert told.by_content == pytest.approx(told.score)
    assert "its content is like theirs" in told.text


def test_an_evaluation_has_baselines_segments_and_a_report(tmp_path: Path) -> None:
    interactions, catalogue = world(users=120)
    found = evaluate(split(interactions, "random"), ["ease"], catalogue=catalogue, k=5, labels="maker")
    table = found.table()
    assert list(table.index) == ["popularity", "item_knn", "ease"]
    assert table.loc["ease", "NDCG@5"] > table.loc["popularity", "NDCG@5"]
    assert {"coverage", "gini", "novelty", "popularity_lift", "calibration", "MAP@5", "recall@10"} <= set(table.columns)
    assert found.against("ease", "popularity", "NDCG@5").low > 0
    assert found.counts["warm_test_users"] == 120
    page = write_report(found, tmp_path / "report.html").read_text("utf-8")
    assert page.count("<table>") >= 3
    assert "ease" in page
    timed = evaluate(split(interactions), [Recommender(components=COMPONENTS)], catalogue=catalogue, k=5)
    assert set(timed.result("hybrid").segments) >= {"warm users", "cold users"}
    with pytest.raises(InputError, match="'colour'"):
        evaluate(split(interactions), [], catalogue=catalogue, labels="colour")


def test_hyper_parameters_are_chosen_inside_the_training() -> None:
    interactions, _ = world(users=120)
    parts = split(interactions, "leave_last_out")
    found = evaluate(parts, ["ease"], k=5, tune=True)
    inner = parts.tuning
    assert not set(map(tuple, inner.test[["user", "item", "time"]].values.tolist())) & set(
        map(tuple, parts.test[["user", "item", "time"]].values.tolist())
    )
    reached = {}
    for params in GRIDS["ease"]:
        trial = evaluate(inner, [Recommender("ease", **params)], k=5)
        reached[params["l2"]] = trial.result("ease").figures["NDCG@5"].value
    assert reached[found.result("ease").params["l2"]] == max(reached.values())
    chosen = found.result("item_knn").params
    assert {name: chosen[name] for name in ("neighbours", "shrinkage")} in GRIDS["item_knn"]


MIXED = {
    "ease": {"model": "ease"},
    "recent": {"model": "ease", "half_life": 10.0},
    "popularity": {"model": "popularity"},
}


@pytest.mark.parametrize(("model", "params"), [("ease", {}), ("hybrid", {"components": MIXED})])
def test_parts_sum_to_the_score_for_every_user_of_movielens(
    model: str, params: dict[str, Any], shared_data: Path
) -> None:
    from mmsdk_recommend import read_interactions

    frame = read_interactions(shared_data / "rec_movielens_latest_small" / "ratings.csv")
    films = pd.DataFrame({"item": frame["item"].unique(), "price": 1})  # some are new to the training part
    made = Recommender(model, **params).fit(split(frame, "random").train, films)
    found = made.recommend(made.data.users, k=1)
    assert len(found) == 610
    for user, item, score in zip(found["user"], found["item"], found["score"], strict=True):
        assert abs(made.contributions(made.history_of(user), item).total - score) < 1e-4


class Phrases:
    """Say the same to everything."""

    context = 1000
    modalities: frozenset[Modality] = frozenset({"text"})

    def __init__(self, text: str) -> None:
        self.text = text

    def generate(self, messages: Sequence[Message], **options: Any) -> Iterator[Delta]:
        assert "because" in str(messages[0].content)
        yield Delta(self.text)


@pytest.mark.parametrize(
    ("reply", "taken"),
    [
        ("We thought of {item}, since you enjoyed {reason}!", True),
        ("We thought of {item}, since you enjoyed {reason} and Lamp 38!", False),
        ("We thought of {item}, since you enjoyed {reason}, now 20 % off!", False),
        ("We thought of {item}, see https://evil.example {reason}", False),
        ("You will like it.", False),
        ("", False),
    ],
)
def test_what_an_llm_says_is_checked(reply: str, taken: bool) -> None:
    interactions, catalogue = world()
    catalogue["title"] = [f"Lamp {number}" for number in range(len(catalogue))]
    made = Recommender("item_knn").fit(interactions, catalogue)
    plain = explain(made, "u1", "i9", most=1)
    reason = plain.text.partition("you took ")[2].rstrip(".")
    said = reply.format(item="Lamp 9", reason=reason)
    told = explain(made, "u1", "i9", llm=Phrases(said), most=1)
    assert told.text == (said if taken else plain.text)


@pytest.mark.parametrize(("index", "least"), [("Flat", 1.0), ("IVF16,Flat", 0.9)])
@pytest.mark.parametrize("model", ["ials", "sasrec", "content"])
def test_candidates_from_an_index_are_the_best_items(model: str, index: str, least: float) -> None:
    interactions, catalogue = world(users=80, items=600)
    params: dict[str, Any] = {"sasrec": {"epochs": 1, "dimension": 16}, "ials": {"factors": 16}}.get(model, {})
    exact = Recommender(model, **params).fit(interactions, catalogue)
    found = Recommender(model, index=index, **params)
    found.model, found.width = exact.model, exact.width
    found.adopt(exact.data, exact.catalogue)
    users = [*interactions["user"].unique(), "nobody"]
    for where in (None, {"price": {"$lt": 200}}, {"maker": "m1"}):
        right, got = (one.recommend(users, k=10, where=where) for one in (exact, found))
        assert len(right) == len(got) == 10 * len(users)
        near = np.abs(right["score"] - got["score"]) < 1e-5  # of equals, any
        assert near.mean() >= least
        assert interactions.merge(got, on=["user", "item"]).empty


def test_an_index_gives_all_that_matches_and_follows_changes(tmp_path: Path) -> None:
    interactions, catalogue = world(items=600)
    exact = Recommender("content").fit(interactions, catalogue)
    made = Recommender("content", index="IVF16,Flat").fit(interactions, catalogue)
    where = {"item": {"$in": ["i1", "i5", "i9"]}}
    assert set(made.recommend(["u1"], k=10, exclude_seen=False, where=where)["item"]) == {"i1", "i5", "i9"}
    assert len(made.recommend(["u1"], k=1000, exclude_seen=False)) == 600
    again = Recommender.load(made.save(tmp_path / "saved"))
    assert again.get_params() == made.get_params()
    assert again.get_params()["index"] == "IVF16,Flat"
    pd.testing.assert_frame_equal(again.recommend(["u1"], k=3), made.recommend(["u1"], k=3), rtol=1e-4)
    more = pd.DataFrame({"item": ["late"], "vector": [[0.0, 0.0, 1.0, 0.0]]})
    for one in (exact, made):
        one.recommend(["u2"])
        add_items(one, more)
        update(one, pd.DataFrame({"user": ["u2"], "item": ["new"], "time": [9000]}))
    where = {"item": {"$in": ["late", "new", "i1"]}}
    lists = [one.recommend(["u2", "u3"], k=9, where=where)["item"].tolist() for one in (exact, made)]
    assert lists[0] == lists[1]
    assert lists[1][0] == "late"
    for wrong in ({"model": "ease", "index": "auto"}, {"model": "ials", "index": "no such"}):
        with pytest.raises(MmsdkError):
            Recommender(**wrong).fit(interactions).recommend(["u1"])  # type: ignore[arg-type]
