"""The core's commands over the example shop, with the real models."""

import io
import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mmsdk.cli import main
from mmsdk.runtime import Runtime

ROOT = Path(__file__).parents[1]
DATA = ROOT / "examples" / "data"


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, str]:
        error: dict[str, str] = json.loads(self.err)["error"]
        return error


Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], bundled: Runtime) -> Run:
    def call(*arguments: str | Path) -> Ran:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return call


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, bundled: Runtime) -> Path:
    """A collection of a few of the example documents."""
    folder = tmp_path_factory.mktemp("shop")
    sources = folder / "sources"
    shutil.copytree(DATA / "policies", sources / "policies")
    shutil.copy(DATA / "pictures" / "store-map.png", sources)
    shutil.copy(DATA / "recordings" / "tip-boots.mp3", sources)
    with Runtime(bundled.settings) as runtime:
        report = runtime.collection(folder / "collection", create=True).add([sources])
    assert not report.failed
    return folder / "collection"


@pytest.fixture
def own(shop: Path, tmp_path: Path) -> Path:
    """A copy of the collection, to change."""
    return Path(shutil.copytree(shop, tmp_path / "own"))


def test_add_reports_what_it_did_and_is_idempotent(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# Hours\n\nThe shop opens at nine.\n", "utf-8")
    (tmp_path / "b.txt").write_text("退货在三十天内免费。", "utf-8")
    first = run("add", tmp_path / "c", tmp_path / "a.md", tmp_path / "b.txt", "--metadata", '{"year": 2024}', "--json")
    assert first.code == 0
    assert set(first.json) >= {"documents", "chunks", "skipped", "failed"}
    assert (first.json["documents"], first.json["skipped"], first.json["failed"]) == (2, 0, [])
    second = run("add", tmp_path / "c", tmp_path / "a.md", tmp_path / "b.txt", "--metadata", '{"year": 2024}')
    assert second.code == 0
    assert "2 unchanged" in second.out


def test_add_says_when_there_is_nothing_to_read(run: Run, tmp_path: Path) -> None:
    (tmp_path / "sources" / ".hidden").mkdir(parents=True)
    ran = run("add", tmp_path / "c", tmp_path / "sources")
    assert ran.code == 0
    assert "nothing there to read" in ran.err


def test_add_goes_on_and_lists_every_failure_with_exit_code_3(run: Run, tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "good.txt").write_text("Good text.", "utf-8")
    (sources / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    done = run("add", tmp_path / "c", sources, tmp_path / "absent.txt", "--json")
    assert done.code == 3
    assert done.json["documents"] == 1
    assert {Path(failure["source"]).name for failure in done.json["failed"]} == {"bad.png", "absent.txt"}
    assert all(set(failure) == {"source", "stage", "code", "reason"} for failure in done.json["failed"])
    spoken = run("add", tmp_path / "c", sources)
    assert spoken.code == 3
    assert re.search(r"^failed: .*bad\.png \(decode, decode\): ", spoken.err, re.MULTILINE)


def test_add_masks_personal_data(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Write to jane.doe@example.com about the tent.", "utf-8")
    assert run("add", tmp_path / "c", tmp_path / "a.txt", "--mask").code == 0
    found = run("search", tmp_path / "c", "tent", "--json").json[0]["text"]
    assert "tent" in found
    assert "jane.doe" not in found


def test_search_prints_hits_in_the_shape_of_the_design(run: Run, shop: Path) -> None:
    hits = run("search", shop, "Within how many days can I return an item?", "-k", "3", "--json").json
    assert len(hits) == 3
    keys = {"id", "document_id", "score", "modality", "source", "locator", "text", "metadata"}
    assert all(set(hit) == keys for hit in hits)
    assert hits[0]["source"].endswith("returns.md")
    assert hits[0]["locator"]["kind"] == "characters"
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)


def test_search_for_people_names_source_and_place(run: Run, shop: Path) -> None:
    done = run("search", shop, "退货", "-k", "1")
    assert done.code == 0
    assert re.search(r"^ 1\. \d\.\d{3}  .*退换货政策\.md, characters \d+-\d+$", done.out, re.MULTILINE)


def test_search_chooses_reranks_and_explains(run: Run, shop: Path) -> None:
    options = ("--quota", '{"image": 2}', "--diversity", "0.2", "--collapse", "0.97")
    hits = run("search", shop, "How long can I return an item?", "-k", "4", *options, "--explain", "--json").json
    assert [hit["modality"] for hit in hits].count("image") >= 2
    for hit in hits:
        why = hit["explanation"]
        assert abs(sum(found["amount"] for found in why["contributions"]) - why["fused"]) < 1e-9
    shown = run("search", shop, "How long can I return an item?", "-k", "1", "--rerank", "cross", "--explain").out
    assert re.search(r"by CrossScorer; before it rank \d+, score 0\.\d+", shown)
    assert re.search(r"0\.\d+ = 0\.75 x 0\.\d+ \(text:all-MiniLM-L6-v2: cosine", shown)
    assert "matched words: " in shown
    wrong = run("search", shop, "tent", "--quota", '{"video": 1}')
    assert wrong.code == 6
    assert "'video'" in wrong.err
    assert run("search", shop, "tent", "--rerank", "nothing").code != 0


def test_a_picture_and_a_recording_are_questions_too(run: Run, shop: Path) -> None:
    picture = run("search", shop, "--image", DATA / "pictures" / "store-map.png", "-k", "1", "--json").json
    assert picture[0]["source"].endswith("store-map.png")
    recording = DATA / "recordings" / "tip-boots.mp3"
    assert run("search", shop, "boots", "--audio", recording, "-k", "1", "--json").json[0]["source"].endswith("mp3")


def test_ask_answers_with_verbatim_citations(run: Run, shop: Path) -> None:
    question = "Within how many days can I return an item?"
    answer = run("ask", shop, question, "--json").json
    assert set(answer) == {"text", "status", "citations", "hits"}
    assert answer["status"] == "answered"
    assert answer["citations"]
    for citation in answer["citations"]:
        assert set(citation) == {"start", "stop", "source", "locator", "quote"}
        assert citation["quote"] in Path(citation["source"]).read_text("utf-8")
    spoken = run("ask", shop, question)
    assert "[1]" in spoken.out
    assert re.search(r"^\[1\] .*, characters \d+-\d+: \"", spoken.out, re.MULTILINE)


def test_ask_says_when_the_sources_do_not_know(run: Run, shop: Path) -> None:
    answer = run("ask", shop, "Who won the football world cup in 1998?", "--json")
    assert answer.code == 0
    assert answer.json["status"] == "not_in_sources"
    assert answer.json["citations"] == []


def test_delete_by_source_id_and_filter(run: Run, own: Path) -> None:
    hit = run("search", own, "warranty", "-k", "1", "--json").json[0]
    assert run("delete", own, "--source", hit["source"], "--json").json["chunks"] > 0
    other = run("search", own, "warranty", "-k", "1", "--json").json[0]
    assert other["source"] != hit["source"]
    assert run("delete", own, "--id", other["document_id"], "--json").json["chunks"] > 0
    assert run("delete", own, "--where", '{"year": 1999}', "--yes", "--json").json == {"chunks": 0}


def test_delete_by_filter_asks_first(run: Run, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = run("info", own, "--json").json
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    refused = run("delete", own, "--where", '{"year": {"$exists": false}}')
    assert refused.code == 1
    assert refused.err.splitlines()[-1].endswith("mmsdk: aborted")
    assert run("info", own, "--json").json == before


def test_delete_needs_to_be_told_what(run: Run, own: Path) -> None:
    done = run("delete", own)
    assert done.code == 6
    assert done.err == "mmsdk: say what to delete: --id, --source or --where\n"


def test_verify_repair_reindex_and_info(run: Run, own: Path) -> None:
    assert run("verify", own, "--json").json == {"problems": []}
    assert run("verify", own).out == "all is well\n"
    assert run("info", own, "--json").json["chunks"] > 0
    assert run("repair", own).code == 0
    assert run("reindex", own, "--json").code == 0
    assert run("search", own, "return", "-k", "1", "--json").code == 0


def test_transcribe_prints_segments_and_the_language(run: Run) -> None:
    recording = DATA / "recordings" / "tip-boots.mp3"
    shape = run("transcribe", recording, "--json").json
    assert set(shape) == {"text", "language", "language_probability", "segments"}
    assert shape["language"] == "en"
    assert set(shape["segments"][0]) == {"start", "stop", "text"}
    assert re.match(r"\[ +\d+\.\d\d - +\d+\.\d\d\] \w", run("transcribe", recording).out)


def test_models_are_listed_fetched_and_found(run: Run) -> None:
    models = {model["name"]: model for model in run("models", "list", "--json").json}
    assert models["all-MiniLM-L6-v2"]["state"] == "ready"
    path = run("models", "path", "all-MiniLM-L6-v2").out.strip()
    assert path == models["all-MiniLM-L6-v2"]["path"]
    assert run("models", "fetch", "all-MiniLM-L6-v2", "--json").json == {"all-MiniLM-L6-v2": path}
    assert "all-MiniLM-L6-v2" in run("models", "list").out
