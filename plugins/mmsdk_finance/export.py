"""Exports: every vote with its item, score and model, as CSV or Parquet."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmsdk.errors import InputError, MissingDependencyError
from mmsdk_finance.state import State, stamp

COLUMNS = (
    *("ticker", "event", "first_seen", "source", "sources", "kind", "value", "weight", "label", "positive", "neutral"),
    *("negative", "quote", "words", "events", "model", "text", "author", "url", "language", "item", "story"),
)


def export(state: State, file: str | Path) -> int:
    """Write one row a story and name to a .csv or .parquet file; give the number of rows. Raises ``InputError``."""
    path = Path(file)
    if path.suffix == ".csv":
        return _csv(state, path)
    if path.suffix == ".parquet":
        return _parquet(state, path)
    raise InputError(f"{path.name!r} must end in .csv or .parquet")


def rows(state: State) -> Iterator[dict[str, Any]]:
    """Give the rows in the order of their event time; times are ISO 8601 in UTC."""
    found = state.rows(
        "SELECT v.ticker, v.at AS event, t.first_seen, i.source, (SELECT group_concat(DISTINCT source) FROM items c "
        "WHERE c.story = v.story) AS sources, v.kind, v.value, v.weight, s.label, s.positive, s.neutral, s.negative, "
        "s.quote, s.words, s.events, s.model, i.text, i.author, i.url, i.language, i.number AS item, v.story "
        "FROM votes v JOIN scores s USING (story, ticker) JOIN stories t ON t.number = v.story "
        "JOIN items i ON i.number = (SELECT min(number) FROM items f WHERE f.story = v.story) ORDER BY v.at, v.story"
    )
    for row in found:
        yield {**row, "event": stamp(row["event"]), "first_seen": stamp(row["first_seen"])}


def _csv(state: State, path: Path) -> int:
    found = list(rows(state))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows({key: _harmless(value) for key, value in row.items()} for row in found)
    return len(found)


def _harmless(value: Any) -> Any:
    """Keep a spreadsheet from taking a text for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t")) else value


def _parquet(state: State, path: Path) -> int:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise MissingDependencyError("pyarrow", "finance") from error
    found = list(rows(state))
    table = pyarrow.table({column: [row[column] for row in found] for column in COLUMNS})
    parquet.write_table(table, path)
    return len(found)
