"""What users did: a checked table of who took which item, when and how strongly, with users and items as numbers.

Read from a data frame, CSV, Parquet or a database. Models see only ``Histories``: for each user the items in the order
of time, so that somebody new is served like somebody known. Nothing here knows what an item is.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from mmsdk.errors import FetchError, InputError, MissingDependencyError, UnsupportedMediaError

Floats = NDArray[np.float32]
"""Float32; what its axes are is said where it is used."""
Numbers = NDArray[np.int64]
_SECONDS = 1e11
"""The year 5138: times beyond it are in milliseconds, microseconds or nanoseconds."""
COLUMNS = ("user", "item", "time", "weight", "kind")
_USUAL = {
    "user": ("user_id", "userid", "user id", "customer", "customer_id", "session", "session_id"),
    "item": ("item_id", "itemid", "item id", "movieid", "product", "product_id", "article", "article_id"),
    "time": ("timestamp", "date", "datetime", "ts"),
    "weight": ("count",),
    "kind": ("event", "action"),
}


@dataclass(frozen=True, eq=False)
class Histories:
    """Hold the items of several users, each oldest first, as one run of numbers.

    Row ``n`` is ``items[starts[n]:starts[n + 1]]``: int64 item numbers below ``width``, with float32 ``weights`` > 0
    and float64 ``times`` in seconds since 1970 (NaN where unknown).

    >>> both = Histories.of([[2, 0], []], width=3)
    >>> both.matrix.toarray().tolist()
    [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    """

    starts: Numbers
    items: Numbers
    weights: Floats
    times: NDArray[np.float64]
    width: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], *, width: int) -> "Histories":
        """Make histories of item numbers, oldest first, each of weight 1 and unknown time."""
        starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        items = np.array([item for row in rows for item in row], np.int64)
        return cls(starts, items, np.ones(len(items), np.float32), np.full(len(items), np.nan), width)

    @cached_property
    def lengths(self) -> Numbers:
        """Items of each row."""
        return np.diff(self.starts)

    @cached_property
    def rows(self) -> Numbers:
        """The row of each item."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @cached_property
    def matrix(self) -> csr_matrix:
        """Float32 ``[rows, width]``: the weights, of repeated items the sum."""
        found = csr_matrix((self.weights, self.items, self.starts), shape=(len(self), self.width))
        found.sum_duplicates()
        return found

    @cached_property
    def binary(self) -> csr_matrix:
        """Float32 ``[rows, width]``: 1 where a user has an item."""
        found = self.matrix.copy()
        found.data = np.ones_like(found.data)
        return found

    def faded(self, half_life: float | None) -> csr_matrix:
        """Give ``binary`` with an item that lies ``half_life`` places back counting half; None: all count alike."""
        if half_life is None:
            return self.binary
        back = self.starts[1:][self.rows] - 1 - np.arange(len(self.items))
        found = csr_matrix(
            (np.exp2(-back / half_life).astype(np.float32), self.items, self.starts), shape=(len(self), self.width)
        )
        found.sum_duplicates()
        return found

    def row(self, number: int) -> Numbers:
        """Give the items of a row, oldest first."""
        return self.items[self.starts[number] : self.starts[number + 1]]

    def with_nobody(self) -> "Histories":
        """Give them with one more, which is empty."""
        return Histories(np.append(self.starts, self.starts[-1]), self.items, self.weights, self.times, self.width)

    def take(self, rows: Sequence[int] | Numbers) -> "Histories":
        """Give some rows, in the order asked."""
        chosen = np.asarray(rows, np.int64)
        lengths = self.lengths[chosen]
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        places = np.repeat(self.starts[chosen] - starts[:-1], lengths) + np.arange(starts[-1])
        return Histories(starts, self.items[places], self.weights[places], self.times[places], self.width)

    def kept(self, keep: NDArray[np.bool_], *, width: int | None = None) -> "Histories":
        """Give the histories without the items that are not kept (``keep`` has one value an item of the run)."""
        starts = np.concatenate([[0], np.cumsum(keep)])[self.starts].astype(np.int64)
        wide = self.width if width is None else width
        return Histories(starts, self.items[keep], self.weights[keep], self.times[keep], wide)

    def clipped(self, width: int) -> "Histories":
        """Give the histories over the first ``width`` items, for a model that was fitted when there were no more."""
        return self if width == self.width else self.kept(self.items < width, width=width)


@dataclass(frozen=True, eq=False)
class Interactions:
    """Hold all histories with the names of users and items; row ``n`` of ``histories`` is ``users[n]``.

    >>> frame = pd.DataFrame({"user": ["a", "a", "b"], "item": ["x", "y", "x"], "time": [2, 1, 3]})
    >>> taken = Interactions.from_frame(frame)
    >>> [list(taken.items[taken.histories.row(n)]) for n in range(2)]
    [['y', 'x'], ['x']]
    """

    users: pd.Index
    items: pd.Index
    histories: Histories

    @classmethod
    def from_frame(
        cls, frame: pd.DataFrame, *, items: Sequence[Hashable] = (), order: pd.Index | None = None
    ) -> "Interactions":
        """Check a frame with the columns user, item and optionally time and weight.

        ``items`` are further names; ``order`` gives all names in their order instead. Interactions of equal time keep
        the order of the frame. Raises ``InputError`` naming what is wrong.
        """
        checked = check(frame)
        names = pd.Index(pd.unique(checked["item"])) if order is None else order
        if len(items):
            names = names.append(pd.Index(items).difference(names, sort=False))
        users = pd.Index(pd.unique(checked["user"]))
        _of_one_kind(users, "user")
        _of_one_kind(names, "item")
        return cls(users, names, _histories(checked, users, names))

    def frame(self) -> pd.DataFrame:
        """Give the table back: user, item, time (seconds since 1970, NaN where unknown), weight."""
        of = self.histories
        columns = {"user": self.users[of.rows], "item": self.items[of.items], "time": of.times, "weight": of.weights}
        return pd.DataFrame(columns)

    @cached_property
    def counts(self) -> Numbers:
        """How many users have each item."""
        return np.bincount(self.histories.binary.indices, minlength=len(self.items))


def check(frame: pd.DataFrame) -> pd.DataFrame:
    """Give user, item, time and weight of a frame, checked, times as seconds since 1970 (NaN without a column).

    Raises ``InputError``: a column is missing or has empty values, a time cannot be read, a weight is not above 0.
    """
    if not isinstance(frame, pd.DataFrame):
        raise InputError(f"interactions are a pandas DataFrame with the columns user and item, not {type(frame)}")
    missing = [name for name in ("user", "item") if name not in frame.columns]
    if missing:
        there = ", ".join(map(str, frame.columns[:20])) or "none"
        raise InputError(f"interactions need the columns user and item; missing: {', '.join(missing)}; there: {there}")
    if frame.columns.duplicated().any():
        doubles = ", ".join(map(str, frame.columns[frame.columns.duplicated()].unique()))
        raise InputError(f"interactions have columns of one name more than once: {doubles}")
    if frame.empty:
        raise InputError("there are no interactions in the frame (0 rows)")
    for name in ("user", "item"):
        _no_gaps(frame[name], name)
        if pd.api.types.infer_dtype(frame[name], skipna=False) == "mixed":
            raise InputError(
                f"values of {name!r} are numbers or text, not such as {frame[name].iloc[0]!r}: astype(str)"
            )
    times = _times(frame["time"]) if "time" in frame.columns else np.full(len(frame), np.nan)
    weights = _weights(frame["weight"]) if "weight" in frame.columns else np.ones(len(frame), np.float32)
    return pd.DataFrame(
        {"user": frame["user"].to_numpy(), "item": frame["item"].to_numpy(), "time": times, "weight": weights}
    )


def read(source: str | Path, *, columns: Mapping[str, str] | None = None, query: str | None = None) -> pd.DataFrame:
    """Read interactions from a .csv, .tsv or .parquet file, or with SQL from a database (an SQLAlchemy address).

    ``columns`` says which column is what, such as ``{"user": "customer_no"}``; usual names such as userId, movieId and
    timestamp are known. Raises ``FetchError``, ``UnsupportedMediaError`` and ``InputError``.
    """
    frame = _read_sql(str(source), query) if "://" in str(source) else _read_file(Path(source))
    absent = [column for column in (columns or {}).values() if column not in frame.columns]
    if absent:
        raise InputError(f"{source} has no column {', '.join(absent)}; there: {', '.join(map(str, frame.columns))}")
    names = {column: name for name, column in (columns or {}).items()}
    for column in frame.columns:
        plain = str(column).casefold()
        for name, usual in _USUAL.items():
            if plain in (name, *usual) and name not in names.values() and column not in names:
                names[column] = name
    return frame.rename(columns=names)


def _read_file(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    kind = path.suffix.casefold()
    try:
        if kind == ".parquet":
            return pd.read_parquet(path)
        if kind in (".csv", ".tsv"):
            return pd.read_csv(path, sep="\t" if kind == ".tsv" else ",")
    except (ValueError, OSError) as error:  # pandas' and pyarrow's errors of parsing are ValueErrors
        raise InputError(f"{path} cannot be read as a table: {error}") from error
    raise UnsupportedMediaError(
        f"{path.name}: interactions are read from .csv, .tsv and .parquet, not {kind or 'this'}"
    )


def _read_sql(address: str, query: str | None) -> pd.DataFrame:
    if not query:
        raise InputError("say what to read from the database: query='SELECT user, item, time FROM purchases'")
    try:
        import sqlalchemy
    except ModuleNotFoundError as error:
        raise MissingDependencyError("sqlalchemy", "recommend") from error
    try:
        engine = sqlalchemy.create_engine(address)
        file = engine.url.database if engine.dialect.name == "sqlite" else None
        if file and not file.startswith((":", "file:")) and not Path(file).is_file():  # SQLite would make an empty one
            raise FetchError(f"there is no database {file}")
        with engine.connect().execution_options(postgresql_readonly=True) as connection:
            if file:
                connection.execute(sqlalchemy.text("PRAGMA query_only = ON"))
            return pd.read_sql_query(sqlalchemy.text(query), connection)
    except (sqlalchemy.exc.SQLAlchemyError, pd.errors.DatabaseError, ImportError) as error:
        shown = sqlalchemy.engine.make_url(address).render_as_string() if "@" in address else address
        raise FetchError(f"reading from {shown} failed: {str(error).splitlines()[0]}") from error
    finally:
        if "engine" in locals():
            engine.dispose()


def _no_gaps(column: "pd.Series[Any]", name: str) -> None:
    gaps = np.flatnonzero(column.isna().to_numpy())
    if len(gaps):
        raise InputError(f"{len(gaps)} of {len(column)} values of {name!r} are empty, the first in row {gaps[0]}")


def _of_one_kind(names: pd.Index, label: str) -> None:
    """Refuse text beside numbers: 1 and "1" would be two."""
    if names.inferred_type in ("mixed", "mixed-integer"):
        one = next(name for name in names if isinstance(name, str))
        other = next(name for name in names if not isinstance(name, str))
        raise InputError(
            f"{label}s are all numbers or all text, in interactions and catalogue; "
            f"there are {one!r} and {other}: use astype(str)"
        )


def _times(column: "pd.Series[Any]") -> NDArray[np.float64]:
    if pd.api.types.is_numeric_dtype(column):
        seconds = column.to_numpy(np.float64, na_value=np.nan)
        while np.isfinite(seconds).all() and seconds.max() > _SECONDS:
            seconds = seconds / 1000
    else:
        try:
            dates = pd.to_datetime(column, utc=True, format=None if column.dtype.kind == "M" else "ISO8601")
        except (ValueError, TypeError) as error:
            raise InputError(f"a time cannot be read: {error}; give seconds since 1970, or ISO 8601") from error
        seconds = ((dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)).to_numpy(np.float64)
    bad = np.flatnonzero(~np.isfinite(seconds))
    if len(bad):
        raise InputError(f"{len(bad)} of {len(seconds)} values of 'time' are empty or infinite, first in row {bad[0]}")
    return np.asarray(seconds)


def _weights(column: "pd.Series[Any]") -> Floats:
    try:
        weights = column.to_numpy(np.float32, na_value=np.nan)
    except (ValueError, TypeError) as error:
        raise InputError(f"weights are numbers above 0: {error}") from error
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights > 0)))
    if len(bad):
        raise InputError(
            f"{len(bad)} weights are not above 0, the first in row {bad[0]}: {column.iloc[bad[0]]}; "
            "leave out what a user did not like"
        )
    return np.asarray(weights)


def _histories(checked: pd.DataFrame, users: pd.Index, items: pd.Index) -> Histories:
    rows, numbers = users.get_indexer(checked["user"]), items.get_indexer(checked["item"])
    times = checked["time"].to_numpy()
    order = np.lexsort((np.arange(len(rows)), times, rows))
    starts = np.searchsorted(rows[order], np.arange(len(users) + 1)).astype(np.int64)
    weights = checked["weight"].to_numpy()[order]
    return Histories(starts, numbers[order].astype(np.int64), weights, times[order], len(items))
