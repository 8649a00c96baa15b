"""The journal, what it says of other policies, the report on interactions, and the explorer."""

import re
from html.parser import HTMLParser
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mmsdk.errors import InputError
from mmsdk_recommend import Recommender, Serving
from mmsdk_recommend.catalogue import read
from mmsdk_recommend.explorer import explorer
from mmsdk_recommend.journal import Journal
from mmsdk_recommend.offpolicy import effective, ips, snips
from mmsdk_recommend.quality import validate

from .test_recommend_recommender import world

EVIL = '<script>alert(1)</script>"&'


def test_events_outlive_the_process_and_are_erased(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.push("ann", 7, kind="view", at=1)
        journal.push("ann", 8, kind="buy", at=2, weight=2)
        journal.push(1, 7, at=3)
        journal.push("1", 7, at=4)
        for wrong in (("", 7, 1.0), ("ann", None, 1.0), ("ann", 7, 0.0)):
            with pytest.raises(InputError, match="an event has"):
                journal.push(wrong[0], wrong[1], weight=wrong[2])
    with Journal(tmp_path) as journal:
        frame = journal.frame({"view": 0.0, "buy": 3.0})
        assert frame[["user", "item", "weight"]].values.tolist() == [["ann", 8, 6.0], [1, 7, 1.0], ["1", 7, 1.0]]
        assert journal.erase("ann") == 2
        assert journal.frame()["user"].tolist() == [1, "1"]
    assert b"ann" not in (tmp_path / "journal.sqlite").read_bytes()


def test_showings_are_counted_by_version(tmp_path: Path) -> None:
    made = Recommender("item_knn").fit(*world())
    with Journal(tmp_path) as journal:
        found = made.recommend(["u1", "u2"], k=2, serving=Serving(exploration=0.5))
        first, second = journal.show(found, version="v0001", at=100)
        [third] = journal.show(made.recommend(["u1"], k=2), version="v0002", at=200)
        journal.reward(first, found["item"][0])
        for odd in (1.7e12, float("nan"), float("inf")):
            with pytest.raises(InputError, match="seconds since 1970"):
                journal.push("ann", 8, at=odd)
        with pytest.raises(InputError, match="at most"):
            journal.push("ann", 8, weight=1e308)
        for number, item in ((second, "nothing"), (2**70, found["item"][0]), (-(2**70), found["item"][0])):
            with pytest.raises(InputError, match="did not show"):
                journal.reward(number, item)
            with pytest.raises(InputError, match="did not show"):
                journal.push("ann", 8, click=(number, item))
        assert journal.count() == 0
        told = journal.monitor(items=40)
        assert told["v0001"] == {
            "requests": 2,
            "showings": 4,
            "click_through": 0.25,
            "coverage": found["item"].nunique() / 40,
        }
        assert told["v0002"]["click_through"] == 0
        assert set(journal.monitor(items=40, since=150)) == {"v0002"}
        seen = journal.showings()
        assert seen["request"].tolist() == [first, first, second, second, third, third]
        assert seen["propensity"].notna().tolist() == [True] * 4 + [False] * 2


def test_estimates_find_the_truth_of_a_policy_that_never_ran() -> None:
    random = np.random.default_rng(0)
    earns = np.array([0.1, 0.5, 0.3])
    logged, target = np.array([0.6, 0.2, 0.2]), np.array([0.0, 0.7, 0.3])
    shown = random.choice(3, 20_000, p=logged)
    rewards = (random.random(20_000) < earns[shown]).astype(float)
    truth = float(target @ earns)
    for estimate in (ips, snips):
        found = estimate(rewards.tolist(), logged[shown].tolist(), target[shown].tolist())
        assert found.low < truth < found.high
        assert found.high - found.low < 0.05
        assert abs(rewards.mean() - truth) > 0.1
    assert effective(logged[shown].tolist(), target[shown].tolist()) < 20_000
    with pytest.raises(InputError, match="propensities are in"):
        ips([1.0], [0.0], [1.0])
    with pytest.raises(InputError, match="nothing of what was logged"):
        snips([1.0], [0.5], [0.0])


def test_propensities_are_how_often_items_are_shown() -> None:
    made = Recommender("item_knn").fit(*world())
    shown = []
    for seed in range(400):
        found = made.recommend(["u1"], k=1, serving=Serving(exploration=0.4, seed=seed))
        shown.append((found["item"][0], found["propensity"][0]))
    best = max(shown, key=lambda pair: pair[1])
    share = np.mean([item == best[0] for item, _ in shown])
    assert abs(share - best[1]) < 0.08
    assert 0.6 < best[1] < 0.65


def test_what_is_odd_is_reported() -> None:
    frame = pd.DataFrame(
        {
            "user": ["a"] * 50 + ["b"] * 50 + ["robot"] * 1500 + ["once"],
            "item": [*range(50), *range(50), *range(1500), 3],
            "time": [*(86400.0 * np.arange(100)), *(86400.0 * 400 + np.arange(1500)), 4e9],
        }
    )
    found = validate(pd.concat([frame, frame.head(2)]), pd.DataFrame({"item": range(1499)}))
    assert (found.duplicates, found.single_users, found.future) == (2, 1, 1)
    assert found.bots == ("robot",)
    assert found.gaps[0][1] == "2096-10-02"
    assert found.unknown_items == (1499,)
    assert found.to_json()["first"] == "1970-01-01"


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs)


async def test_the_explorer_shows_lists_and_pictures_and_no_markup_of_others(tmp_path: Path) -> None:
    interactions, catalogue = world()
    Image.new("RGB", (50, 40), (200, 30, 30)).save(tmp_path / "red.png")
    catalogue["image"] = str(tmp_path / "red.png")
    catalogue["title"] = EVIL
    interactions.loc[0, "user"] = EVIL
    made = Recommender("item_knn").fit(interactions, catalogue)
    transport = httpx.ASGITransport(explorer(lambda: made))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        for query in ({}, {"user": "u1"}, {"item": "i3"}, {"user": EVIL}, {"user": "<b>nobody</b>"}):
            answer = await client.get("/", params=query)
            found = Tags()
            found.feed(answer.text)
            assert "script" not in found.tags
            assert "b" not in found.tags
        assert answer.status_code == 422
        listed = await client.get("/", params={"user": "u1"})
        assert len(re.findall(r'<div class="card">', listed.text)) > 5
        assert "because you took" in listed.text.replace("you took", "because you took", 1)
        picture = await client.get("/picture", params={"item": "i3"})
        assert picture.headers["content-type"] == "image/jpeg"
        assert (await client.get("/picture", params={"item": "../red.png"})).status_code == 404


async def test_pictures_named_beside_the_catalogue_are_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interactions, catalogue = world()
    (tmp_path / "shop").mkdir()
    Image.new("RGB", (50, 40), (200, 30, 30)).save(tmp_path / "shop" / "red.png")
    catalogue["image"] = ["red.png" if number % 2 else "lost.png" for number in range(len(catalogue))]
    catalogue.drop(columns="vector").to_json(tmp_path / "shop" / "items.jsonl", orient="records", lines=True)
    monkeypatch.chdir(tmp_path)
    made = Recommender("item_knn").fit(interactions, read(Path("shop/items.jsonl")))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    transport = httpx.ASGITransport(explorer(lambda: made))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get("/picture", params={"item": "i3"})).headers["content-type"] == "image/jpeg"
        assert (await client.get("/picture", params={"item": "i4"})).status_code == 404
        page = (await client.get("/", params={"user": "u1"})).text
    shown = set(re.findall(r'<img src="picture\?item=i(\d+)"', page))
    assert shown
    assert all(int(number) % 2 for number in shown)
    assert 'class="blank"' in page
