"""Reports and exports hold what the state holds, and nothing a feed says becomes markup, a script or a formula."""

import csv
import json
import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from pyarrow import parquet

from mmsdk.errors import InputError
from mmsdk.report import Report
from mmsdk_finance.export import COLUMNS, export
from mmsdk_finance.report import write_report

from .test_finance_monitor import START, item, monitor, script

EVIL = '</script><script>alert(1)</script> Calder Motors cuts "jobs" & <b>pay</b>'


class Tags(HTMLParser):
    """Collect tags and addresses of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for key, value in attrs if key in ("href", "src")]


def test_the_report_shows_levels_alerts_and_evidence(tmp_path: Path) -> None:
    with monitor(tmp_path / "state") as opened:
        opened.take(script())
        opened.acknowledge(1, "kim")
        page = write_report(opened, tmp_path / "out" / "report.html").read_text("utf-8")
    found = Tags()
    found.feed(page)
    assert found.tags.count("table") == 6
    figures = re.findall(r'<script type="application/json" id="figure-\d+">(.*?)</script>', page)
    assert len(figures) == 4
    overview = json.loads(figures[0])
    assert [trace["name"] for trace in overview["data"]] == ["CLD", "BRW", "NRT"]
    assert min(overview["data"][0]["y"]) < -0.3
    assert "Calder Motors turned negative" in page
    assert "acknowledged by kim" in page
    assert "prefers-color-scheme" in page


def test_nothing_that_a_feed_says_becomes_markup(tmp_path: Path) -> None:
    with monitor(tmp_path / "state") as opened:
        item_ = replace(item(1, EVIL, hours=1, source="<i>Wire</i>"), url="javascript:alert(1)")
        opened.take([item_, replace(item(2, "Calder Motors beats", hours=2), url='https://x.example/"onload=')])
        page = write_report(opened, tmp_path / "report.html").read_text("utf-8")
    found = Tags()
    found.feed(page)
    assert not {"i", "b"} & set(found.tags)
    assert "<script>alert(1)" not in page
    assert found.links == ['https://x.example/"onload=']
    assert "default-src 'none'" in page


def test_an_empty_monitor_has_a_report(tmp_path: Path) -> None:
    with monitor(tmp_path / "state") as opened:
        page = write_report(opened, tmp_path / "report.html").read_text("utf-8")
    assert "<p>None.</p>" in page


def test_a_report_without_charts_needs_no_script() -> None:
    report = Report("Sales & Co", "January")
    report.heading("Towns")
    report.figures({"sold": 1234, "mean": 1.23456})
    report.table(("town", "sold"), [("Bern", 12), (("Basel", "ftp://basel.example"), None)])
    page = report.html()
    assert "<script" not in page
    assert "<dd>1,234</dd>" in page
    assert "<dd>1.23</dd>" in page
    assert "ftp:" not in page


def test_csv_and_parquet_hold_every_vote(tmp_path: Path) -> None:
    with monitor(tmp_path / "state") as opened:
        opened.take([*script(), replace(item(9999, "=Calder Motors cuts jobs", hours=3), author="=SUM(A1)")])
        votes = opened.state.counts()["votes"]
        assert export(opened.state, tmp_path / "votes.csv") == votes
        assert export(opened.state, tmp_path / "votes.parquet") == votes
        with pytest.raises(InputError, match=r"must end in \.csv or \.parquet"):
            export(opened.state, tmp_path / "votes.xlsx")
    with (tmp_path / "votes.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    table = parquet.read_table(tmp_path / "votes.parquet")
    assert len(rows) == table.num_rows == votes
    assert tuple(table.column_names) == COLUMNS
    assert {row["author"] for row in rows} == {"", "'=SUM(A1)"}
    assert rows[0]["event"] >= (START + timedelta(hours=0)).isoformat()[:10]
    assert {row["model"] for row in rows} == {"words/1"}
