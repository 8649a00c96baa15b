"""Names found in texts."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from mmsdk import weights
from mmsdk.entities import MODEL, Gazetteer, _pipeline, bare_name, organizations, short_name
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


def test_organisations_are_those_of_the_whole_pipeline(bundled: Runtime) -> None:
    import spacy

    texts = [
        "Tata Motors and Jet Airways rise as Reserve Bank of India cuts rates",
        "Deutsche Bank sues Morgan Stanley; Credit Suisse and the Bank of England look on",
        "nothing here",
    ]
    whole = spacy.load(weights.resolve(MODEL, settings=bundled.settings))
    found = organizations(texts, settings=bundled.settings)
    for mentions, doc in zip(found, whole.pipe(texts), strict=True):
        assert [(m.start, m.stop) for m in mentions] == [
            (e.start_char, e.end_char) for e in doc.ents if e.label_ == "ORG"
        ]
    assert sum(map(len, found)) >= 3


def test_new_words_do_not_stay_in_memory_and_threads_wait(bundled: Runtime) -> None:
    organizations(["Acme rises"], settings=bundled.settings)
    strings = _pipeline(bundled.settings.model_dump_json()).vocab.strings
    before = len(strings)
    texts = [[f"Acme{thread} buys Bolt{thread}x{number} Ltd" for number in range(100)] for thread in range(4)]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda some: organizations(some, settings=bundled.settings), texts))
    assert len(strings) == before
    assert together == [organizations(some, settings=bundled.settings) for some in texts]
