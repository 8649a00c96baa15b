"""Throughput and memory of the finance monitor: copies, names, scores and storing, from end to end.

    python -m benchmarks.finance_throughput --items 10000
    python -m benchmarks.finance_throughput --items 200000 --every 10000      # memory over a long stream

The stream is made of the headlines of SEntFiN (../shared/data, --data) in random order, again and again, each time with
other figures and an edition number, an hour of event time for 50 of them; every eighth is a copy of one of the last 50
from another source. The watch list is SEntFiN's 300 most frequent entities; headlines that name none of them are part
of the stream, as they are of a feed. Nothing is left out: NER for review and copies by meaning are on unless told.
"""

import argparse
import ast
import csv
import random
import re
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mmsdk.entities import short_name
from mmsdk.runtime import default
from mmsdk_finance.items import Item
from mmsdk_finance.monitor import Options, SentimentMonitor
from mmsdk_finance.watchlist import Name, Watchlist

START = datetime(2024, 1, 1, tzinfo=UTC)


def headlines(data: Path) -> tuple[list[str], list[str]]:
    """Give the headlines of SEntFiN and its most frequent entities."""
    titles, entities = [], Counter[str]()
    with (data / "fin_sentfin" / "SEntFiN.csv").open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            titles.append(row["Title"])
            try:
                entities.update(list(ast.literal_eval(row["Decisions"])))
            except (ValueError, SyntaxError):
                continue
    names: dict[str, str] = {}
    for name, _ in entities.most_common():
        names.setdefault(short_name(name).casefold(), name)
    return titles, list(names.values())[:300]


def stream(titles: list[str], count: int, *, seed: int = 0) -> Iterator[Item]:
    """Give items as the module says."""
    chance = random.Random(seed)
    last: list[str] = []
    for number in range(count):
        if last and number % 8 == 7:
            text, source = f"{chance.choice(last)} - Wire {chance.randint(2, 9)}", f"Wire {chance.randint(2, 9)}"
        else:
            title = chance.choice(titles)
            text = re.sub(r"\d+", lambda _: str(chance.randint(2, 9999)), title) + f" ({number})"
            source = "Wire 1"
            last = [*last[-49:], text]
        at = START + timedelta(seconds=72 * number)
        yield Item(id=str(number), text=text, source=source, event=at, arrival=at)


def peak() -> float:
    """Give the memory this process holds now, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--every", type=int, default=2000, help="items between two lines")
    parser.add_argument("--no-meaning", action="store_true")
    parser.add_argument("--no-organizations", action="store_true")
    given = parser.parse_args()
    titles, names = headlines(given.data)
    options = Options(meaning=not given.no_meaning, organizations=not given.no_organizations)
    watched = Watchlist([Name(f"N{number}", (name,)) for number, name in enumerate(names)])
    with (
        tempfile.TemporaryDirectory() as folder,
        SentimentMonitor(folder, watched, options=options, runtime=default()) as monitor,
    ):
        monitor.take(stream(titles, 64, seed=1))  # loads the models
        items = stream(titles, given.items)
        start, cpu = time.perf_counter(), time.process_time()
        for done in range(0, given.items, given.every):
            began = time.perf_counter()
            taken = monitor.take(item for item, _ in zip(items, range(given.every), strict=False))
            rate = given.every / (time.perf_counter() - began)
            print(
                f"{done + given.every:7d} items, {rate:6.0f} a second, {peak():6.0f} MB, {taken.copies} copies",
                flush=True,
            )
        wall, used = time.perf_counter() - start, time.process_time() - cpu
        print(f"{given.items} items: {given.items / wall:.0f} a second, {given.items / used:.0f} a CPU second")
        print(monitor.state.counts(), monitor.ledger.verify()[:3])


if __name__ == "__main__":
    main()
