"""The store's tests all use these."""

from pathlib import Path

import pytest

from service.store.secrets import Vault
from tests.store.fixtures import *  # noqa: F403


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault.open(tmp_path / "secret.keys", create=True)
