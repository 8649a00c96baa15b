"""Measure retrieval on your own questions; the brackets hold 95 % confidence intervals."""

import json
from pathlib import Path

from mmsdk import Collection
from mmsdk.evaluation import mrr, recall

data = Path("examples/data").resolve()
lines = Path("benchmarks/shop_questions.jsonl").read_text("utf-8").splitlines()
questions = [question for question in map(json.loads, lines) if question["answerable"]]

with Collection.open("my-collection", create=True) as collection:
    collection.add(data)
    found = collection.search_many([question["question"] for question in questions], k=5)

run, right = {}, {}
for question, hits in zip(questions, found, strict=True):
    sources = [Path(hit.chunk.source).relative_to(data).as_posix() for hit in hits]
    run[question["id"]] = list(dict.fromkeys(sources))
    right[question["id"]] = {question["source"]: 1}
print(f"{len(questions)} questions: recall@5 {recall(run, right, k=5)}, MRR {mrr(run, right, k=5)}")
