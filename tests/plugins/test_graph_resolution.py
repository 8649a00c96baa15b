"""Resolution: what is one entity, what never is, whatever the order."""

import itertools

import pytest

from mmsdk_graph.resolution import Decisions, likeness, resolve, scores

ORG, PER, LOC = "Organization", "Person", "Location"


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        ("Acme Robotics, Inc.", "ACME Robotics", ORG),
        ("International Business Machines", "IBM", ORG),
        ("I.B.M.", "International Business Machines Corp.", ORG),
        ("General Motors Company", "GMC", ORG),
        ("Micorsoft Corporation", "Microsoft", ORG),
        ("Deutsche Bank", "The Deutsche Bank AG", ORG),
        ("J. Smith", "John Smith", PER),
        ("Dr. John Smith", "John Smith", PER),
        ("John A. Smith", "John Smith", PER),
        ("北辰科技股份有限公司", "北辰科技", ORG),
    ],
)
def test_variants_of_a_name_are_one(one: str, other: str, kind: str) -> None:
    entities = resolve({(one, kind): 1, (other, kind): 2}).entities
    assert len(set(entities.values())) == 1


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        ("North Carolina", "South Carolina", LOC),
        ("John Smith", "Jane Smith", PER),
        ("Bank of America", "Bank of England", ORG),
        ("Boeing 737", "Boeing 747", "Product"),
        ("Air France", "Air China", ORG),
        ("Austria", "Australia", LOC),
        ("Niger", "Nigeria", LOC),
        ("Tunis", "Tunisia", LOC),
        ("Bank of Iran", "Bank of Iraq", ORG),
        ("1998", "1999", "Date"),
        ("John Smith", "John Smythe", PER),
    ],
)
def test_names_that_only_look_alike_are_not_one(one: str, other: str, kind: str) -> None:
    entities = resolve({(one, kind): 1, (other, kind): 2}).entities
    assert len(set(entities.values())) == 2, likeness(one, other, kind)


def test_a_name_that_stands_for_two_is_left_to_people() -> None:
    result = resolve({("J. Smith", PER): 1, ("John Smith", PER): 1, ("Jane Smith", PER): 1})
    assert len(set(result.entities.values())) == 3
    assert {frozenset((a[0], b[0])) for a, b, _ in result.review} == {
        frozenset(("J. Smith", "John Smith")),
        frozenset(("J. Smith", "Jane Smith")),
    }


def test_the_order_does_not_matter() -> None:
    names = [("IBM", ORG), ("I.B.M.", ORG), ("International Business Machines", ORG), ("Intl Business Machines", ORG)]
    found = {tuple(sorted(resolve(dict.fromkeys(some, 1)).entities.items())) for some in itertools.permutations(names)}
    assert len(found) == 1
    assert len(set(dict(found.pop()).values())) == 1


def test_what_must_never_be_one_is_not_brought_together_by_a_third() -> None:
    a, b, c = ("Acme Inc", ORG), ("Acme", ORG), ("Acme Corp", ORG)
    result = resolve({a: 1, b: 1, c: 1}, decisions=Decisions(never=frozenset({frozenset((a, c))})))
    assert result.entities[a] != result.entities[c]
    merged = resolve({a: 1, ("Zeta", ORG): 1}, decisions=Decisions(same=frozenset({frozenset((a, ("Zeta", ORG)))})))
    assert len(set(merged.entities.values())) == 1


def test_scores_of_a_grouping() -> None:
    gold, found = {1: "a", 2: "a", 3: "b", 4: "b"}, {1: 0, 2: 0, 3: 0, 4: 1}
    told = scores(gold, found)
    assert told["pairwise"] == pytest.approx({"precision": 1 / 3, "recall": 1 / 2, "f1": 0.4})
    assert told["b_cubed"]["recall"] == pytest.approx(0.75)
    assert told["b_cubed"]["precision"] == pytest.approx((2 / 3 + 2 / 3 + 1 / 3 + 1) / 4)
