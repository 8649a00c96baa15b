"""Names from outside: text that stands for the names that data have."""

from collections.abc import Hashable

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
