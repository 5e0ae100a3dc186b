"""Bind an installation to the machine that holds what its workers keep."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from service.settings import Settings
from service.store import home
from service.store.database import Database

MACHINE_ID = Path("/etc/machine-id")


async def stay(db: Database, settings: Settings) -> None:
    """Note this machine as the one of the installation; raises `Refused`, with what to do, if that is another."""
    if not settings.database_url:
        return
    machine, name = _machine(settings.work_dir), os.uname().nodename
    await db.write(lambda conn: home.claim(conn, machine=machine, name=name))


def _machine(work: Path) -> str:
    """The machine's own id; where it has none, as in many containers, one that stays with what is kept."""
    with suppress(OSError):
        if known := MACHINE_ID.read_text().strip():
            return known
    kept = work / "machine-id"
    work.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        new = work / f"machine-id.{secrets.token_hex(4)}"
        new.write_text(secrets.token_hex(16))
        try:
            kept.hardlink_to(new)  # whole at once: another worker may start at the same moment
        finally:
            new.unlink()
    return kept.read_text()
