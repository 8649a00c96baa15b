"""Every built-in store passes the suite that is offered to third parties."""

from pathlib import Path

import pytest

from mmsdk.stores.local import LocalStore
from mmsdk.testing import StoreContract
from mmsdk.types import Store


class TestLocalStore(StoreContract):
    folder: Path

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "collection"

    def store(self) -> Store:
        return LocalStore(self.folder, encoders=self.encoders, create=True)
