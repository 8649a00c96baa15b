"""Questions and statements put together from attributes.txt: invented organisations, their things, places and services.

A statement answers the questions of its own attribute about its own thing. The other attributes of the thing, and the
same attribute of other things, are near and do not answer. Attributes with the same mark after ``~`` answer one another
now and then, so they are never set against each other.
"""

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cross.pairs import Pair

FILE = Path(__file__).with_name("attributes.txt")
SYLLABLES = "al ber cor dan el fen gar hol is jor kel lum mar nor or pel quin ros sal tor ul ver wen yar zim"
ENDS = ("a", "en", "o", "ix", "er", "ia", "by", "dale", "ow", "ine", "us", "ley")
KINDS = {
    "product": "lamp kettle drill bicycle camera sofa tent heater pump rucksack scale blender desk speaker boat saw "
    "oven cheese tea jacket watch printer ladder mower trailer clock helmet stove chair radio",
    "place": "room hall garden pool workshop museum gallery terrace sauna café archive branch studio tower court "
    "cellar playground bridge shelter chapel stage market harbour clinic",
    "service": "course tour workshop pass check class cruise membership repair licence subscription inspection concert "
    "seminar ticket loan lesson transfer massage tasting",
    "house": "Ltd bakery school club works brothers institute press co-operative lines trust society store",
}
WORDS = {
    "k": "oak beech steel aluminium wool linen cork glass copper leather recycled-polyester bamboo",
    "c": "red black sand white olive grey yellow turquoise cream navy",
    "d": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "h": "January February March April May June July August September October November December",
    "s": "first-floor second-floor third-floor ground-floor top-floor north-side inner-courtyard basement",
}
FIRST = "Ada Bruno Carla Dino Edda Farid Greta Hugo Ines Jonas Kiri Luca Mona Nils Olga Piet Rosa Sven Tess Vito"


HEADERS: tuple[Callable[[str], str], ...] = (str, str.lower, lambda column: column.lower().replace(" ", "_"), str.title)
"""How a table may write the names of its columns."""


_CELL = re.compile(
    r"\{n\d?\} (?:[ck]?m|mm|met\w+|centi\w+|kilo\w+|grams?|litres?|watts?|volts?|seats|people|pages)\b|\{[a-wyz]\d?\}"
)


@dataclass(frozen=True)
class Attribute:
    """What can be said and asked about a class of subjects."""

    name: str
    column: str
    statements: tuple[str, ...]
    questions: tuple[str, ...]

    def answers(self, other: "Attribute") -> bool:
        """Tell whether a statement of ``other`` may answer a question of this one."""
        mark, theirs = self.name.partition("~")[2], other.name.partition("~")[2]
        return self.name == other.name or (bool(mark) and mark == theirs)


@dataclass(frozen=True)
class Fact:
    """Hold a statement about a subject, as a passage."""

    subject: str
    attribute: Attribute
    passage: str


def attributes() -> dict[str, list[Attribute]]:
    """Read attributes.txt by class of subject."""
    found: dict[str, list[Attribute]] = {}
    for line in FILE.read_text("utf-8").splitlines():
        if line.startswith("["):
            found[line.strip("[]")] = rows = []
        elif line and not line.startswith("#"):
            name, column, said, asked = line.split(" | ")
            rows.append(Attribute(name, column, tuple(said.split(" / ")), tuple(asked.split(" / "))))
    return found


def pairs(questions: int, seed: int = 5, *, tables: float = 0.25) -> Iterator[Pair]:
    """Give pairs for about ``questions`` questions, two thirds of them answered, a share of them by rows of tables."""
    draw, known = random.Random(seed), attributes()
    while questions > 0:
        facts, missing = organisation(draw, known, tables)
        for fact in draw.sample(facts, min(len(facts), 16)):
            yield from asked(draw, fact.subject, fact.attribute, facts)
        for subject, attribute in draw.sample(missing, min(len(missing), 8)):
            yield from asked(draw, subject, attribute, facts)
        questions -= 24


def organisation(
    draw: random.Random, known: dict[str, list[Attribute]], tables: float
) -> tuple[list[Fact], list[tuple[str, Attribute]]]:
    """Invent an organisation: facts about its subjects, and what is not said of them."""
    house = f"{name(draw)} {draw.choice(KINDS['house'].split())}"
    facts, missing = list(told(draw, house, "", draw.sample(known["house"], 6))), []
    for kind in draw.choices(["product", "place", "service"], k=3):
        shared = draw.sample(known[kind], 9)
        write = draw.choice(HEADERS) if draw.random() < tables else None
        for _ in range(draw.randint(2, 4)):
            subject = f"the {name(draw)} {draw.choice(KINDS[kind].split())}" if draw.random() < 0.8 else name(draw)
            chosen = draw.sample(shared, 6)
            missing += [(subject, one) for one in known[kind] if not any(one.answers(said) for said in chosen)]
            facts += row(draw, subject, chosen, write) if write else told(draw, subject, house, chosen)
    return facts, missing


def told(draw: random.Random, subject: str, house: str, chosen: Sequence[Attribute]) -> Iterator[Fact]:
    """State each attribute in a sentence under a heading, now and then with the sentence before."""
    before = ""
    bare = re.sub(r"^the ", "", subject)
    heading = draw.choice([bare, bare.title(), f"{house} . {bare}" if house else bare])
    for attribute in chosen:
        text = filled(draw, draw.choice(attribute.statements))
        pronoun = text.startswith("{x} ") and draw.random() < 0.5
        text = text.replace("{x}", "it" if pronoun else subject)
        text = text[:1].upper() + text[1:]
        context = " . ".join(part for part in (heading, before if draw.random() < 0.7 else "") if part)
        named = pronoun or draw.random() < 0.8
        yield Fact(subject, attribute, f"{context}: {text}" if named else text)
        before = text


def row(draw: random.Random, subject: str, chosen: Sequence[Attribute], write: Callable[[str], str]) -> list[Fact]:
    """State all attributes in one row of a table: it answers whatever its columns say."""
    cells = []
    for attribute in chosen:
        value = _CELL.search(draw.choice(attribute.statements))
        cells.append(f"{write(attribute.column)}: {filled(draw, value.group()) if value else 'yes'}")
    title = draw.choice(["Overview", "Price list", "List", "Name", "prices", "products"])
    first = f"{write(draw.choice(['Article', 'Code', 'No.']))}: {draw.choice('ABKQ')}{draw.randint(10, 999)}; "
    thing = f"{write(draw.choice(['Name', 'Item', 'Product', 'Model']))}: {re.sub('^the ', '', subject)}"
    text = f"{title}: {draw.choice([first, ''])}{'; '.join([thing, *cells])}"
    return [Fact(subject, attribute, text) for attribute in chosen]


def asked(draw: random.Random, subject: str, attribute: Attribute, facts: Sequence[Fact]) -> Iterator[Pair]:
    """Ask for an attribute of a subject, and set beside it what is near."""
    question = draw.choice(attribute.questions).replace("{x}", subject)
    question = question[:1].upper() + question[1:] if draw.random() < 0.85 else question.lower().rstrip("?")
    right = [fact for fact in facts if fact.subject == subject and fact.attribute == attribute]
    same = [fact for fact in facts if fact.subject == subject and not attribute.answers(fact.attribute)]
    like = [fact for fact in facts if fact.subject != subject and attribute.answers(fact.attribute)]
    answered = {fact.passage for fact in facts if fact.subject == subject and attribute.answers(fact.attribute)}
    chosen = {fact.passage for fact in [*draw.sample(same, min(3, len(same))), *draw.sample(like, min(2, len(like)))]}
    chosen |= {fact.passage for fact in draw.sample(facts, 1) if fact.subject != subject}
    for fact in right:
        yield Pair(question, fact.passage, True)
    yield from (Pair(question, passage, False) for passage in sorted(chosen - answered))


def name(draw: random.Random) -> str:
    """Invent a name."""
    word = "".join(draw.choices(SYLLABLES.split(), k=draw.randint(1, 2))) + draw.choice(ENDS)
    return word.capitalize() + (f" {draw.randint(2, 90)}" if draw.random() < 0.25 else "")


def filled(draw: random.Random, text: str) -> str:
    """Fill what is in braces, all but the subject."""
    return re.sub(r"\{([a-z]\d?)\}", lambda match: value(draw, match.group(1)), text)


def value(draw: random.Random, mark: str) -> str:
    """Invent a value of a kind."""
    if mark == "x":
        return "{x}"
    number = draw.choice([draw.randint(2, 19), draw.randint(20, 99), draw.randint(1, 9) * 100])
    hour = f"{draw.randint(6, 22)}:{draw.choice(['00', '15', '30', '45'])}"
    made = {
        "m": draw.choice(["{} euros", "{} pounds", "€{}", "{}.50 dollars", "£{}"]).format(number),
        "t": draw.choice([hour, f"{draw.randint(1, 12)} {draw.choice(['am', 'pm'])}", "noon"]),
        "p": f"{draw.randint(2, 30)} {draw.choice(['days', 'weeks', 'working days', 'months', 'hours'])}",
        "y": str(draw.randint(1820, 2026)),
        "w": f"{draw.choice(FIRST.split())} {name(draw).split()[0]}",
        "l": name(draw).split()[0],
    }
    letter = "t" if mark == "u" else mark[0]
    words = WORDS.get(letter)
    return draw.choice(words.split()).replace("-", " ") if words else made.get(letter, str(number))
