"""How well edited copies of headlines are put together: ``python -m benchmarks.finance_copies [--meaning]``.

SEntFiN's headlines, each text once, are the stories; none is a copy of another by construction, though some tell one
event in other words, which then counts against us. Each gets copies edited as agencies do: shortened, re-ordered,
with a ticker, a prefix or an outlet added, in capitals. All fall into two days, shuffled. Odd stories choose
thresholds, even ones are measured. Pairs of copies that end in one story count, as do pairs that should not have.
"""

import argparse
import ast
import csv
import os
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from mmsdk.runtime import default
from mmsdk.types import Vectors
from mmsdk_finance.events import Stories, Story, sketch

DATA = Path(os.environ.get("MMSDK_SHARED_DATA", "../shared/data")) / "fin_sentfin" / "SEntFiN.csv"
Headline = tuple[int, str, tuple[str, ...]]
"""Number of the story, text, names."""


def stories() -> list[tuple[str, tuple[str, ...]]]:
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    with DATA.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            try:
                names = tuple(sorted(name.casefold() for name in ast.literal_eval(row["Decisions"])))
            except (ValueError, SyntaxError):
                continue
            key = "".join(letter for letter in row["Title"].casefold() if letter.isalnum())
            found.setdefault(key, (row["Title"].strip(), names))
    return list(found.values())


def shortened(text: str, chance: random.Random) -> str:
    words = text.split()
    for _ in range(max(1, len(words) // 5)):
        words.pop(chance.randrange(len(words)))
    return " ".join(words)


def reordered(text: str, chance: random.Random) -> str:
    words = text.split()
    cut = chance.randrange(2, max(3, len(words) - 1))
    return f"{' '.join(words[cut:])}, {' '.join(words[:cut])}"


def tagged(text: str, chance: random.Random) -> str:
    return f"{text} ${''.join(chance.choices('ABCDEFGHIJKLMNOP', k=4))}"


def framed(text: str, chance: random.Random) -> str:
    return chance.choice(
        (f"UPDATE 2-{text}", f"BRIEF: {text}", f"{text} - report", f"{text} | Market Desk", text.upper())
    )


EDITS: tuple[Callable[[str, random.Random], str], ...] = (shortened, reordered, tagged, framed)


def copies(chosen: Sequence[tuple[str, tuple[str, ...]]], chance: random.Random) -> list[Headline]:
    made: list[Headline] = []
    for number, (text, names) in enumerate(chosen):
        edits = EDITS[: chance.randrange(0, 5)] if number % 3 == 0 else ()
        made += [(number, told, names) for told in (text, *(edit(text, chance) for edit in edits))]
    chance.shuffle(made)
    return made


def placed(headlines: Sequence[Headline], known: Stories, vectors: Vectors | None) -> list[int]:
    """Give the story that each headline was put into."""
    found = []
    for place, (_, text, names) in enumerate(headlines):
        compared, at = sketch(text, names), 2 * 86400.0 * place / len(headlines)
        vector = None if vectors is None else vectors[place]
        match = known.match(compared, at, vector=vector)
        if match is None:
            known.add(Story(place, at, compared, vector))
        found.append(place if match is None else match[0])
    return found


def pairs(headlines: Sequence[Headline], found: Sequence[int]) -> tuple[float, float, float]:
    """Give precision, recall and F1 over pairs."""
    cells = Counter((number, put) for (number, _, _), put in zip(headlines, found, strict=True))
    both = sum(n * (n - 1) // 2 for n in cells.values())
    sums: list[dict[int, int]] = [defaultdict(int), defaultdict(int)]
    for cell, n in cells.items():
        for side in (0, 1):
            sums[side][cell[side]] += n
    wanted, made = (sum(n * (n - 1) // 2 for n in side.values()) for side in sums)
    return both / made, both / wanted, 2 * both / (made + wanted)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--meaning", action="store_true", help="compare sentence vectors too")
    given = parser.parse_args()
    every = stories()
    for overlap in (0.5, 0.55, 0.6, 0.65, 0.7):
        print(f"odd stories, overlap {overlap}: {measured(every[1::2], 1, overlap=overlap, meaning=given.meaning)}")
    for seed in range(5):
        shown = measured(every[::2], seed, overlap=Stories.overlap, meaning=given.meaning)
        print(f"even stories, overlap {Stories.overlap}, copies of seed {seed}: {shown}")


def measured(chosen: Sequence[tuple[str, tuple[str, ...]]], seed: int, *, overlap: float, meaning: bool) -> str:
    headlines = copies(chosen, random.Random(seed))
    vectors = None
    if meaning:
        encoder = next(encoder for encoder in default().encoders() if "text" in encoder.modalities)
        vectors = encoder.encode([text for _, text, _ in headlines])
    precision, recall, f1 = pairs(headlines, placed(headlines, Stories(overlap=overlap), vectors))
    return f"{len(headlines)} headlines, pairwise precision {precision:.3f}, recall {recall:.3f}, F1 {f1:.3f}"


if __name__ == "__main__":
    main()
