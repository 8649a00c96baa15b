"""Every example runs as a user would run it, and the example data are what their README says."""

import json
import re
import runpy
import socket
from pathlib import Path
from shutil import copytree

import pytest

from mmsdk.collection import Collection
from mmsdk.protocols import Encoder
from mmsdk.runtime import Runtime
from mmsdk.testing import EncoderContract

ROOT = Path(__file__).parents[1]
DATA = ROOT / "examples" / "data"


@pytest.fixture(autouse=True)
def _in_a_copy_of_the_repository(tmp_path: Path) -> None:
    """Make the working directory look like the root of the repository, so that collections land outside it."""
    for folder in ("examples", "benchmarks"):
        (tmp_path / folder).symlink_to(ROOT / folder)


def run(example: str, capsys: pytest.CaptureFixture[str]) -> str:
    runpy.run_path(str(ROOT / "examples" / example), run_name="__main__")
    return capsys.readouterr().out


@pytest.fixture(scope="module")
def shop(bundled: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection of the whole example shop, made once; tests take copies."""
    folder = tmp_path_factory.mktemp("collections") / "shop"
    with Collection.open(folder, create=True, settings=bundled.settings) as collection:
        report = collection.add(DATA)
    assert (report.documents, report.failed) == (18, ())
    return folder


def test_quickstart_cites_the_guarantee(shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copytree(shop, tmp_path / "my-collection")
    printed = run("quickstart.py", capsys)
    assert "0 documents, 0 chunks, 0 failures" in printed
    assert re.search(r"answered: .*five years", printed)
    assert re.search(r"warranty\.txt, characters \d+-\d+: '.*five years", printed)


@pytest.mark.usefixtures("bundled")
def test_a_client_asks_a_server(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("PORT", str(free.getsockname()[1]))
    printed = run("serve_client.py", capsys)
    assert re.search(r"1 documents, \d+ chunks, 0 failures\nanswered: .*five years", printed)
    assert re.search(r"  warranty\.txt, .*five years", printed)


def test_the_readme_shows_the_quickstart() -> None:
    code = (ROOT / "examples" / "quickstart.py").read_text("utf-8").partition("\n\n")[2]
    assert f"```python\n{code}```" in (ROOT / "README.md").read_text("utf-8")


def test_demo_answers_three_questions_and_declines_the_fourth(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copytree(shop, tmp_path / "demo-collection")
    sections = re.split(r"─+ A (?:spoken )?question[^─]*─+\n", run("demo.py", capsys))
    taken_in, text, picture, spoken, unanswerable = sections
    assert "18 files, 0 of them new or changed" in taken_in
    assert "not taken in" not in taken_in
    assert "45 days" in text
    assert "returns.md" in text
    assert "289.00" in picture
    assert "prices.csv" in picture
    assert re.search(r"\b(4|four)\b", spoken)
    assert re.search(r"voicemail-opening-hours\.ogg, seconds", spoken)
    assert "status: not_in_sources" in unanswerable


@pytest.mark.usefixtures("bundled")
def test_filters_keep_to_the_kind_and_a_picture_finds_the_tent(capsys: pytest.CaptureFixture[str]) -> None:
    lines = run("search_with_filters.py", capsys).splitlines()
    assert len(lines) == 4
    assert all("/policies/" in line for line in lines[:2])
    assert "alder-2-tent.html" in lines[2]


class TestOwnEncoder(EncoderContract):
    def encoder(self) -> Encoder:
        made: Encoder = runpy.run_path(str(ROOT / "examples" / "own_encoder.py"))["Trigrams"]()
        return made


def test_own_encoder_finds_the_misspelt(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Waterproof trousers" in run("own_encoder.py", capsys)


def test_langchain_retrieves_with_sources(shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copytree(shop, tmp_path / "my-collection")
    printed = run("with_langchain.py", capsys)
    assert "privacy.txt" in printed
    assert "Human: Answer from these passages:" in printed


def test_evaluation_prints_intervals(shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copytree(shop, tmp_path / "my-collection")
    figure = r"[01]\.\d+ \[[01]\.\d+, [01]\.\d+\]"
    assert re.search(f"20 questions: recall@5 {figure}, MRR {figure}", run("evaluation.py", capsys))


def test_the_questions_are_twenty_and_ten_over_all_kinds_of_source() -> None:
    lines = (ROOT / "benchmarks" / "shop_questions.jsonl").read_text("utf-8").splitlines()
    questions = [json.loads(line) for line in lines]
    answerable = [question for question in questions if question["answerable"]]
    assert (len({question["id"] for question in questions}), len(answerable)) == (30, 20)
    for question in answerable:
        assert (DATA / question["source"]).is_file()
        assert all(re.compile(pattern) for pattern in question["answer"])
    suffixes = {Path(question["source"]).suffix for question in answerable}
    assert suffixes >= {".md", ".txt", ".html", ".csv", ".pdf", ".docx", ".png", ".ogg", ".mp3"}
    assert all(question["answer"] == [] and question["source"] is None for question in questions[20:])


def test_the_readme_names_every_file_of_the_data() -> None:
    readme = (ROOT / "examples" / "README.md").read_text("utf-8")
    for path in DATA.rglob("*"):
        pattern = f"{path.parent.name}/*{path.suffix}"
        assert path.is_dir() or path.name in readme or pattern in readme, path.name


def test_the_data_stay_small() -> None:
    assert sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file()) < 500_000


def test_the_tree_in_the_readme_names_every_module() -> None:
    tree = (ROOT / "README.md").read_text("utf-8").split("## The tree")[1]
    modules = [path for path in (ROOT / "mmsdk").iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()]
    named = re.findall(r"^  (\S+?)/?(?= )", tree, re.MULTILINE)
    assert sorted(path.name for path in modules) == sorted(named)


def test_recommend_places_new_posters_by_text_and_picture(
    bundled: Runtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = run("recommend.py", capsys)
    bounds = json.loads(re.findall(r"new posters, NDCG@10: (\{.*\})", printed)[0])
    reached = {name: float(value) for name, value in re.findall(r"by (text|picture|both): ([\d.]+)", printed)}
    assert reached["both"] > max(reached["text"], reached["picture"])
    assert min(reached.values()) > max(3 * bounds["chance"], bounds["popularity"])
    assert re.search(r"no\. \d+\): because you took .*\(no\. \d+\)", printed)
    assert (tmp_path / "demo-recommend" / "report.html").is_file()
