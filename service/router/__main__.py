"""The router process: owns the port, passes requests to apps and to the web process."""

import os
import resource
import socket
import sys
from contextlib import suppress

import uvloop

from service import ending
from service import log as logging
from service.domain.errors import Refused, Transient
from service.router.server import serve
from service.router.table import Route, RouteTable
from service.settings import BadSetting, Settings, from_environment
from service.store import routes, schema
from service.store.database import Database
from service.store.opening import open_database


async def run(settings: Settings) -> None:
    """Serve until SIGTERM; the listener is inherited, so that a restart refuses no connection."""
    db = await open_database(settings)
    try:
        with suppress(Transient):  # a database that is away for a moment is waited for below
            await db.read(schema.require_current)
        await _serve(settings, db)
    finally:
        await db.close()


async def _serve(settings: Settings, db: Database) -> None:
    async def load() -> RouteTable:
        version, rows = await db.read(lambda conn: (routes.version(conn), routes.load(conn)))
        table = {
            row.name: Route(
                app_id=row.app_id,
                app_name=row.name,
                state=row.state,  # type: ignore[arg-type]  # checked by whoever wrote it
                review=row.review,
                endpoints=row.endpoints,
            )
            for row in rows
        }
        return RouteTable(version=version, routes=table)

    async def version() -> int:
        return await db.read(routes.version)

    inherited = os.environ.get("TOWPATH_LISTEN_FD", "")
    listener = socket.socket(fileno=int(inherited)) if inherited else None
    try:
        await serve(
            settings=settings, load=load, version=version, host=None, port=settings.port, listener=listener,
            at_most=ending.MOST_SECONDS,
        )  # fmt: skip
    except OSError as error:
        raise Refused(
            f"Port {settings.port} cannot be listened on ({error.strerror}): choose another with --port."
        ) from None


def allow_connections() -> None:
    """Use all the descriptors that the system grants: shells and systemd begin with 1,024, a few hundred clients."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main() -> int:
    """Run the process."""
    allow_connections()
    try:
        settings = from_environment()
        logging.configure(settings.log_format)
        uvloop.run(run(settings))
    except (Refused, BadSetting) as error:
        print(str(error), file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
