"""CSV and Excel: one part a row, ``Header: value; Header: value``."""

import csv
import datetime
import io
from collections.abc import Iterator
from typing import Any

import openpyxl

from mmsdk.errors import DecodeError
from mmsdk.loaders import archive
from mmsdk.loaders.charset import decode_text
from mmsdk.loaders.parsed import Job, Parsed, Problem, Tiles, record
from mmsdk.loaders.rows import row_text, split_header
from mmsdk.types import JSON, Part

_DELIMITERS = ",;\t|"
_REPAIRS = 100


def load_csv(data: bytes, _job: Job) -> Parsed:
    """Read a table as text. A quote that never closes is taken as a letter, and its line is named."""
    decoded = decode_text(data)
    csv.field_size_limit(max(csv.field_size_limit(), len(decoded.text) + 1))  # one limit for the process
    delimiter = _delimiter(decoded.text)
    problems: list[Problem] = []
    rows = [row for row in _csv_rows(decoded.text, delimiter, problems) if any(cell.strip() for cell in row)]
    header, body = split_header(rows)
    parts = tuple(record(number, row_text(header, row)) for number, row in enumerate(body, 1))
    metadata: dict[str, JSON] = {**decoded.metadata, "delimiter": delimiter, "columns": list(header)}
    return Parsed(parts, metadata, tuple(problems))


def _delimiter(text: str) -> str:
    """Choose the delimiter that cuts most of the first rows into the same number of cells, more than one.

    ``csv.Sniffer`` is not used: it takes letters for delimiters and is slow on long lines.
    """
    lines = text[:65536].splitlines(keepends=True)[:50]
    best, most = ",", (0.0, 0)
    for delimiter in _DELIMITERS:
        try:
            widths = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row]
        except csv.Error:
            continue
        width = max(set(widths), key=widths.count, default=1)
        score = (widths.count(width) / len(widths), width) if width > 1 else (0.0, 0)
        best, most = (delimiter, score) if score > most else (best, most)
    return best


def _csv_rows(text: str, delimiter: str, problems: list[Problem]) -> Iterator[list[str]]:
    """Give rows; where a quote never closes, take that one line as it stands and go on after it."""
    lines = io.StringIO(text, newline="").readlines()
    start = 0
    while start < len(lines):
        if len(problems) >= _REPAIRS:
            yield from csv.reader(lines[start:], delimiter=delimiter, quoting=csv.QUOTE_NONE)
            return
        reader = csv.reader(lines[start:], delimiter=delimiter, strict=True)
        done = 0
        try:
            for row in reader:
                done = reader.line_num
                yield row
            return
        except csv.Error as error:
            broken = start + done
            if "end of data" in str(error):
                problems.append(Problem(f"line {broken + 1}", "a quote is not closed; the line was read as it stands"))
            yield from csv.reader(lines[broken : broken + 1], delimiter=delimiter, quoting=csv.QUOTE_NONE)
            start = broken + 1


def load_xlsx(data: bytes, job: Job) -> Parsed:
    """Read a workbook: values as Excel last computed them, every sheet, rows numbered from the first row of data."""
    archive.check(data, job.limits)
    book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    sheets = book.worksheets
    if len(sheets) > job.limits.pages:
        raise DecodeError(f"the workbook has {len(sheets)} sheets, more than limits.pages = {job.limits.pages}")
    parts: list[Part] = []
    columns: dict[str, Any] = {}
    preamble = Tiles()
    for sheet in sheets:
        sheet.reset_dimensions()
        rows = [row for cells in sheet.iter_rows() if any(row := [_cell_text(cell) for cell in cells])]
        first = _first_of_table(rows)
        for row in rows[:first]:
            preamble.add(f"{sheet.title}: {row_text([], row)}\n", "paragraph")
        header, body = split_header(rows[first:])
        columns[sheet.title] = list(header)
        parts += [record(number, row_text(header, row), sheet.title) for number, row in enumerate(body, 1)]
    properties = book.properties
    metadata: dict[str, JSON] = {"sheets": [sheet.title for sheet in sheets], "columns": columns}
    metadata |= {"title": properties.title} if properties.title else {}
    book.close()
    return Parsed((*preamble.parts, *parts), metadata)


def _first_of_table(rows: list[list[str]]) -> int:
    """Find the row at which the table starts: titles above it fill one cell only."""
    filled = [sum(1 for cell in row if cell) for row in rows[:20]]
    if max(filled, default=0) < 2:
        return 0
    return next(place for place, count in enumerate(filled) if count > 1)


def _cell_text(cell: Any) -> str:
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float | int):
        return _number(value, str(cell.number_format or ""))
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat(" ") if isinstance(value, datetime.datetime) else value.isoformat()
    return str(value).strip()


def _number(value: float, shown_as: str) -> str:
    if shown_as.endswith("%"):
        return f"{value * 100:.10g}%"
    return f"{value:.15g}" if isinstance(value, float) else str(value)
