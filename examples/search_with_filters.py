"""Search by text and by picture, narrowed by metadata."""

from mmsdk import Collection, load

with Collection.open("shop-collection", create=True) as collection:
    collection.add("examples/data/policies", metadata={"kind": "policy", "year": 2026})
    collection.add("examples/data/products", metadata={"kind": "product", "year": 2025})

    for hit in collection.search("Who pays the postage for a return?", k=2, where={"kind": "policy"}):
        print(f"{hit.score:.2f} {hit.chunk.source} ({hit.chunk.locator}): {hit.chunk.text[:60]!r}")

    recent = {"$and": [{"kind": {"$in": ["policy", "product"]}}, {"year": {"$gte": 2025}}]}
    picture = load("examples/questions/picture-question.png")
    for hit in collection.search(picture, k=2, where=recent):
        print(f"{hit.score:.2f} {hit.chunk.source} ({hit.chunk.locator}): {hit.chunk.text[:60]!r}")
