"""The doors: command line and tasks, from a file of purchases to an explanation."""

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest

from mmsdk import App
from mmsdk.cli import main
from mmsdk.errors import CollectionNotFoundError, InputError
from mmsdk.runtime import Runtime
from mmsdk.testing import PluginContract
from mmsdk_recommend.plugin import Recommend
from mmsdk_recommend.recommender import Recommender
from mmsdk_recommend.versions import Versions

from .test_recommend_recommender import world


class TestRecommend(PluginContract):
    plugin = Recommend
    requests: ClassVar = {
        "for_user": [{"user": "u1", "k": 3}, {"user": "u2", "where": {"price": {"$lt": 30}}, "diversity": 0.4}],
        "similar": [{"item": "i3"}],
        "for_history": [{"items": ["i1", "i5"]}, {"items": []}],
        "rerank": [{"user": "u1", "candidates": ["i1", "i2"]}],
        "explain": [{"user": "u1", "item": "i9"}],
    }

    @pytest.fixture(autouse=True)
    def _fitted(self, files: Path) -> None:
        command(
            None, "fit", str(files / "bought.csv"), "--catalogue", str(files / "items.jsonl"), "--model", "item_knn"
        )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recommend")
    interactions, catalogue = world()
    interactions.to_csv(folder / "bought.csv", index=False)
    catalogue.to_json(folder / "items.jsonl", orient="records", lines=True)
    return folder


def command(capsys: pytest.CaptureFixture[str] | None, *words: str, code: int = 0) -> Any:
    assert main(["recommend", *words, "--json"]) == code
    return json.loads(capsys.readouterr().out) if capsys and code == 0 else None


def test_from_purchases_to_an_explanation(
    capsys: pytest.CaptureFixture[str], files: Path, tmp_path: Path, bundled: Runtime
) -> None:
    fitted = command(
        capsys, "fit", str(files / "bought.csv"), "--catalogue", str(files / "items.jsonl"), "--model", "ease"
    )
    assert fitted == {"version": "v0001", "model": "ease", "users": 60, "items": 40, "interactions": 420}
    found = command(capsys, "for-user", "--user", "u1", "--k", "3", "--request", '{"where": {"price": {"$gte": 10}}}')
    assert [set(one) for one in found["recommendations"]] == [{"item", "score", "rank", "metadata"}] * 3
    assert all(one["metadata"]["price"] >= 10 for one in found["recommendations"])
    like = command(capsys, "similar", "--item", "i5", "--k", "2")["recommendations"]
    assert all(int(one["item"][1:]) % 4 == 1 for one in like)
    best = found["recommendations"][0]
    told = command(capsys, "explain", "--user", "u1", "--item", best["item"])
    total = sum(one["value"] for one in told["contributions"]) + sum(told["rest"].values())
    assert total == pytest.approx(best["score"], abs=1e-4)
    page = tmp_path / "report.html"
    measured = command(
        capsys, "evaluate", str(files / "bought.csv"), "--split", "user_time", "--models", "ease", "--report", str(page)
    )
    assert [one["model"] for one in measured["models"]] == ["popularity", "item_knn", "ease"]
    assert {"value", "low", "high"} == set(measured["models"][2]["figures"]["NDCG@10"])
    assert page.is_file()
    assert measured["report"] == str(page.resolve())
    assert main(["recommend", "evaluate", str(files / "bought.csv"), "--models", "ease", "--report", str(page)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split()[:4] == ["model", "users,", "items", "NDCG@10"]
    assert {line.split()[0] for line in shown[1:]} == {"popularity", "item_knn", "ease", "global_time", "report"}
    plain = command(capsys, "evaluate", str(files / "bought.csv"), "--models", "ease", "--no-write")
    assert plain["report"] is None
    assert not Path("recommendation.html").exists()
    command(capsys, "evaluate", str(files / "bought.csv"), "--report", str(tmp_path), code=InputError.exit_code)
    assert command(capsys, "fit", str(files / "bought.csv"), "--model", "popularity")["version"] == "v0002"
    assert command(capsys, "rollback") == {"version": "v0001"}


def test_what_goes_wrong_has_its_code(capsys: pytest.CaptureFixture[str], files: Path, tmp_path: Path) -> None:
    command(capsys, "for-user", "--user", "u1", code=CollectionNotFoundError.exit_code)
    command(capsys, "fit", "nothing.csv", code=InputError.exit_code)
    assert not Path("recommender").exists()
    command(capsys, "fit", str(files / "bought.csv"), "--columns", "user", code=InputError.exit_code)
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    command(capsys, "fit", str(tmp_path / "other.csv"), code=InputError.exit_code)
    assert "missing: user, item; there: a, b" in capsys.readouterr().err
    command(capsys, "evaluate", str(files / "bought.csv"), "--split", "moon", code=InputError.exit_code)
    command(capsys, "evaluate", str(files / "bought.csv"), "--k", "0", code=InputError.exit_code)


def test_numbers_as_names_come_from_a_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("userId,movieId,timestamp\n1,10,1\n1,20,2\n2,10,1\n2,30,2\n3,20,5\n3,30,6\n")
    command(capsys, "fit", str(tmp_path / "a.csv"), "--model", "item_knn")
    found = command(capsys, "for-user", "--user", "1")["recommendations"]
    assert [one["item"] for one in found] == [30]
    with App() as app:
        asked = app.run("recommend.for_user", {"user": 1})
        assert asked.recommendations[0].item == 30
        assert len(app.run("recommend.for_user", {"user": 99}).recommendations) == 3


def test_events_lists_and_clicks_are_kept_and_users_erased(capsys: pytest.CaptureFixture[str], files: Path) -> None:
    command(capsys, "fit", str(files / "bought.csv"), "--model", "item_knn")
    shown = command(capsys, "for-user", "--user", "u1", "--k", "2", "--keep", "--exploration", "0.2")
    clicked = shown["recommendations"][0]["item"]
    assert command(capsys, "push", "--user", "u1", "--item", clicked, "--shown", str(shown["request"])) == {"events": 1}
    command(capsys, "push", "--user", "u1", "--item", clicked, "--shown", str(2**72), code=InputError.exit_code)
    told = command(capsys, "monitor")
    assert told["versions"]["v0001"]["click_through"] == 0.5
    for item in ("i1", "i2"):
        command(capsys, "push", "--user", "new", "--item", item, "--kind", "view")
    before = len((files / "bought.csv").read_text("utf-8").splitlines()) - 1
    again = command(capsys, "fit", "recommender", "--model", "popularity")
    assert again["interactions"] in (before + 2, before + 3)  # u1 may have had what was clicked
    command(capsys, "rollback")
    assert command(capsys, "erase", "u1") == {"version": "v0003", "journal_rows": 3}
    command(capsys, "rerank", "--user", "u1", "--candidates", "i1", code=InputError.exit_code)
    assert [path.name for path in Path("recommender").glob("v*")] == ["v0003"]


def test_a_folder_learns_what_was_pushed_since_and_keeps_the_rest(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("userId,movieId,timestamp\n1,10,1\n1,20,2\n2,10,1\n2,30,2\n3,20,5\n3,30,6\n")
    (tmp_path / "films.csv").write_text("item,title\n10,Up\n20,Heat\n30,Jaws\n")
    command(capsys, "push", "--user", "9", "--item", "10")  # in the shop's log by the time that it is read
    command(capsys, "fit", str(tmp_path / "a.csv"), "--model", "item_knn", "--catalogue", str(tmp_path / "films.csv"))
    for user, item in (("1", "30"), ("4", "20"), ("4", "40")):
        command(capsys, "push", "--user", user, "--item", item)
    counts = {"model": "item_knn", "users": 4, "items": 4, "interactions": 9}
    assert command(capsys, "fit", "recommender") == {"version": "v0002", **counts}
    assert command(capsys, "fit", "recommender") == {"version": "v0003", **counts}  # nothing twice
    [found] = command(capsys, "for-user", "--user", "1")["recommendations"]
    assert found["item"] == 40
    assert command(capsys, "similar", "--item", "40", "--k", "1")["recommendations"][0]["metadata"]["title"] == "Heat"
    assert command(capsys, "erase", "4")["journal_rows"] == 2
    command(capsys, "push", "--user", "2", "--item", "20")
    assert command(capsys, "fit", "recommender")["interactions"] == 8
    command(capsys, "push", "--user", "7", "--item", "20")
    command(capsys, "erase", "7")
    assert command(capsys, "fit", "recommender")["interactions"] == 8
    command(capsys, "fit", "recommender", "--model", "ease")
    assert command(capsys, "for-user", "--user", "5")["recommendations"][0]["metadata"]["title"] == "Heat"


def test_what_is_not_named_stays_as_it_was_made(
    capsys: pytest.CaptureFixture[str], files: Path, tmp_path: Path
) -> None:
    """Parameters given from Python, seed and index; each can be named to change it alone."""
    folder, items = tmp_path / "made", str(files / "items.jsonl")

    def made() -> dict[str, Any]:
        return Versions(folder).load().get_params()

    frame, _ = world()
    own: dict[str, Any] = {"model": "ials", "seed": 7, "factors": 8, "iterations": 2, "index": "Flat"}
    Versions(folder).publish(Recommender(**own).fit(frame))
    for words in (("--catalogue", items), ("--model", "ials"), ()):
        command(capsys, "fit", str(folder), "--state", str(folder), *words)
        assert own.items() <= made().items(), words
    command(capsys, "fit", str(folder), "--state", str(folder), "--index", "exact")
    assert {**own, "index": "exact"}.items() <= made().items()
    command(capsys, "fit", str(folder), "--state", str(folder), "--model", "item_knn")
    assert (made()["model"], made()["seed"]) == ("item_knn", 7)


def test_a_model_that_needs_content_asks_for_the_catalogue_that_was_kept_without(
    capsys: pytest.CaptureFixture[str], files: Path
) -> None:
    items = ("--catalogue", str(files / "items.jsonl"))
    command(capsys, "fit", str(files / "bought.csv"), "--model", "item_knn", *items)
    assert main(["recommend", "fit", "recommender", "--model", "hybrid"]) == InputError.exit_code
    assert "give the catalogue again" in capsys.readouterr().err
    command(capsys, "fit", "recommender", "--model", "content", *items)
    command(capsys, "fit", "recommender", "--model", "content", "--index", "Flat")  # its catalogue has content by now
