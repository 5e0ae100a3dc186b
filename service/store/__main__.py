"""Prepare the database: `migrate` brings its tables up to date, `prepare` also makes what a first start needs.

`prepare` prints {"api_token": ..., "github_app": ...} for whoever starts the servers: a token given on standard input
is kept if it is still good, and the App is the one that was set up, if any. `rotate` seals all secrets with the newest
key.
"""

import asyncio
import json
import sys
from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from service.domain.access import TokenScope
from service.domain.errors import Refused, Transient
from service.settings import BadSetting, Settings, from_environment
from service.store import github_app, home, spaces, tokens, users
from service.store.opening import open_database, open_store
from service.store.rotation import rotate
from service.store.secrets import Vault


async def prepare(settings: Settings, *, token: str) -> dict[str, str]:
    """Migrate, check the keys, make the first space, user and token; returns a token that is good, and the App."""
    vault = await asyncio.to_thread(Vault.open, settings.keys_file, create=True)
    db = await open_database(settings)
    try:
        await db.migrate()

        def first(conn: Connection) -> dict[str, str]:
            vault.check_canary(conn)
            now = db.now()
            spaces.ensure(conn, name="common", driver=settings.platform, now=now)
            user_id = users.ensure_embedded_user(conn, now=now)
            app = github_app.get(conn, vault)
            told = {"github_app": f"{app.name} ({app.id})" if app else ""}
            if token and _is_good(conn, token, user_id, now):
                return {"api_token": token, **told}
            _, secret = tokens.create(conn, user_id=user_id, description="towpath up", now=now)
            return {"api_token": secret, **told}

        return await db.write(first)
    finally:
        await db.close()


def _is_good(conn: Connection, secret: str, user_id: str, now: datetime) -> bool:
    """Whether it is a token of that user, for everything: whoever wrote the file may have put in another one."""
    token = tokens.by_secret(conn, secret, now)
    return token is not None and token.user_id == user_id and TokenScope.GLOBAL in token.scopes


async def migrate(settings: Settings, *, moved: bool = False) -> None:
    """Only bring the tables up to date; with `moved` the installation is where its worker starts next."""
    db = await open_database(settings)
    try:
        await db.migrate()
        if moved:
            await db.write(home.forget)
    finally:
        await db.close()


async def reseal(settings: Settings) -> int:
    """Seal every secret with the newest key of the keys file; returns how many were sealed with an older one."""
    db, vault = await open_store(settings)
    try:
        return await db.write(lambda conn: rotate(conn, vault))
    finally:
        await db.close()


def main() -> int:
    """Run the step named by the first argument."""
    try:
        settings = from_environment()
        if sys.argv[1:2] == ["migrate"]:
            asyncio.run(migrate(settings, moved="--moved" in sys.argv))
        elif sys.argv[1:] == ["rotate"]:
            count = asyncio.run(reseal(settings))
            print(f"Sealed {count} secrets with the newest key; older keys can be taken out of {settings.keys_file}")  # noqa: T201
        else:
            print(json.dumps(asyncio.run(prepare(settings, token=sys.stdin.read().strip()))))  # noqa: T201
    except (Refused, BadSetting, Transient, OSError) as error:
        print(str(error), file=sys.stderr)  # noqa: T201
        return 1
    except DBAPIError as error:  # a full disk, a table that somebody else's hands have changed
        print(f"The database cannot be used: {error.orig}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
