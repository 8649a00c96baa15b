"""Measure which messages are handed over for their words: service_triggers.csv, harmless ones and reports.

    python -m benchmarks.service_triggers [--set a b]

Both sets were written before the words were mended; they were mended on ``a`` alone. A message without a reason is to
stay with the assistant.
"""

import argparse
import csv
from pathlib import Path

from mmsdk import evaluation
from mmsdk.lexicon import is_cjk
from mmsdk_service.wording import triggered


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=["a", "b"], nargs="+", default=["a", "b"])
    wanted = parser.parse_args().set
    with Path(__file__).with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["set"] in wanted]
    for language in ("en", "zh"):
        own = [row for row in rows if is_cjk(row["text"]) == (language == "zh")]
        stay = [float(not triggered(row["text"])) for row in own if not row["reason"]]
        hand = [float(triggered(row["text"]) == row["reason"]) for row in own if row["reason"]]
        print(f"{language}: harmless left {evaluation.mean(stay)} of {len(stay)}, ", end="")
        print(f"handed over for their reason {evaluation.mean(hand)} of {len(hand)}")
    for row in rows:
        if triggered(row["text"]) != row["reason"]:
            print(f"{triggered(row['text']) or '-'} for {row['reason'] or '-'}: {row['text']}")


if __name__ == "__main__":
    main()
