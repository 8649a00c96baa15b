"""Thirty questions that need two documents each, over a made corpus: plain retrieval against paths of the graph.

Sixty invented companies, one document about who leads or founded each, one about where it is based or whom it bought,
and as many about nothing that is asked. A question names a person and asks for something of that person's company. It
counts when the answer cites the sentences of both documents. The assistant is the same; no LLM phrases anything.

Seed 0 was looked at when names of companies were mended; seed 1 was not.

    python -m benchmarks.graph_questions [--seed 1]
"""

import argparse
import random
from pathlib import Path
from tempfile import TemporaryDirectory

from faker import Faker

from mmsdk import Assistant, Collection
from mmsdk.llms.echo import Echo
from mmsdk.types import Answer, Hit
from mmsdk_graph import KnowledgeGraph
from mmsdk_graph.answers import GraphAssistant, GraphRetriever

KINDS = ("Systems", "Robotics", "Energy", "Motors", "Software", "Foods", "Airlines", "Materials")
CITIES = ("Oslo", "Lima", "Bern", "Rome", "Vienna", "Lisbon", "Dublin", "Prague", "Warsaw", "Athens", "Madrid", "Tokyo")
FIRST = (
    ("{p} leads {c}. The board meets four times a year.", "Where is the company that {p} leads based?"),
    ("{c} was founded by {p}. The first office was a garage.", "Where is the company that {p} founded based?"),
    ("{p}, the chief executive of {c}, spoke to staff.", "Which company did the company whose CEO is {p} acquire?"),
)
SECOND = ("{c} is based in {x}. It has two canteens.", "{c} is headquartered in {x}. Parking is scarce.")
BOUGHT = "{c} acquired {x} last spring. The price was not told."
NOISE = "{p} visited {x} in May. The weather was fine and the trains were late."


def corpus(seed: int = 0) -> tuple[dict[str, str], list[tuple[str, str, str]]]:
    """Give documents by name, and questions with the two sentences that answer each."""
    chance, faker = random.Random(seed), Faker("en_US")
    faker.seed_instance(seed)
    documents, questions = {}, []
    for number in range(60):
        person = f"{faker.unique.first_name()} {faker.unique.last_name()}"
        name, city = f"{faker.unique.last_name()} {chance.choice(KINDS)}", chance.choice(CITIES)
        told, asked = FIRST[number % 3]
        other = f"{faker.unique.last_name()} {chance.choice(KINDS)}"
        first = told.format(p=person, c=name)
        second = BOUGHT.format(c=name, x=other) if number % 3 == 2 else chance.choice(SECOND).format(c=name, x=city)
        documents[f"a{number}"], documents[f"b{number}"] = first, second
        documents[f"c{number}"] = NOISE.format(p=f"{faker.first_name()} {faker.unique.last_name()}", x=city)
        if number < 30:
            one, two = (text.partition(". ")[0].rstrip(".") + "." for text in (first, second))
            questions.append((asked.format(p=person), one, two))
    return documents, questions


def cited(answer: Answer, first: str, second: str) -> bool:
    quotes = " ".join(citation.quote for citation in answer.citations)
    return first in quotes and second in quotes


def found(hits: list[Hit], first: str, second: str) -> bool:
    texts = " ".join(hit.chunk.text for hit in hits)
    return first in texts and second in texts


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    documents, questions = corpus(parser.parse_args().seed)
    with (
        TemporaryDirectory() as folder,
        Collection.open(Path(folder) / "texts", create=True) as collection,
        KnowledgeGraph.open(Path(folder) / "graph") as graph,
    ):
        collection.add_texts(list(documents.values()), ids=list(documents))
        for name, text in documents.items():
            graph.add_text(text, source=name)
        retriever = GraphRetriever(collection, graph)
        for name, one in (("plain", collection), ("graph-aware", retriever)):
            right = sum(found(one.retrieve(q, 8), first, second) for q, first, second in questions)
            print(f"{name} retrieval: {right} of {len(questions)} with both sentences among 8 hits", flush=True)
        plain = Assistant(collection, Echo())
        aware = Assistant(retriever, Echo())
        by_path = GraphAssistant(graph, plain)
        for name, assistant in (
            ("plain", plain),
            ("graph-aware retrieval", aware),
            ("paths of the graph", by_path),
        ):
            right = sum(cited(assistant.ask(q), first, second) for q, first, second in questions)
            print(f"{name}: {right} of {len(questions)} with both sentences cited", flush=True)


if __name__ == "__main__":
    main()
