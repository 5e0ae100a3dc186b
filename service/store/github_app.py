"""Our own GitHub App as the set-up's pages made it: at most one, its secrets sealed.

The router and Redis see the database or nothing of it, but not the keys file, so they cannot open what is here. The web
process can: it checks webhooks with the secret, speaks to GitHub when a person connects a repository, and has the
private key in its hands anyway when GitHub gives it out. So the key is readable for web and workers and nobody else,
as a key in a file of the environment is.
"""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, select

from service.store import rows
from service.store.secrets import Vault
from service.store.tables import github_app


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHubApp:
    """The App with its secrets. `html_url` is its public page, below which people install it."""

    id: int
    slug: str
    name: str
    html_url: str
    private_key: str = field(repr=False)
    webhook_secret: str = field(repr=False)
    client_id: str = ""
    client_secret: str = field(default="", repr=False)


_SEALED = ("private_key", "webhook_secret", "client_id", "client_secret")


def secrets_context(app_id: int) -> str:
    """What the sealed part is bound to."""
    return f"github-app:{app_id}"


def save(conn: Connection, vault: Vault, app: GitHubApp, now: datetime) -> None:
    """Keep the App, in the place of a former one."""
    sealed = vault.seal_vars({name: getattr(app, name) for name in _SEALED}, secrets_context(app.id))
    shown = {"id": app.id, "slug": app.slug, "name": app.name, "html_url": app.html_url}
    conn.execute(github_app.delete())
    conn.execute(github_app.insert().values(**shown, sealed=sealed, created_at=now, updated_at=now))


def version(conn: Connection) -> tuple[int, datetime] | None:
    """What differs when there is another App than before; None without one. Cheap enough to be asked every second."""
    row = conn.execute(select(github_app.c.id, github_app.c.updated_at)).first()
    return None if row is None else (row.id, row.updated_at)


def get(conn: Connection, vault: Vault) -> GitHubApp | None:
    """The App; raises `Refused` when the keys file does not open its secrets."""
    row = rows.one(conn, select(github_app))
    if row is None:
        return None
    opened = vault.unseal_vars(row["sealed"], secrets_context(row["id"]))
    return GitHubApp(id=row["id"], slug=row["slug"], name=row["name"], html_url=row["html_url"], **opened)
