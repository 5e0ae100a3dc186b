"""What people do to an app itself: make it, name it, end it."""

import secrets
from dataclasses import dataclass

from service.domain import names
from service.domain.access import ALL, Owner, Permission, Person, on_app
from service.domain.decisions import Destroy
from service.domain.errors import Refused
from service.domain.model import App
from service.enact import Committer, Transaction, app_or_refuse
from service.store import apps, grants, routes, spaces


@dataclass(frozen=True, slots=True, kw_only=True)
class AppVerbs(Committer):
    """Each verb is one transaction, then rings. `actor` is who asks, as `user:EMAIL`."""

    async def create_app(
        self, *, name: str | None, space: str | None, owner: Owner, by: Person | None = None, actor: str
    ) -> App:
        """Create an app in a space (`common` unless named), with a made-up name when none is given.

        Whoever makes one for their team, `by`, may manage it as far as their role there does not let them anyway.
        """

        def create(tx: Transaction) -> App:
            chosen = name or _made_up_name()
            names.check_app_name(chosen)
            found = {each.name: each for each in spaces.listing(tx.conn)}
            if (space or "common") not in found:
                raise Refused(f"Couldn't find the space {space}; there are: {', '.join(sorted(found))}.")
            home = found[space or "common"]
            app = apps.create(
                tx.conn,
                name=chosen,
                space_id=home.id,
                owner_id=owner.id,
                owner_type=owner.type,
                is_review=False,
                now=tx.now,
            )
            tx.note("app created", app_id=app.id)
            if by is not None and Permission.MANAGE not in on_app(by, owner, app.id):
                grants.put(tx.conn, app_id=app.id, user_id=by.id, permissions=ALL - {Permission.PROMOTE}, now=tx.now)
            return app

        return await self.commit(create, actor=actor)

    async def change_app(
        self,
        *,
        app_id: str,
        name: str | None = None,
        maintenance: bool | None = None,
        promotable: bool | None = None,
        actor: str,
    ) -> App:
        """Rename an app, switch its maintenance page, or say whether its slug is good for others and theirs for it."""

        def change(tx: Transaction) -> App:
            app = app_or_refuse(tx.conn, app_id)
            if name is not None and name != app.name:
                names.check_app_name(name)
                app = apps.rename(tx.conn, app=app, name=name, now=tx.now)
                tx.note("app renamed", app_id=app_id, data={"name": name})
            if maintenance is not None and maintenance != app.maintenance:
                app = apps.update(tx.conn, app=app, now=tx.now, maintenance=maintenance)
                tx.note("maintenance switched", app_id=app_id, data={"maintenance": maintenance})
            if promotable is not None and promotable != app.promotable:
                app = apps.update(tx.conn, app=app, now=tx.now, promotable=promotable)
                tx.note("promotable switched", app_id=app_id, data={"promotable": promotable})
            routes.refresh(tx.conn, app_id=app_id)
            return app

        changed = await self.commit(change, actor=actor)
        await self.queue.routes_changed()
        return changed

    async def destroy_app(self, *, app_id: str, actor: str) -> None:
        """Queue the app's end; everything before it is cancelled."""
        await self.commit(lambda tx: _destroy(tx, app_id), actor=actor)


def _destroy(tx: Transaction, app_id: str) -> None:
    app_or_refuse(tx.conn, app_id)
    reason = f"destroyed by {tx.actor}"
    tx.request(app_id, Destroy(ordered=True, reason=reason), reason=reason, by_person=True)


def _made_up_name() -> str:
    """Make a name as Heroku does: two words and a number that nobody has to remember."""
    first = secrets.choice(("calm", "clear", "deep", "green", "quiet", "slow", "still", "wide"))
    second = secrets.choice(("barge", "bank", "canal", "heron", "lock", "reed", "river", "willow"))
    return f"{first}-{second}-{secrets.randbelow(90000) + 10000}"
