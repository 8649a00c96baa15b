"""Entity resolution on a generated alias set: 500 entities, each under one to four names.

Companies and people are made by Faker (seeded); their variants are legal suffixes added and left out, acronyms,
shortened words, initials, honorifics, a middle name, and typing errors of one letter. Thirty pairs of like names that
are not one are put on the never-merge list. Seed 1 was looked at; the figures are for seed 0.

    python -m benchmarks.graph_resolution [--seed 0]
"""

import argparse
import random
import string
from collections.abc import Callable

from faker import Faker

from mmsdk_graph.resolution import Decisions, Key, resolve, scores

SUFFIXES = ("Inc.", "Corp.", "Ltd", "GmbH", "AG", "PLC", "LLC", "Co.")
KINDS = ("Systems", "Robotics", "Energy", "Motors", "Bank", "Pharma", "Software", "Foods", "Airlines", "Materials")
SHORT = {"International": "Intl", "Systems": "Sys", "Materials": "Mat", "Software": "Soft", "Robotics": "Robo"}


def typo(name: str, chance: random.Random) -> str:
    """Leave out, double, change or swap one letter inside a word of five letters or more."""
    places = [i for i in range(1, len(name) - 1) if name[i - 1 : i + 2].isalpha()]
    place = chance.choice(places)
    way = chance.randrange(4)
    if way == 0:
        return name[:place] + name[place + 1 :]
    if way == 1:
        return name[:place] + name[place] + name[place:]
    if way == 2:
        return name[:place] + chance.choice(string.ascii_lowercase) + name[place + 1 :]
    return name[: place - 1] + name[place] + name[place - 1] + name[place + 1 :] if place > 1 else typo(name, chance)


def company(faker: Faker, chance: random.Random) -> list[str]:
    words = [faker.unique.last_name(), *chance.sample(KINDS, 1)]
    if chance.random() < 0.4:
        words.insert(1, chance.choice(("International", "National", "United", "Northern", "General")))
    name = " ".join(words)
    ways: list[Callable[[], str]] = [
        lambda: f"{name} {chance.choice(SUFFIXES)}",
        lambda: f"The {name}",
        lambda: typo(name, chance),
        lambda: " ".join(SHORT.get(word, word) for word in words),
        lambda: name.upper(),
    ]
    if len(words) == 3:
        ways.append(lambda: "".join(word[0] for word in words))
    return [name, *(way() for way in chance.sample(ways, chance.randint(0, 3)))]


def person(faker: Faker, chance: random.Random) -> list[str]:
    first, last = faker.first_name(), faker.unique.last_name()
    name = f"{first} {last}"
    ways: list[Callable[[], str]] = [
        lambda: f"{first[0]}. {last}",
        lambda: f"{chance.choice(('Dr.', 'Mr.', 'Prof.'))} {name}",
        lambda: f"{first} {chance.choice(string.ascii_uppercase)}. {last}",
        lambda: typo(name, chance),
    ]
    return [name, *(way() for way in chance.sample(ways, chance.randint(0, 3)))]


def alias_set(seed: int) -> tuple[dict[Key, int], frozenset[frozenset[Key]]]:
    """Give names with the number of their entity, and pairs of names that are never one."""
    chance, faker = random.Random(seed), Faker("en_US")
    faker.seed_instance(seed)
    gold: dict[Key, int] = {}
    for number in range(500):
        kind = "Organization" if number % 2 else "Person"
        for name in (company if number % 2 else person)(faker, chance):
            gold.setdefault((name, kind), number)
    never = set()
    for number in range(30):
        last = faker.unique.last_name()
        pair = [f"{last} {kind}" for kind in chance.sample(KINDS, 2)]
        if number % 3 == 0:
            pair = [f"{last} Holdings Inc", f"{last} Group Ltd"]  # alike but for the legal form
        for place, name in enumerate(pair):
            gold[name, "Organization"] = 1000 + 2 * number + place
        never.add(frozenset((name, "Organization") for name in pair))
    return gold, frozenset(never)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", action="store_true")
    given = parser.parse_args()
    gold, never = alias_set(given.seed)
    result = resolve(dict.fromkeys(gold, 1), decisions=Decisions(never=never))
    print(f"{len(gold)} names of {len(set(gold.values()))} entities, {len(result.review)} pairs to review")
    for name, told in scores(gold, result.entities).items():
        print(name, {key: round(value, 3) for key, value in told.items()})
    merged = sum(len({result.entities[key] for key in pair}) == 1 for pair in never)
    print(f"{merged} of {len(never)} pairs of the never-merge list merged")
    if given.show:
        keys = sorted(gold)
        for place, one in enumerate(keys):
            for other in keys[place + 1 :]:
                same = result.entities[one] == result.entities[other]
                if same != (gold[one] == gold[other]):
                    print("merged" if same else "parted", one, other)


if __name__ == "__main__":
    main()
