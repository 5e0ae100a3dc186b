"""Locks where work is taken up: one that came after the work was asked for keeps it out all the same."""

from collections.abc import Sequence

from sqlalchemy import Connection

from service.domain.decisions import Deploy
from service.domain.deploy_lock import DeployLock, refusal, refusal_of_push, waits_for
from service.domain.errors import Refused
from service.enact import Transaction
from service.enacting.locks import remove
from service.store import apps, deploy_locks, releases
from service.store.requests import TakenWork
from workers.context import Context


class Locked(Refused):
    """A lock came before this could be released."""


def check_unlocked(context: Context, taken: TakenWork, conn: Connection) -> None:
    """Raise `Locked` if the app is, unless the release is under way: that is not cut off.

    Asked in the transaction that begins the release, it leaves no moment for a lock to be overlooked in.
    """
    locks = deploy_locks.keeping_out(conn, taken.request.app_id, taken.work, context.db.now())
    app = apps.get(conn, taken.request.app_id) if locks else None
    if app is None:
        return
    made = releases.of_request(conn, taken.request.id)
    if made is None or not releases.is_fixed(conn, made.id):
        raise Locked(_words(taken, app.name, locks), code="conflict")


def _words(taken: TakenWork, app_name: str, locks: Sequence[DeployLock]) -> str:
    if not taken.request.by_person:
        return waits_for(locks)
    pushed = isinstance(taken.work, Deploy) and taken.work.pushed_to
    return refusal_of_push(app_name, locks) if pushed else refusal(app_name, locks)


def end_expired(tx: Transaction) -> None:
    """Take away the locks whose time is over, on record; they lock nothing since then, whoever looks."""
    for lock in deploy_locks.expired(tx.conn, tx.now):
        remove(tx, lock, "deploy lock expired")
