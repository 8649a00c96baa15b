"""Which watched names a text speaks of, and what is left to people."""

from pathlib import Path

import pytest

from mmsdk.entities import Mention
from mmsdk.errors import InputError
from mmsdk_finance.watchlist import Name, Watchlist

WATCH = Watchlist(
    [
        Name("AAPL", ("Apple Inc.",), "Technology", 0.4, ("Beats Electronics",)),
        Name("TGT", ("Target Corporation",), "Retail"),
        Name("GPS", ("Gap Inc", "The Gap"), "Retail"),
        Name("CLD", ("Calder Motors plc", "Calder"), "Autos", -0.1),
        Name("600519", ("贵州茅台酒股份有限公司", "贵州茅台"), "Consumer"),
    ]
)


@pytest.mark.parametrize(
    ("text", "watched"),
    [
        ("Apple shares fall after weak iPhone sales", {"AAPL"}),
        ("Apple's profit beats forecasts", {"AAPL"}),
        ("Regulator sues Apple over app store", {"AAPL"}),
        ("$AAPL looks cheap, apple pie is not", {"AAPL"}),
        ("Apple Inc to buy start-up. Apple then said", {"AAPL"}),
        ("Beats Electronics recalls headphones", {"AAPL"}),
        ("Analysts cut their price Target for chip makers", set()),
        ("Apple pie prices rise before the holidays", set()),
        ("The pay Gap between men and women narrows", set()),
        ("the gap to rivals widens", set()),
        ("Gap shares jump as Target cuts its outlook", {"GPS", "TGT"}),
        ("Calder recalls 40,000 cars; CALDER denies fault", {"CLD"}),
        ("calder is doomed lol", {"CLD"}),
        ("Mr Calderon retires", set()),
        ("贵州茅台第三季度净利润增长", {"600519"}),
    ],
)
def test_a_text_speaks_of_the_names_it_means(text: str, watched: set[str]) -> None:
    assert set(WATCH.find(text).watched) == watched


def test_doubts_say_why_and_whose_name_it_could_be() -> None:
    found = WATCH.find("Apple pie; Zenith Pumps Ltd and $ZNTH rise")
    assert [(doubt.written, doubt.ticker) for doubt in found.doubts] == [
        ("Apple", "AAPL"),
        ("Zenith Pumps Ltd", ""),
        ("$ZNTH", ""),
    ]
    assert "used as a word" in found.doubts[0].reason


def test_organisations_are_for_review_unless_they_are_watched() -> None:
    text = "Calder Motors buys Northgate"
    organizations = [Mention("calder motors", 0, 13, "Calder Motors"), Mention("northgate", 19, 28, "Northgate")]
    found = WATCH.find(text, organizations)
    assert dict(found.watched) == {"CLD": "Calder Motors"}
    assert [doubt.written for doubt in found.doubts] == ["Northgate"]


def test_sectors_hold_their_tickers() -> None:
    assert WATCH.sectors["Retail"] == ("TGT", "GPS")


def test_a_csv_is_read_with_all_its_columns(tmp_path: Path) -> None:
    file = tmp_path / "watch.csv"
    file.write_text(
        "ticker,names,aliases,subsidiaries,sector,weight\nCLD,Calder Motors plc,Calder|CM Cars,Ovex,Autos,-0.25\n",
        "utf-8-sig",
    )
    (name,) = Watchlist.read(file).names.values()
    assert name == Name("CLD", ("Calder Motors plc", "Calder", "CM Cars"), "Autos", -0.25, ("Ovex",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("symbol,names\nA,B\n", "needs the columns ticker and names"),
        ("ticker,names,color\nA,B,red\n", "color"),
        ("ticker,names\n,B\n", "line 2: a name needs a ticker"),
        ("ticker,names,weight\nA,Borealis,much\n", "line 2: the weight 'much'"),
        ("ticker,names\nA,Borealis\nA,Calder\n", "tickers twice: A"),
        ("ticker,names\nA,Borealis Inc\nB,Borealis plc\n", "'Borealis plc' is a name of both A and B"),
    ],
)
def test_a_wrong_csv_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "watch.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        Watchlist.read(file)


def test_a_csv_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the watch list"):
        Watchlist.read(tmp_path / "none.csv")
