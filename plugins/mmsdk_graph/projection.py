"""The graph as a LadybugDB database, for Cypher: derived from SQLite and rebuilt when that changed.

LadybugDB's own read-only mode still lets a query write files (COPY TO, EXPORT) and read them (LOAD FROM), so
queries are checked word by word before they reach it.
"""

import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from mmsdk.errors import DeadlineError, InputError, MissingDependencyError
from mmsdk_graph.triples import Entity, Triple

STARTS = ("match", "optional", "unwind", "with", "return")
FORBIDDEN = frozenset(
    re.findall(
        r"\S+",
        "create merge delete detach set remove drop alter copy load install uninstall update call attach use "
        "export import begin commit rollback checkpoint comment analyze explain profile extension project macro "
        "insert truncate",
    )
)
ROWS = 10_000
_TOKEN = re.compile(
    r"""(?P<skip>//[^\n]*|/\*.*?\*/|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`[^`]*`)|(?P<word>[^\W\d]\w*)|(?P<mark>\S)""",
    re.DOTALL,
)
_MEMORY = 256 * 2**20
_open: dict[Path, Any] = {}


def check(cypher: str) -> str:
    """Give a query that only reads. Raises ``InputError`` that names what else it does."""
    if not isinstance(cypher, str) or not cypher.strip():
        raise InputError("a query is a text such as MATCH (a)-[r]->(b) RETURN a.name, label(r), b.name")
    words: list[str] = []
    before = ""
    for found in _TOKEN.finditer(cypher):
        word, mark = found["word"], found["mark"]
        if mark == ";" and cypher[found.end() :].strip():
            raise InputError("one query at a time: there is text behind the ';'")
        if mark in ("'", '"', "`"):
            raise InputError(f"a quotation mark at character {found.start()} is not closed")
        if word and before not in (".", ":", "$"):
            words.append(word.casefold())
            if words[-1] in FORBIDDEN:
                raise InputError(
                    f"queries only read, and {word} (character {found.start()}) does not; use MATCH ... RETURN"
                )
        before = mark or ""
    if not words or words[0] not in STARTS:
        raise InputError(f"a query starts with {', '.join(STARTS).upper()}, not with {(words or [''])[0]!r}")
    return cypher


def opened(file: Path) -> Any:
    """Open the database of a graph for reading; the one that was opened last stays open."""
    ladybug = _ladybug()
    if _open.get(file) is None:
        for other in _open.values():
            other.close()
        _open.clear()
        _open[file] = ladybug.Database(file, read_only=True, buffer_pool_size=_MEMORY, max_num_threads=2)
    return _open[file]


def run(
    database: Any, cypher: str, parameters: Mapping[str, Any] | None = None, *, seconds: float
) -> list[dict[str, Any]]:
    """Run a query that was checked. Raises ``InputError`` with the database's words when it is wrong.

    Raises ``DeadlineError`` when the database noticed that the time is over, which is not certain, and ``MemoryError``.
    """
    connection = _ladybug().Connection(database, num_threads=2)
    try:
        connection.set_query_timeout(int(seconds * 1000))
        result = connection.execute(cypher, dict(parameters or {}))
        names = result.get_column_names()
        rows: list[dict[str, Any]] = []
        while result.has_next():
            if len(rows) >= ROWS:
                raise InputError(f"the query gives more than {ROWS:,} rows; add a LIMIT or a narrower MATCH")
            rows.append(dict(zip(names, map(_plain, result.get_next()), strict=True)))
        return rows
    except RuntimeError as error:
        if str(error).startswith("Interrupted"):
            raise DeadlineError("the query took too long") from error
        if "bad_alloc" in str(error):
            raise MemoryError from error
        raise InputError(f"the query does not run: {error}") from error
    finally:
        connection.close()


def build(
    file: Path,
    entities: Sequence[Entity],
    *,
    triples: Sequence[Triple],
    types: Sequence[str],
    joins: Mapping[str, Sequence[tuple[str, str]]],
) -> None:
    """Write a database: a node table a type, an edge table a relation; of ``triples`` all become edges.

    ``types`` and ``joins`` (the types that each relation may join) have tables even when nothing is in them.
    """
    ladybug = _ladybug()
    draft = file.with_suffix(".draft")
    for old in file.parent.glob(f"{draft.name}*"):
        remove(old)
    database = ladybug.Database(draft, buffer_pool_size=_MEMORY, max_num_threads=1)
    connection = ladybug.Connection(database, num_threads=1)
    try:
        kinds = sorted({*types, *(entity.type for entity in entities)})
        for kind in kinds:
            _nodes(connection, kind, [entity for entity in entities if entity.type == kind])
        by_relation: dict[str, list[Triple]] = {relation: [] for relation in joins}
        for triple in triples:
            by_relation.setdefault(table(triple), []).append(triple)
        for relation, some in sorted(by_relation.items()):
            _edges(connection, relation, some, may=joins.get(relation, ()))
        connection.execute("CHECKPOINT")
    finally:
        connection.close()
        database.close()
    draft.replace(file)


def table(triple: Triple) -> str:
    """Name the edge table of a triple: its relation, with the layer in front where that is not a fact."""
    return triple.relation if triple.kind != "open" else f"open_{triple.relation}"


def _nodes(connection: Any, kind: str, entities: Sequence[Entity]) -> None:
    import pyarrow as pa

    connection.execute(
        f"CREATE NODE TABLE `{kind}`(id STRING, name STRING, type STRING, aliases STRING[], mentions INT64, "
        "PRIMARY KEY(id))"
    )
    if entities:
        columns = {
            "id": pa.array([e.id for e in entities], pa.string()),
            "name": pa.array([e.name for e in entities], pa.string()),
            "type": pa.array([e.type for e in entities], pa.string()),
            "aliases": pa.array([list(e.aliases) for e in entities], pa.list_(pa.string())),
            "mentions": pa.array([e.mentions for e in entities], pa.int64()),
        }
        rows = pa.table(columns)  # noqa: F841 - LadybugDB finds the table by its name
        connection.execute(f"COPY `{kind}` FROM rows")


def _edges(connection: Any, relation: str, triples: Sequence[Triple], *, may: Sequence[tuple[str, str]]) -> None:
    import pyarrow as pa

    found = {(t.head.type, t.tail.type) for t in triples}
    ends = sorted({*found, *may})
    joined = ", ".join(f"FROM `{head}` TO `{tail}`" for head, tail in ends)
    connection.execute(
        f"CREATE REL TABLE `{relation}`({joined}, id STRING, confidence DOUBLE, kind STRING, valid_from STRING, "
        "valid_to STRING, supports INT64, sentences STRING[])"
    )
    for head, tail in sorted(found):
        some = [t for t in triples if (t.head.type, t.tail.type) == (head, tail)]
        columns = {
            "from": pa.array([t.head.id for t in some], pa.string()),
            "to": pa.array([t.tail.id for t in some], pa.string()),
            "id": pa.array([t.id for t in some], pa.string()),
            "confidence": pa.array([t.confidence for t in some], pa.float64()),
            "kind": pa.array([t.kind for t in some], pa.string()),
            "valid_from": pa.array([t.valid_from for t in some], pa.string()),
            "valid_to": pa.array([t.valid_to for t in some], pa.string()),
            "supports": pa.array([len(t.supports) for t in some], pa.int64()),
            "sentences": pa.array([list(t.sentences) for t in some], pa.list_(pa.string())),
        }
        rows = pa.table(columns)  # noqa: F841 - LadybugDB finds the table by its name
        connection.execute(f"COPY `{relation}` FROM rows (from='{head}', to='{tail}')")


def _ladybug() -> Any:
    """Give the module of LadybugDB, its native part loaded with symbols that stay its own.

    It would load that part with RTLD_GLOBAL, and llama.cpp, which carries other versions of the same C++ libraries,
    would find its symbols and abort the process when it is imported after it.
    """
    try:
        import ladybug
    except ModuleNotFoundError as error:
        raise MissingDependencyError("ladybug", "graph") from error
    with suppress(ImportError):  # it has another way for systems without the native part
        import_module("ladybug._lbug")
    return ladybug


def _plain(value: Any) -> Any:
    """Give nodes and edges without the database's inner numbers."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if not k.startswith("_") or k == "_LABEL"}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def remove(path: Path) -> None:
    """Delete a database, whether it is a file or a folder."""
    with suppress(OSError):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
