"""How a server opens what it stands on: tables that are up to date, and the keys that open their secrets."""

from service.settings import Settings
from service.store import schema
from service.store.database import Database
from service.store.secrets import Vault


async def open_database(settings: Settings) -> Database:
    """Open the database, up to date or not; the embedded one is made when it is missing."""
    if not settings.database_url:
        settings.database_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return await Database.open(settings.sqlalchemy_url)


async def open_store(settings: Settings) -> tuple[Database, Vault]:
    """Open database and keys; raises `Refused` in words that say what to do when they do not fit this code."""
    vault = Vault.open(settings.keys_file, create=False)
    db = await open_database(settings)
    try:
        await db.read(schema.require_current)
        await db.write(vault.check_canary)
    except BaseException:
        await db.close()
        raise
    return db, vault
