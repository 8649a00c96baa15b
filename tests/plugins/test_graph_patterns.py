"""Patterns: what a sentence says, to whom, and what it does not assert."""

import pytest

from mmsdk.settings import Settings
from mmsdk_graph.extraction import Extractor
from mmsdk_graph.schema import default
from mmsdk_graph.values import amount, iso_date

pytestmark = pytest.mark.usefixtures("bundled")


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return Extractor(default(), settings=Settings.load())


def said(extractor: Extractor, *texts: str) -> set[tuple[str, str, str, str]]:
    return {
        (s.head.text, s.relation, s.tail.text, s.standing)
        for reading in extractor.read(texts)
        for s in reading.statements
        if s.layer == "pattern"
    }


@pytest.mark.parametrize(
    ("text", "head", "relation", "tail"),
    [
        ("Oracle acquired Sun Microsystems.", "Oracle", "acquired", "Sun Microsystems"),
        ("Sun Microsystems was acquired by Oracle.", "Oracle", "acquired", "Sun Microsystems"),
        ("Microsoft, which bought LinkedIn Corp. in 2016, grew.", "Microsoft", "acquired", "LinkedIn Corp."),
        ("Google, founded by Larry Page and Sergey Brin, grew.", "Sergey Brin", "founded", "Google"),
        ("Marie Curie was born in Warsaw.", "Marie Curie", "born_in", "Warsaw"),
        ("Jane Smith, the chief executive of Acme Corp., resigned.", "Jane Smith", "leads", "Acme Corp."),
        ("Peter Jones, a spokesman for Nokia Corp., spoke.", "Peter Jones", "works_for", "Nokia Corp."),
        ("Apple CEO Tim Cook visited Berlin.", "Tim Cook", "leads", "Apple"),
        ("Apple's chief executive is Tim Cook.", "Tim Cook", "leads", "Apple"),
        ("The founder of Quantel Inc. was Mary Poole.", "Mary Poole", "founded", "Quantel Inc."),
        ("Solmar Ltd is headquartered in Leeds.", "Solmar Ltd", "based_in", "Leeds"),  # spaCy finds no name there
        ("Microsoft is based in Redmond.", "Microsoft", "based_in", "Redmond"),
        ("Barack Obama married Michelle Robinson.", "Barack Obama", "married_to", "Michelle Robinson"),
    ],
)
def test_a_pattern_is_seen_through_its_form(
    extractor: Extractor, text: str, head: str, relation: str, tail: str
) -> None:
    found = said(extractor, text)
    assert {(head, relation, tail, "asserted"), (tail, relation, head, "asserted")} & found, found


@pytest.mark.parametrize(
    ("text", "standing"),
    [
        ("Microsoft did not acquire Yahoo.", "negated"),
        ("Microsoft denied acquiring Yahoo.", "negated"),
        ("Microsoft may acquire Yahoo.", "hypothetical"),
        ("Microsoft plans to acquire Yahoo.", "hypothetical"),
        ("If Microsoft acquires Yahoo, shares will fall.", "hypothetical"),
        ("Did Microsoft acquire Yahoo?", "hypothetical"),
        ("Reuters reported that Microsoft acquired Yahoo.", "attributed"),
    ],
)
def test_what_is_not_asserted_is_labelled(extractor: Extractor, text: str, standing: str) -> None:
    found = said(extractor, text)
    assert all(s == standing for *_, s in found), found
    assert found or standing == "negated"


def test_a_relative_clause_belongs_to_the_nearest_name(extractor: Extractor) -> None:
    found = said(extractor, "Samsung and Sony, which is based in Tokyo, bought Foo Inc.")
    assert ("Sony", "based_in", "Tokyo", "asserted") in found
    assert ("Samsung", "based_in", "Tokyo", "asserted") not in found
    assert {("Samsung", "acquired", "Foo Inc.", "asserted"), ("Sony", "acquired", "Foo Inc.", "asserted")} <= found


def test_a_pronoun_is_resolved_only_where_one_choice_is_left(extractor: Extractor) -> None:
    assert ("Jane Smith", "born_in", "London", "asserted") in said(
        extractor, "Jane Smith leads Acme Corp.", "She was born in London."
    )
    found = said(extractor, "Jane Smith met Mary Jones in Rome.", "She was born in London.")
    assert not [f for f in found if f[1] == "born_in"]


def test_a_pronoun_is_not_resolved_to_whom_the_sentence_before_is_not_about(extractor: Extractor) -> None:
    found = said(extractor, "The old aide followed Jane Smith.", "After the war, she lived in London.")
    assert not [f for f in found if f[1] == "lives_in"]


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("They met in Vienna, Austria.", {("Vienna", "Austria")}),
        ("He moved from Dublin, Ohio, to Paris, France.", {("Dublin", "Ohio"), ("Paris", "France")}),
        ("It was an alliance of Britain, France, Austria.", set()),
        ("It is illegal in Papua New Guinea, Kiribati, the Cook Islands and Samoa.", set()),
    ],
)
def test_a_place_after_a_comma_is_where_the_one_before_lies(
    extractor: Extractor, text: str, pairs: set[tuple[str, str]]
) -> None:
    assert {(head, tail) for head, relation, tail, _ in said(extractor, text) if relation == "located_in"} == pairs


@pytest.mark.parametrize(
    "text",
    [
        "Thurman was elected as a Whig to Congress (March 4, 1849 - March 3, 1851).",
        "Harald Thune is the County Governor of Rogaland.",
        "Anthony Brown served as Lieutenant Governor of Maryland.",
        "Jane Smith is the vice president of Acme Corp.",
    ],
)
def test_terms_and_titles_are_no_lives_and_no_places(extractor: Extractor, text: str) -> None:
    found = [f for f in said(extractor, text) if f[1] in ("born_on", "died_on", "leads")]
    assert not [f for f in found if f[2] != "Rogaland"]


def test_names_of_one_document_complete_each_other(extractor: Extractor) -> None:
    assert ("Jane Smith", "works_for", "Acme Corp.", "asserted") in said(
        extractor, "Jane Smith visited Paris.", "Smith works for Acme Corp."
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5 May 1998", "1998-05-05"),
        ("May 5, 1998", "1998-05-05"),
        ("Sept. 2001", "2001-09"),
        ("in 1998", "1998"),
        ("2024年3月5日", "2024-03-05"),
        ("next week", ""),
        ("32 foo 1998", "1998"),
    ],
)
def test_dates_have_one_form(text: str, value: str) -> None:
    assert iso_date(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("$3.5 million", "USD 3500000"), ("€1,200", "EUR 1200"), ("3亿元", "CNY 300000000"), ("seven dollars", "")],
)
def test_amounts_have_one_form(text: str, value: str) -> None:
    assert amount(text) == value


def test_a_name_has_one_type_in_a_document(extractor: Extractor) -> None:
    texts = (
        "Helvora AG, founded in 1987 by Petra Lindqvist, is based in Basel.",
        "Petra Lindqvist was born in Uppsala.",
    )
    found = extractor.read(texts)
    kinds = {name.type for reading in found for name in reading.names if name.text == "Petra Lindqvist"}
    assert kinds == {"Person"}
    assert ("Petra Lindqvist", "founded", "Helvora AG", "asserted") in said(extractor, *texts)
