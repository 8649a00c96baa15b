"""Names from outside: text that stands for the names that data have."""

from collections.abc import Hashable, Iterable

import pandas as pd


def known(name: str, names: pd.Index) -> Hashable:
    """Give a name as the data has it: as text, or as the number that the text says.

    >>> known("7", pd.Index([7, 8])), known("7", pd.Index(["7"]))
    (7, '7')
    """
    digits = name.lstrip("-")
    if name not in names and digits.isascii() and digits.isdigit() and int(name) in names:
        return int(name)
    return name


def alike(new: Iterable[Hashable], names: pd.Index) -> list[Hashable]:
    """Give new names of the kind that data have: digits pushed as text are numbers where all others are.

    >>> alike(["7", "9"], pd.Index([7, 8])), alike(["7"], pd.Index(["x"]))
    ([7, 9], ['7'])
    """
    if not pd.api.types.is_integer_dtype(names.dtype):
        return [known(name, names) if isinstance(name, str) else str(name) for name in new]
    return [int(name) if isinstance(name, str) and name.isascii() and name.isdigit() else name for name in new]
