"""Ask questions with known answers over a folder, and count right, wrong, withheld and invented answers.

    python benchmarks/answers.py examples/data benchmarks/shop_questions.jsonl
    python benchmarks/answers.py benchmarks/library benchmarks/library_questions.jsonl

An answer is right when its text matches one of the question's patterns. Every quotation must stand verbatim
in its chunk. The thresholds are fixed in mmsdk/answerability.json and were fitted without examples/data.
"""

import argparse
import json
import re
import tempfile
import time
from pathlib import Path
from typing import Any

from mmsdk import evaluation
from mmsdk.assistant import Assistant
from mmsdk.collection import Collection
from mmsdk.settings import Settings
from mmsdk.types import Answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("questions", type=Path)
    parser.add_argument("--verbose", action="store_true", help="print every answer")
    arguments = parser.parse_args()
    asked = [json.loads(line) for line in arguments.questions.read_text("utf-8").splitlines() if line.strip()]
    settings = Settings.load()
    with (
        tempfile.TemporaryDirectory() as place,
        Collection.open(Path(place) / "collection", create=True, settings=settings) as collection,
    ):
        report = collection.add(arguments.folder)
        print(f"{report.documents} documents, {report.chunks} chunks, {len(report.failed)} failed")
        rows = [judged(row, Assistant(collection, settings=settings), verbose=arguments.verbose) for row in asked]
    print(json.dumps(summary(rows), indent=1, ensure_ascii=False))


def judged(row: dict[str, Any], assistant: Assistant, *, verbose: bool) -> dict[str, Any]:
    """Ask one question and judge its answer."""
    started = time.perf_counter()
    answer = assistant.ask(row["question"])
    answered = answer.status == "answered"
    right = answered and any(re.search(pattern, answer.text) for pattern in row["answer"])
    if verbose:
        candidates: Any = answer.trace.get("candidates", [])
        best = max((candidate["probability"] for candidate in candidates), default=0.0)
        mark = "right" if right else "FALSE" if answered and not row["answerable"] else "WRONG" if answered else "-"
        print(f"{mark:5} {best:.2f} {row['id']} {row['question']} => {answer.text}")
    return {
        "answerable": row["answerable"],
        "answered": answered,
        "right": right,
        "verbatim": verbatim(answer),
        "seconds": time.perf_counter() - started,
    }


def verbatim(answer: Answer) -> bool:
    """Tell whether every quotation stands in its chunk and every sentence of the answer has one."""
    quoted = all(citation.quote and citation.quote in citation.hit.chunk.text for citation in answer.citations)
    return quoted and (answer.status == "not_in_sources" or bool(answer.citations))


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Count, with 95 % intervals."""
    can = [row for row in rows if row["answerable"]]
    cannot = [row for row in rows if not row["answerable"]]
    return {
        "answerable": len(can),
        "right": sum(row["right"] for row in can),
        "right_share": str(evaluation.mean([float(row["right"]) for row in can])),
        "wrong": sum(row["answered"] and not row["right"] for row in can),
        "withheld": sum(not row["answered"] for row in can),
        "unanswerable": len(cannot),
        "answered_all_the_same": sum(row["answered"] for row in cannot),
        "quotes_verbatim": all(row["verbatim"] for row in rows),
        "median_seconds": round(sorted(row["seconds"] for row in rows)[len(rows) // 2], 2),
    }


if __name__ == "__main__":
    main()
