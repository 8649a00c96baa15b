"""The order in which pieces of text on a page are read.

Knows boxes and lengths of text, not what it says; text runs from left to right and from top to bottom.
"""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from mmsdk.types import Box

Line = tuple[Box, str]
"""(left, top, right, bottom) and the text in it."""

_WIDE = 0.6
_CROSSED = 0.1
_FULL = 0.7
_LIKE = 0.1
_STEADY = 0.6
_LONG = 8


def reading_order(lines: Sequence[Line]) -> list[Line]:
    """Order pieces of text as they are read, and join those of one line.

    A line wider than most of the text that stands alone separates what is above from what is below;
    between two of them, columns of running text are read one after the other. The cells of a table
    stay in their rows.

    >>> reading_order([((60, 0, 90, 10), "9 EUR"), ((0, 1, 40, 11), "Tea"), ((0, 20, 40, 30), "Cups")])
    [((0, 0, 90, 11), 'Tea 9 EUR'), ((0, 20, 40, 30), 'Cups')]
    """
    kept = sorted((line for line in lines if line[1]), key=_height)
    if not kept:
        return []
    extent = max(box[2] for box, _ in kept) - min(box[0] for box, _ in kept)
    ordered: list[Line] = []
    band: list[Line] = []
    for line in kept:
        wide = line[0][2] - line[0][0] > _WIDE * extent
        if wide and not any(_beside(line[0], other[0]) for other in kept):
            ordered += _band(band)
            ordered.append(line)
            band = []
        else:
            band.append(line)
    return ordered + _band(band)


def _height(line: Line) -> float:
    return line[0][1] + line[0][3]


def _band(lines: list[Line]) -> list[Line]:
    return [row for group in _groups(lines) for row in _rows(sorted(group, key=_height))]


def _groups(lines: list[Line]) -> list[list[Line]]:
    """Split into columns of running text, each followed by what crosses its right edge; else give all as one."""
    gutters = _gutters(lines)
    edges = [float("-inf"), *gutters, float("inf")]
    columns: list[list[Line]] = [[] for _ in edges[1:]]
    crossing: list[list[Line]] = [[] for _ in edges[1:]]
    for line in lines:
        left, _, right, _ = line[0]
        middle = (left + right) / 2
        place = sum(middle > gutter for gutter in gutters)
        inside = edges[place] <= left and right <= edges[place + 1]
        (columns if inside else crossing)[place].append(line)
    long = [column for column in columns if len(column) >= 3]
    if len(long) < 2 or not all(_is_running_text(column) for column in long):
        return [lines]
    return [group for pair in zip(columns, crossing, strict=True) for group in pair]


def _gutters(lines: list[Line]) -> list[float]:
    """Give the middle of every vertical strip that few lines cross and that has lines on both sides."""
    sides = sorted([(box[0], 1) for box, _ in lines] + [(box[2], -1) for box, _ in lines])
    allowed = _CROSSED * len(lines)
    gutters: list[float] = []
    covering, opened, seen = 0, 0.0, False
    for x, step in sides:
        before, covering = covering, covering + step
        if step < 0 and before > allowed >= covering:
            opened, seen = x, True
        elif step > 0 and seen and covering > allowed >= before:
            gutters.append((opened + x) / 2)
    return gutters


def _is_running_text(lines: list[Line]) -> bool:
    """Tell a column of text, whose lines are long and fill its width or a part of it, from the cells of a table."""
    widths = [box[2] - box[0] for box, _ in lines]
    shapes = [width / max(box[3] - box[1], 1.0) for width, (box, _) in zip(widths, lines, strict=True)]
    whole = max(box[2] for box, _ in lines) - min(box[0] for box, _ in lines)
    steady = [abs(above - below) <= _LIKE * whole for above, below in pairwise(widths)]
    fills = median(widths) >= _FULL * whole or sum(steady) >= _STEADY * len(steady)
    return median(shapes) >= _LONG and fills


def _rows(lines: list[Line]) -> list[Line]:
    """Join pieces that stand at one height, from the left."""
    rows: list[list[Line]] = []
    for line in lines:
        if rows and _beside(rows[-1][-1][0], line[0]):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [_joined(sorted(row, key=lambda line: line[0][0])) for row in rows]


def _beside(one: Box, other: Box) -> bool:
    shared = min(one[3], other[3]) - max(one[1], other[1])
    apart = other[0] >= one[2] or one[0] >= other[2]
    return apart and shared > 0.5 * min(one[3] - one[1], other[3] - other[1])


def _joined(row: list[Line]) -> Line:
    lefts, tops, rights, bottoms = zip(*(box for box, _ in row), strict=True)
    return (min(lefts), min(tops), max(rights), max(bottoms)), " ".join(text for _, text in row)
