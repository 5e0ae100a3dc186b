"""Whose apps and pipelines are, and who else may do something to an app."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from service.domain.access import (
    NONE,
    Owner,
    Party,
    Permission,
    Permissions,
    Person,
    check_grant,
    check_taking,
    check_transfer,
    owner_of,
)
from service.domain.errors import Refused
from service.domain.model import App, AppState, Pipeline
from service.enact import Committer, Transaction, app_or_refuse
from service.enacting.finding import pipeline_or_refuse
from service.store import apps, grants, pipelines, sight, teams, users, webhooks
from service.store.grants import Grant, Transfer, TransferState

NOTHING_LEFT: Final = "Say at least one thing that they may do. To take everything back, remove them."


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnershipVerbs(Committer):
    """Each verb is one transaction. `actor` is who asks, as `user:EMAIL`, and `by` the same person."""

    async def grant(self, *, app_id: str, user_id: str, permissions: Permissions, by: Person, actor: str) -> Grant:
        """Let a user do exactly these to an app, beside what follows from whose it is."""

        def put(tx: Transaction) -> Grant:
            app, former = app_or_refuse(tx.conn, app_id), grants.find(tx.conn, app_id, user_id)
            check_grant(sight.to_app(by, app), app.name, former=former.permissions if former else NONE, to=permissions)
            grants.put(tx.conn, app_id=app_id, user_id=user_id, permissions=permissions, now=tx.now)
            grant = grants.find(tx.conn, app_id, user_id)
            assert grant is not None
            tx.note("access given", app_id=app_id, data={"email": grant.email, "permissions": sorted(permissions)})
            return grant

        return await self.commit(put, actor=actor)

    async def change_grant(
        self, *, app_id: str, user_id: str, seen: Permissions, to: Permissions, by: Person, actor: str
    ) -> None:
        """Change what a user was granted on an app by what differs between `seen`, which a page showed, and `to`.

        What others gave or took meanwhile stays as they made it; refused if nothing at all would be left.
        """

        def change(tx: Transaction) -> None:
            app, former = app_or_refuse(tx.conn, app_id), grants.find(tx.conn, app_id, user_id)
            if former is None:
                raise Refused("They have not been let in, or not any more. Nothing was changed.")
            before = former.permissions | {Permission.VIEW}  # which comes with any
            after = before - (seen - to) | (to - seen)
            if not after:
                raise Refused(NOTHING_LEFT)
            if after == before:
                return
            check_grant(sight.to_app(by, app), app.name, former=before, to=after)
            grants.put(tx.conn, app_id=app_id, user_id=user_id, permissions=after, now=tx.now)
            tx.note("access given", app_id=app_id, data={"email": former.email, "permissions": sorted(after)})

        await self.commit(change, actor=actor)

    async def ungrant(self, *, app_id: str, grant: Grant, actor: str) -> None:
        """Take back what a user was granted on an app."""

        def remove(tx: Transaction) -> None:
            grants.remove(tx.conn, app_id=app_id, user_id=grant.user_id)
            tx.note("access taken", app_id=app_id, data={"email": grant.email})

        await self.commit(remove, actor=actor)

    async def transfer_app(self, *, app_id: str, to: Owner, by: Person, actor: str) -> App:
        """Give an app to another owner, as far as the rules allow."""

        def transfer(tx: Transaction) -> App:
            app = app_or_refuse(tx.conn, app_id)
            _check_transfer(tx.conn, by, app, f"App {app.name}", to)
            return _give_app(tx, app, to)

        return await self.commit(transfer, actor=actor)

    async def transfer_pipeline(self, *, pipeline_id: str, to: Owner, by: Person, actor: str) -> Pipeline:
        """Give a pipeline with all apps of its owner to another; one that nobody owns is taken alone."""

        def transfer(tx: Transaction) -> Pipeline:
            pipeline = pipeline_or_refuse(tx.conn, pipeline_id)
            former, what = owner_of(pipeline), f"Pipeline {pipeline.name}"
            inside = [app for app, _ in pipelines.members(tx.conn, pipeline.id) if app.state is not AppState.GONE]
            if former is None:
                owners = [owner_of(app) for app in inside]
                check_taking(by, what=what, to=_party(tx.conn, to), app_owners=owners)
            else:
                _check_transfer(tx.conn, by, pipeline, what, to)
                for app in inside:
                    if owner_of(app) == former:
                        _give_app(tx, app, to)
            webhooks.leave_owner(tx.conn, pipeline_ids=[pipeline.id], now=tx.now)
            given = pipelines.update(tx.conn, pipeline=pipeline, now=tx.now, owner_id=to.id, owner_type=to.type)
            tx.note("pipeline transferred", pipeline_id=pipeline.id, data=_moved(tx.conn, former, to))
            return given

        return await self.commit(transfer, actor=actor)

    async def offer_app(self, *, app_id: str, recipient: users.User, by: Person, actor: str) -> Transfer:
        """Offer an app of a team to one of its members, who may accept it; one's own offer is accepted at once."""
        to = Owner(type="user", id=recipient.id)

        def offer(tx: Transaction) -> Transfer:
            app = app_or_refuse(tx.conn, app_id)
            _check_transfer(tx.conn, by, app, f"App {app.name}", to)
            made = grants.offer(tx.conn, app_id=app_id, sender_id=by.id, recipient_id=recipient.id, now=tx.now)
            tx.note("app offered", app_id=app_id, data={"to": recipient.email})
            if recipient.id != by.id:
                return made
            _give_app(tx, app, to)
            return grants.end_transfer(tx.conn, made.id, state=TransferState.ACCEPTED, now=tx.now)

        return await self.commit(offer, actor=actor)

    async def answer_offer(self, *, transfer: Transfer, accept: bool, actor: str) -> Transfer:
        """Accept or decline an app that was offered; whoever offered it must still be allowed to."""
        to = Owner(type="user", id=transfer.recipient_id)
        state = TransferState.ACCEPTED if accept else TransferState.DECLINED

        def answer(tx: Transaction) -> Transfer:
            offer = _pending(tx.conn, transfer)
            app, sender = app_or_refuse(tx.conn, offer.app_id), users.get(tx.conn, offer.sender_id)
            if accept and sender is not None:
                _check_transfer(tx.conn, sight.person(tx.conn, sender), app, f"App {app.name}", to)
                _give_app(tx, app, to)
            elif not accept:
                tx.note("app declined", app_id=app.id, data={"from": None if sender is None else sender.email})
            return grants.end_transfer(tx.conn, offer.id, state=state, now=tx.now)

        return await self.commit(answer, actor=actor)

    async def withdraw_offer(self, *, transfer: Transfer, actor: str) -> None:
        """Take an offer back."""

        def withdraw(tx: Transaction) -> None:
            grants.withdraw(tx.conn, _pending(tx.conn, transfer).id)
            to = users.get(tx.conn, transfer.recipient_id)
            tx.note("app offer withdrawn", app_id=transfer.app_id, data={"to": None if to is None else to.email})

        await self.commit(withdraw, actor=actor)


def _pending(conn: Connection, offer: Transfer) -> Transfer:
    """The offer as it is now; refused once it is over."""
    now = grants.transfer(conn, offer.id)
    if now is None or now.state is not TransferState.PENDING:
        raise Refused("This transfer is over.")
    return now


def _check_transfer(conn: Connection, by: Person, it: App | Pipeline, what: str, to: Owner) -> None:
    former = owner_of(it)
    if former is not None:
        check_transfer(by, what=what, former=_party(conn, former), to=_party(conn, to))
    elif not by.is_admin:
        raise Refused(f"{what} belongs to nobody: it takes an administrator to give it away.", code="forbidden")


def _give_app(tx: Transaction, app: App, to: Owner) -> App:
    if to.type == "user":
        # Whom the team had let in are not the new owner's guests: that is for the owner to say.
        grants.remove_of_app(tx.conn, app.id)
    elif app.owner_type == "team":
        # Nor another team's; leaving the former one would take nothing away from them any more.
        grants.remove_of_strangers(tx.conn, app_id=app.id, team_id=to.id)
    webhooks.leave_owner(tx.conn, app_ids=[app.id], now=tx.now)
    given = apps.update(tx.conn, app=app, now=tx.now, owner_id=to.id, owner_type=to.type)
    tx.note("app transferred", app_id=app.id, data=_moved(tx.conn, owner_of(app), to))
    return given


def _moved(conn: Connection, former: Owner | None, to: Owner) -> dict[str, str | None]:
    return {"from": _party(conn, former).name if former else None, "to": _party(conn, to).name}


def _party(conn: Connection, owner: Owner) -> Party:
    """An owner by their name. Whoever owned something and is gone has none."""
    if owner.type == "team":
        team = teams.find(conn, owner.id)
        return Party(owner=owner, name=team.name if team else "a team that is gone")
    user = users.get(conn, owner.id)
    name = user.email if user else "a user who is gone"
    return Party(owner=owner, name=name, teams=teams.of_user(conn, owner.id))
