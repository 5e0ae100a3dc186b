"""What workers keep is on one machine: one elsewhere on the same database says so and does nothing."""

from pathlib import Path

import pytest

from service.domain.errors import Refused
from service.settings import Settings
from service.store import home as noted
from service.store.database import Database
from service.store.secrets import new_key_line
from tests.cli.conftest import Cli, offline
from tests.store.fixtures import postgresql_database, postgresql_server, postgresql_template, postgresql_url
from workers import home

__all__ = ["offline", "postgresql_database", "postgresql_server", "postgresql_template", "postgresql_url"]


@pytest.fixture
def here(postgresql_url: str, tmp_path: Path) -> Settings:
    return Settings(data=tmp_path, database_url=postgresql_url)


async def test_a_worker_on_another_machine_does_not_start_and_says_what_to_do(
    offline: Cli, here: Settings, postgresql_database: Database, short_tmp: Path
) -> None:
    env = {"TOWPATH_DATABASE_URL": here.database_url, "TOWPATH_DATA": str(short_tmp)}
    await offline("migrate", **env)
    (short_tmp / "secret.keys").touch(mode=0o600)
    (short_tmp / "secret.keys").write_text(new_key_line())
    await postgresql_database.write(lambda conn: noted.claim(conn, machine="f00d", name="attic"))

    done = await offline("worker", code=1, **env)

    assert "the installation on the machine attic" in done.err
    assert "TOWPATH_DATABASE_URL" in done.err
    assert "towpath migrate --moved" in done.err
    await offline("migrate", "--moved", **env)
    await home.stay(postgresql_database, here)
    with pytest.raises(Refused, match="belongs to the installation on the machine"):
        await postgresql_database.write(lambda conn: noted.claim(conn, machine="f00d", name="attic"))


async def test_workers_of_one_machine_share_a_database(here: Settings, postgresql_database: Database) -> None:
    for _ in range(2):
        await home.stay(postgresql_database, here)


async def test_where_a_machine_has_no_id_the_one_beside_its_slugs_counts(
    here: Settings, postgresql_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home, "MACHINE_ID", tmp_path / "nothing")
    for _ in range(2):
        await home.stay(postgresql_database, here)
    (tmp_path / "work/machine-id").unlink()
    with pytest.raises(Refused, match="towpath migrate --moved"):
        await home.stay(postgresql_database, here)
    assert list((tmp_path / "work").iterdir()) == [tmp_path / "work/machine-id"]
