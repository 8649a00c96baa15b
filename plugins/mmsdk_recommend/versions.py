"""Versions of a recommender in a folder: each fit is a new one, and any older one can be made current again.

``current`` names the version that is served; it is replaced in one step, so readers see the old or the new.
"""

import json
import os
import shutil
import time
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from mmsdk.database import WriterLock
from mmsdk.errors import CollectionNotFoundError, InputError
from mmsdk_recommend.changes import erase
from mmsdk_recommend.recommender import Recommender

_CURRENT = "current"


class Versions:
    """Keep the last ``keep`` versions of a recommender in a folder.

    >>> import tempfile
    >>> import pandas as pd
    >>> versions = Versions(tempfile.mkdtemp())
    >>> frame = pd.DataFrame({"user": ["a", "b"], "item": ["x", "y"]})
    >>> [versions.publish(Recommender("popularity").fit(frame)) for _ in range(2)]
    ['v0001', 'v0002']
    >>> versions.rollback()
    'v0001'
    """

    def __init__(self, folder: str | Path, *, keep: int = 5) -> None:
        self.folder, self.keep = Path(folder), keep

    def names(self) -> list[str]:
        """Give all versions, oldest first."""
        return sorted((path.name for path in self.folder.glob("v[0-9]*") if path.is_dir()), key=_number)

    def about(self, name: str) -> dict[str, Any]:
        """Give what is kept beside a version; nothing is known of one that is gone."""
        file = self.folder / name / "about.json"
        found: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.is_file() else {}
        return found

    def current(self) -> str:
        """Name the version that is served. Raises ``CollectionNotFoundError``."""
        file = self.folder / _CURRENT
        if not file.is_file():
            raise CollectionNotFoundError(f"no recommender in {self.folder}; fit one: mmsdk recommend fit INTERACTIONS")
        return file.read_text("utf-8").strip()

    def publish(self, recommender: Recommender, *, about: Mapping[str, Any] | None = None) -> str:
        """Save a new version and make it current; ``about`` is kept beside it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with WriterLock(self.folder / "writer.lock"):
            there = self.names()
            name = f"v{_number(there[-1]) + 1 if there else 1:04d}"
            recommender.save(self.folder / name)
            note = {"made": time.time(), "items": len(recommender.data.items), **(about or {})}
            (self.folder / name / "about.json").write_text(json.dumps(note, ensure_ascii=False), "utf-8")
            self._point(name)
            for old in [version for version in self.names() if version != name][: -self.keep + 1 or None]:
                shutil.rmtree(self.folder / old)
        return name

    def rollback(self, version: str | None = None) -> str:
        """Make an older version current, without a name the one before. Raises ``InputError`` when there is none."""
        with WriterLock(self.folder / "writer.lock"):
            there, current = self.names(), self.current()
            older = [name for name in there if _number(name) < _number(current)]
            if version is None and not older:
                raise InputError(f"{current} is the oldest version; there are: {', '.join(there)}")
            chosen = version or older[-1]
            if chosen not in there:
                raise InputError(f"there is no version {chosen}; there are: {', '.join(there)}")
            self._point(chosen)
        return chosen

    def erase(self, user: Hashable) -> str:
        """Fit the current version again without a user, and delete all others: they held the user's interactions."""
        recommender, about = self.load(), self.about(self.current())
        erase(recommender, user)
        name = self.publish(recommender.refit(), about={**about, "made": time.time(), "refit": "a user was erased"})
        with WriterLock(self.folder / "writer.lock"):
            for old in self.names():
                if old != name:
                    shutil.rmtree(self.folder / old)
        return name

    def load(self) -> Recommender:
        """Read the current version."""
        return Recommender.load(self.folder / self.current())

    def _point(self, name: str) -> None:
        new = self.folder / f"{_CURRENT}.new"
        with new.open("w", encoding="utf-8") as file:
            file.write(name)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.folder / _CURRENT)


def _number(version: str) -> int:
    return int(version[1:])
