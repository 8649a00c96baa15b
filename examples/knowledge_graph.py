"""A knowledge graph of the example shop: facts with the sentences that say them, a query, a correction, an export.

What it writes goes to ``demo-graph``.
"""

from pathlib import Path

from mmsdk_graph import KnowledgeGraph
from mmsdk_graph.export import write

EXAMPLES = Path(__file__).resolve().parent
FOLDER = Path("demo-graph")

with KnowledgeGraph.open(FOLDER, schema=EXAMPLES / "graph" / "shop.yaml") as graph:
    texts = [EXAMPLES / "data" / name for name in ("faq.md", "policies", "products", "rental-handbook.pdf")]
    added = graph.add(texts)
    print(f"{added.documents} documents read, {added.skipped} known, {added.sentences} sentences")

    for triple in graph.triples():
        support = triple.supports[0]
        print(f"{triple.head.name} --{triple.relation}--> {triple.tail.name} ({triple.confidence:.2f})")
        print(f"    {support.sentence!r}, {Path(support.source).name}, {support.locator}")

    rows = graph.query("MATCH (p:Product)-[:made_in]->(place)-[:located_in]->(country) RETURN p.name, country.name")
    print("made where:", rows)

    doubtful = graph.triples({"relation": "located_in"})[0]
    graph.reject(doubtful.id, by="example")
    print("after a rejection:", len(graph.triples()), "facts")
    graph.undo()
    print("after undo:", len(graph.triples()), "facts")
    print("exported:", write(graph, FOLDER / "shop.ttl", "turtle"), "facts to", FOLDER / "shop.ttl")
