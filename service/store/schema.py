"""Which tables the database has and which this code needs: Alembic, run inside a transaction of ours."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from service.domain.errors import Refused

MIGRATIONS = Path(__file__).parent / "migrations"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def revision(conn: Connection) -> str | None:
    """The migration the database stands at, None when it is empty."""
    return MigrationContext.configure(conn).get_current_revision()


def check(conn: Connection) -> None:
    """Refuse a database that a newer version of Towpath has migrated."""
    current = revision(conn)
    if current is None:
        return
    try:
        ScriptDirectory.from_config(_config()).get_revision(current)
    except CommandError:
        raise Refused(
            f"The database is newer than this Towpath (it has migration {current}): "
            "start the version that last used it, or a later one"
        ) from None


def require_current(conn: Connection) -> None:
    """Refuse a database that lacks migrations which this code knows."""
    if revision(conn) != ScriptDirectory.from_config(_config()).get_current_head():
        raise Refused("The database's tables are not those of this Towpath yet: run towpath migrate")


def upgrade(conn: Connection) -> None:
    """Run the migrations that are missing, all or none."""
    check(conn)
    config = _config()
    config.attributes["connection"] = conn
    command.upgrade(config, "head")
