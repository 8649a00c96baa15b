"""A folder in, a cited answer out."""

from mmsdk import Assistant, Collection

with Collection.open("my-collection", create=True) as collection:
    report = collection.add("examples/data")
    print(f"{report.documents} documents, {report.chunks} chunks, {len(report.failed)} failures")

    answer = Assistant(collection).ask("How long is the guarantee on a backpack?")
    print(answer.status, answer.text, sep=": ")
    for citation in answer.citations:
        print(f"  {citation.hit.chunk.source}, {citation.locator}: {citation.quote!r}")
