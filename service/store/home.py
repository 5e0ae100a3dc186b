"""Which machine an installation is on: its slugs, mirrors and apps are there, and a worker elsewhere would find none.

Only a database that others can reach has to say so: the embedded one lies beside all that.
"""

from sqlalchemy import Connection, delete, insert, select

from service.domain.errors import Refused
from service.store.tables import meta

_MACHINE = "machine"


def claim(conn: Connection, *, machine: str, name: str) -> None:
    """Note the machine by its id and name as the installation's; raises `Refused` if that is another."""
    noted = conn.execute(select(meta.c.value).where(meta.c.name == _MACHINE)).scalar()
    if noted is None:
        conn.execute(insert(meta).values(name=_MACHINE, value=f"{machine} {name}".encode()))
        return
    known, _, there = bytes(noted).decode().partition(" ")
    if known != machine:
        raise Refused(
            f"This database belongs to the installation on the machine {there}: its slugs, mirrors, logs and apps are "
            "there. Start workers there only, or give this machine a database of its own by TOWPATH_DATABASE_URL. "
            "If the installation has moved here with its data directory: towpath migrate --moved"
        )


def forget(conn: Connection) -> None:
    """Let the next worker's machine be the installation's."""
    conn.execute(delete(meta).where(meta.c.name == _MACHINE))
