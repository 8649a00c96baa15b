"""What a question wants, and which sentences can give it; days named in a question and days meant by a sentence."""

import pytest

from mmsdk import kinds, lexicon


@pytest.mark.parametrize(
    ("question", "name", "gives", "does_not"),
    [
        ("How much is a towel?", "money", "Towels cost 3 euros.", "Towels are white."),
        ("What does an instant payment cost?", "money", "Instant transfers cost 1 franc.", "They take ten seconds."),
        ("How much is the chew?", "money", "Item: Chew; KSh: 390", "Item: Chew; Weight (g): 40"),
        ("What does a guest pay?", "money", "Members: 100; Guests: 230", "Guests get a badge."),
        ("How deep is the pool?", "depth", "The pool is 1.80 metres deep.", "The pool is 25 metres long."),
        ("How deep did it lie?", "depth", "It lay in eighteen metres.", "It lay there for eighteen years."),
        ("How heavy is the ball?", "weight", "Ball: Nord 3; Weight (g): 440", "Ball: Nord 3; Stock: 440"),
        ("What colour is the mug?", "colour", "It is glazed in cobalt.", "It is glazed twice."),
        ("How soon is it sewn?", "duration", "Within a fortnight.", "With great care."),
        ("How wide is the sofa?", "width", "The sofa is 214 cm wide.", "The sofa is 92 cm deep."),
        ("How big is the flat?", "size", "A flat of 54 square metres.", "The flat has a balcony."),
        ("How heavy is the safe?", "weight", "It weighs a quarter of a ton.", "It is fireproof."),
        ("When do the pubs shut?", "time", "Bars close at two.", "Bars are in the old town."),
        ("In which month is garlic planted?", "month", "Garlic goes in in October.", "We sold 40 bulbs in 2025."),
        ("How many people fit into a cabin?", "room", "Cabins have four beds.", "There are four cabins."),
        ("When do you open, on the first or later?", "time", "We open in May.", "We open the doors."),
        ("where can i leave old paint?", "place", "Paint can be left with us.", "Paint dries fast."),
        ("On which day is the choir?", "time", "It sings on Fridays.", "The choir sings Bach."),
        ("In which month can I cancel?", "month", "From the thirteenth month.", "By letter."),
        ("哪几个月开放？", "month", "夏季开放。", "周二开放。"),
        ("Which day are you closed?", "time", "Only at Christmas.", "In the old town."),
        ("樱花几月开？", "month", "樱花四月开。", "樱花很美。"),
        ("这张卡多少钱？", "money", "境外消费免收货币转换费。", "卡是蓝色的。"),
        ("几天能到？", "duration", "要五到十个工作日。", "由快递送达。"),
    ],
)
def test_a_kind_tells_what_can_answer(question: str, name: str, gives: str, does_not: str) -> None:
    kind = kinds.wanted(question)
    assert kind is not None
    assert kind.name == name
    assert kind.given.search(gives)
    assert not kind.given.search(does_not)


@pytest.mark.parametrize(
    "question",
    [
        "Which day trips are there?",
        "When you measure my trousers, is there anything I should bring?",
        "When I opened the parcel the mug was broken. What now?",
        "Is there a daily charge?",
        "修电梯这几天怎么办？",
        "Is it heavy rain?",
    ],
)
def test_wording_that_tells_no_kind(question: str) -> None:
    assert kinds.wanted(question) is None


def test_a_question_asks_for_the_days_that_it_names() -> None:
    assert lexicon.specific("What is the daily rate on Monday?", spans=False) == {"mon"}
    assert "mon" in lexicon.specific("We are open daily.")
    assert lexicon.specific("May pupils use a calculator?", spans=False) == set()


@pytest.mark.parametrize(
    ("question", "sentence", "lists", "ruled_out"),
    [
        ("What does it cost on Sunday?", "Saturdays cost 5 euros.", True, True),
        ("What does it cost on Sunday?", "It costs 5 euros.", True, False),
        ("What does it cost on Sunday?", "Monday to Saturday 5 euros.", True, True),
        ("Do you open on Sunday?", "Monday to Saturday, 9 to 6.", False, False),
        ("Do you open on Sunday?", "The choir sings on Saturday.", False, True),
        ("Do you open on Sunday?", "We open in May.", True, False),
        ("Is there a red one on Monday?", "On Monday in green or blue.", True, True),
    ],
)
def test_only_another_of_its_sort_rules_a_day_or_colour_out(
    question: str, sentence: str, *, lists: bool, ruled_out: bool
) -> None:
    asked = lexicon.specific(question, spans=False)
    assert lexicon.contradicted(asked, lexicon.specific(sentence), lists=lists) == ruled_out
