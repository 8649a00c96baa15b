"""Rows of tables as sentences: ``Header: value; Header: value``. Knows nothing of where a table came from."""

import re
from collections.abc import Sequence

_NUMBER = re.compile(r"[-+(]?[$€£¥]?\s*\d[\d.,:/\s-]*%?\)?|")
_LABEL = 80


def split_header(rows: Sequence[Sequence[str]]) -> tuple[list[str], list[Sequence[str]]]:
    """Tell whether the first row names the columns; give the names (empty when it does not) and the rows of data.

    A first row of distinct short labels is a header unless one of them is a number or comes again
    below in its column.

    >>> split_header([["Name", "Price"], ["Lamp", "19"]])
    (['Name', 'Price'], [['Lamp', '19']])
    """
    if len(rows) < 2:
        return [], list(rows)
    first = [cell.strip() for cell in rows[0]]
    labels = [cell for cell in first if cell]
    named = len(labels) >= len(first) - 1 and labels and len(set(labels)) == len(labels)
    short = all(len(cell) <= _LABEL and "\n" not in cell and not _NUMBER.fullmatch(cell) for cell in labels)
    again = any(cell and any(cell == _cell(row, place) for row in rows[1:51]) for place, cell in enumerate(first))
    return (first, list(rows[1:])) if named and short and not again else ([], list(rows))


def row_text(header: Sequence[str], cells: Sequence[str]) -> str:
    """Write one row, without its empty cells.

    >>> row_text(["Name", "Price"], ["Lamp", "19"])
    'Name: Lamp; Price: 19'
    """
    said = []
    for place, cell in enumerate(cells):
        name = _cell(header, place)
        if cell.strip():
            said.append(f"{name}: {cell.strip()}" if name else cell.strip())
    return "; ".join(said)


def table_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """Write a small table, one line a row of data."""
    header, data = split_header(rows)
    return [line for line in (row_text(header, cells) for cells in data) if line]


def _cell(row: Sequence[str], place: int) -> str:
    return row[place].strip() if place < len(row) else ""
