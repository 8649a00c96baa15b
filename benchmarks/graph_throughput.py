"""How many sentences a second are read into a graph without an LLM, and how much memory that takes.

python -m benchmarks.graph_throughput [--documents 100]
"""

import argparse
import json
import resource
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.graph_patterns import DATA, joined
from mmsdk_graph import KnowledgeGraph


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--documents", type=int, default=100)
    given = parser.parse_args()
    documents = json.loads(DATA.read_text())[: given.documents]
    texts = [" ".join(joined(tokens) for tokens in document["sents"]) for document in documents]
    with TemporaryDirectory() as folder, KnowledgeGraph.open(Path(folder) / "graph") as graph:
        graph.add_text("Acme Corp. is based in Bern.", source="warm")
        sentences, start, used = 0, time.perf_counter(), time.process_time()
        for number, text in enumerate(texts):
            sentences += graph.add_text(text, source=str(number)).sentences
            if number in (len(texts) // 2, len(texts) - 1):
                seconds, own = time.perf_counter() - start, time.process_time() - used
                memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                rates = f"{sentences / seconds:.0f} a second, {sentences / own:.0f} a second of CPU time"
                print(f"{sentences} sentences, {rates}, {memory:.0f} MB at most", flush=True)
        start = time.perf_counter()
        facts = len(graph.triples())
        print(f"{facts} facts of {len(graph.entities())} entities in {time.perf_counter() - start:.2f} s")
        start = time.perf_counter()
        graph.query("MATCH (a)-[r]->(b) RETURN count(r)")
        print(f"first Cypher query {time.perf_counter() - start:.2f} s")


if __name__ == "__main__":
    main()
