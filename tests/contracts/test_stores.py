"""Every built-in store passes the suite that is offered to third parties."""

from pathlib import Path

import pytest

from mmsdk.protocols import Store
from mmsdk.stores.local import LocalStore
from mmsdk.testing import StoreContract


class TestLocalStore(StoreContract):
    folder: Path

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "collection"

    def store(self) -> Store:
        return LocalStore(self.folder, encoders=self.encoders, create=True)
