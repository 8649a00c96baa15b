"""Precision and recall of the pattern layer, untrained, on sentences of Re-DocRED labelled by its gold triples.

Patterns were written looking at documents 0 to 249 of the development file; the figures are for 200 sentences drawn
from documents 250 to 499 (seed 0), of those with two entities or more. A statement is right when a gold triple of its
document joins entities of those names by a relation that maps to it; what gold misses counts as wrong.

    python -m benchmarks.graph_patterns [--documents 0:250] [--sentences 200] [--show]
"""

import argparse
import json
import os
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from mmsdk.settings import Settings
from mmsdk_graph.extraction import Extractor
from mmsdk_graph.schema import default

DATA = Path(os.environ.get("MMSDK_SHARED_DATA", "../shared/data")) / "kg_redocred" / "dev_revised.json"
SAME = {
    "based_in": "P159 P740 P131 P17 P276",
    "located_in": "P131 P17 P276 P706 P206 P30 P361",
    "works_for": "P108 P54 P241 P463 P39",
    "founded_on": "P571",
    "born_in": "P19",
    "born_on": "P569",
    "died_in": "P20",
    "died_on": "P570",
    "lives_in": "P551 P937 P27",
    "part_of": "P361 P463 P131 P276 P179",
    "subsidiary_of": "P749 P127",
    "member_of": "P463 P102 P54 P361 P241",
    "married_to": "P26",
    "child_of": "P22 P25",
    "sibling_of": "P3373",
    "educated_at": "P69",
    "created": "P800",
    "acquired": "P355 P1830",
    "leads": "P39 P1308",
    "founded": "",
}
"""Relations of Wikidata that say the same, head and tail alike."""
TURNED = {
    "leads": "P6 P35 P488 P169 P1037",
    "founded": "P112",
    "part_of": "P150 P527",
    "member_of": "P527",
    "subsidiary_of": "P355",
    "acquired": "P127 P749",
    "married_to": "P26",
    "child_of": "P40",
    "sibling_of": "P3373",
    "created": "P50 P57 P58 P86 P161 P162 P170 P175 P176 P178 P123 P676 P264 P272",
}
"""Relations of Wikidata that say the same with head and tail changed."""


def mapped(document: dict[str, Any]) -> set[tuple[int, str, int, int]]:
    """Give (head, our relation, tail, sentence) for gold triples whose names stand in one sentence."""
    found = set()
    vertices = document["vertexSet"]
    for label in document["labels"]:
        head, tail = label["h"], label["t"]
        both = {m["sent_id"] for m in vertices[head]} & {m["sent_id"] for m in vertices[tail]}
        for relation, same in SAME.items():
            if label["r"] in same.split():
                found |= {(head, relation, tail, sentence) for sentence in both}
            if label["r"] in TURNED.get(relation, "").split():
                found |= {(tail, relation, head, sentence) for sentence in both}
    return found


def joins(document: dict[str, Any]) -> set[tuple[int, str, int]]:
    """Give every (head, our relation, tail) of a document."""
    found = set()
    for label in document["labels"]:
        for relation, same in SAME.items():
            if label["r"] in same.split():
                found.add((label["h"], relation, label["t"]))
            if label["r"] in TURNED.get(relation, "").split():
                found.add((label["t"], relation, label["h"]))
    return found


def plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold())).removeprefix("the ")


def joined(tokens: list[str]) -> str:
    text = " ".join(tokens)
    text = re.sub(r" ([,.;:!?%)\]]|'s\b|n't\b|'\s)", r"\1", text)
    return re.sub(r"([(\[]) ", r"\1", re.sub(r"\s+", " ", text))


def vertices_of(name: Any, document: dict[str, Any]) -> set[int]:
    """Give the gold entities that a name may be: by its words, dates by what they were written as."""
    wanted = plain(name.text)
    found = set()
    for number, mentions in enumerate(document["vertexSet"]):
        for mention in mentions:
            other = plain(mention["name"])
            inside = f" {other} " in f" {wanted} " or f" {wanted} " in f" {other} "
            is_date = bool(name.value) and name.value[:4] in other
            if is_date or other == wanted or (min(len(other), len(wanted)) > 3 and inside):
                found.add(number)
    return found


def measure(documents: list[dict[str, Any]], count: int, show: bool) -> dict[str, Any]:
    extractor = Extractor(default(), settings=Settings.load())
    places = [
        (d, s)
        for d, document in enumerate(documents)
        for s in range(len(document["sents"]))
        if sum(any(m["sent_id"] == s for m in mentions) for mentions in document["vertexSet"]) >= 2
    ]
    chosen = set(random.Random(0).sample(places, min(count, len(places))))
    right, wrong, gold, reached = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for number, document in enumerate(documents):
        wanted = {s for d, s in chosen if d == number}
        if not wanted:
            continue
        readings = extractor.read([joined(tokens) for tokens in document["sents"]])
        known, here = joins(document), mapped(document)
        for sentence in wanted:
            hit = set()
            for one in readings[sentence].statements:
                if one.layer != "pattern" or one.standing != "asserted" or one.relation not in SAME:
                    continue
                ends = vertices_of(one.head, document), vertices_of(one.tail, document)
                found = {(h, one.relation, t) for h in ends[0] for t in ends[1]} & known
                (right if found else wrong)[one.relation] += 1
                hit |= found
                if show and not found:
                    print(
                        one.relation,
                        "|",
                        one.head.text,
                        "|",
                        one.tail.text,
                        "|",
                        one.extractor,
                        "|",
                        joined(document["sents"][sentence]),
                    )
            for h, relation, t, s in here:
                if s == sentence:
                    gold[relation] += 1
                    reached[relation] += (h, relation, t) in hit
    return {"right": right, "wrong": wrong, "gold": gold, "reached": reached}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--documents", default="250:500")
    parser.add_argument("--sentences", type=int, default=200)
    parser.add_argument("--show", action="store_true")
    given = parser.parse_args()
    first, last = map(int, given.documents.split(":"))
    told = measure(json.loads(DATA.read_text())[first:last], given.sentences, given.show)
    right, wrong = sum(told["right"].values()), sum(told["wrong"].values())
    said = max(right + wrong, 1)
    draws = np.random.default_rng(0).binomial(said, right / said, 10_000) / said
    low, high = np.percentile(draws, [2.5, 97.5])
    gold, reached = sum(told["gold"].values()), sum(told["reached"].values())
    print(f"precision {right / said:.3f} [{low:.3f}, {high:.3f}] ({right} of {said})")
    print(f"recall {reached / max(gold, 1):.3f} ({reached} of {gold})")
    for relation in sorted({*told["right"], *told["wrong"]}):
        print(f"  {relation}:", *(f"{told[kind][relation]} {kind}" for kind in ("right", "wrong", "gold")))


if __name__ == "__main__":
    main()
