"""The API's tests run on SQLite; that the store behaves alike on PostgreSQL is tested with the store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.store.database import Database
from service.store.secrets import Vault
from tests.store.fixtures import sqlite_database, sqlite_template  # noqa: F401
from tests.web.serving import Server, serving


@pytest.fixture
async def server(sqlite_database: Database, tmp_path: Path) -> AsyncIterator[Server]:  # noqa: F811
    vault = Vault.open(tmp_path / "secret.keys", create=True)
    async with serving(sqlite_database, vault, tmp_path) as running:
        yield running
