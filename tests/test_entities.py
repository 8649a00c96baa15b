"""Names found in texts."""

import pytest

from mmsdk.entities import Gazetteer, bare_name, organizations, short_name
from mmsdk.runtime import Runtime


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Acme Robotics, Inc.", "ACME ROBOTICS"),
        ("Volta S.A.", "volta"),
        ("Smith & Co.", "Smith"),
        ("北辰科技股份有限公司", "北辰科技"),
        ("Holding", "holding"),
    ],
)
def test_names_are_equal_without_their_legal_form(one: str, other: str) -> None:
    assert bare_name(one) == bare_name(other)


def test_the_short_name_is_written_as_it_was() -> None:
    assert short_name("Ward-Hill Foods plc") == "Ward-Hill Foods"
    assert short_name("AT&T Inc.") == "AT&T"
    assert short_name("") == ""


def test_the_longest_name_wins_and_places_are_exact() -> None:
    gazetteer = Gazetteer([("Acme", "A"), ("Acme Robotics", "R"), ("Moody's", "M"), ("北辰", "B")], cased=["Acme"])
    text = "acme, Acme's rival ACME ROBOTICS and moody’s: 北辰上涨; Acmeville"
    found = gazetteer.find(text)
    assert [(mention.key, mention.written) for mention in found] == [
        ("A", "Acme"),
        ("R", "ACME ROBOTICS"),
        ("M", "moody’s"),
        ("B", "北辰"),
    ]
    assert all(text[mention.start : mention.stop] == mention.written for mention in found)


def test_a_name_without_letters_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'\?!' of X"):
        Gazetteer([("?!", "X")])


def test_organisations_nobody_listed_are_found_with_their_places(bundled: Runtime) -> None:
    texts = ["Shares in Microsoft fell after Goldman Sachs cut its rating.", "It rained all day in the village."]
    first, second = organizations(texts, settings=bundled.settings)
    assert {mention.key for mention in first} >= {"microsoft", "goldman sachs"}
    assert all(texts[0][mention.start : mention.stop] == mention.written for mention in first)
    assert second == []
