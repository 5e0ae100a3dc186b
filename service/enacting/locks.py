"""Locks against new code: a person sets one and takes it off; what waited for it goes on at once."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from service.domain.decisions import Subject, SubjectKind
from service.domain.deploy_lock import DeployLock, check_lockable, check_owner, check_terms
from service.domain.errors import Refused
from service.enact import SYSTEM, Committer, Transaction, app_or_refuse
from service.enacting.finding import pipeline_or_refuse
from service.store import deploy_locks


@dataclass(frozen=True, slots=True, kw_only=True)
class LockVerbs(Committer):
    """Each verb is one transaction, then rings. `actor` is who asks, as `user:EMAIL`."""

    async def lock_deploys(
        self,
        *,
        app_id: str | None = None,
        pipeline_id: str | None = None,
        reason: str,
        expires_at: datetime | None = None,
        seconds: float | None = None,
        actor: str,
    ) -> DeployLock:
        """Keep new code out of an app or of a pipeline's apps, until a time or for so many seconds if one is given.

        Its owner may change a lock so; one of somebody else is refused.
        """

        def lock(tx: Transaction) -> DeployLock:
            if app_id is not None:
                check_lockable(app_or_refuse(tx.conn, app_id))
            elif pipeline_id is not None:
                pipeline_or_refuse(tx.conn, pipeline_id)
            until = expires_at if seconds is None else tx.now + timedelta(seconds=seconds)
            words = check_terms(reason=reason, expires_at=until, now=tx.now)
            former = deploy_locks.of_target(tx.conn, app_id=app_id, pipeline_id=pipeline_id)
            if former is not None and former.is_in_force(tx.now):
                check_owner(former, actor)
            made = deploy_locks.put(
                tx.conn,
                app_id=app_id,
                pipeline_id=pipeline_id,
                actor=actor,
                reason=words,
                expires_at=until,
                now=tx.now,
            )
            found = _found(tx, made)
            changed = former is not None and former.id == made
            _note(tx, "deploy lock changed" if changed else "deploys locked", found)
            return found

        return await self.commit(lock, actor=actor)

    async def unlock_deploys(self, *, lock_id: str, force: bool, actor: str) -> DeployLock:
        """Take a lock off; somebody else's only with `force`, which is put on record as that."""

        def unlock(tx: Transaction) -> DeployLock:
            lock = _found(tx, lock_id)
            if not lock.is_in_force(tx.now):
                raise Refused("Couldn't find that deploy lock.", code="not_found")
            if not force:
                check_owner(lock, actor)
            remove(tx, lock, "deploys unlocked" if lock.actor == actor else "deploys unlocked by force")
            return lock

        return await self.commit(unlock, actor=actor)


def remove(tx: Transaction, lock: DeployLock, action: str) -> None:
    """Take a lock away for what `action` says and let what waited for it look again."""
    deploy_locks.remove(tx.conn, lock.id)
    _note(tx, action, lock)


def _found(tx: Transaction, lock_id: str) -> DeployLock:
    lock = deploy_locks.get(tx.conn, lock_id)
    if lock is None:
        raise Refused("Couldn't find that deploy lock.", code="not_found")
    return lock


def _note(tx: Transaction, action: str, lock: DeployLock) -> None:
    data = {"name": lock.name, "lock": lock.text}
    tx.note(action, app_id=lock.app_id, pipeline_id=lock.pipeline_id, data=data)
    waiting = [Subject(SubjectKind.AUTO_DEPLOY, app_id) for app_id in deploy_locks.waiting_apps(tx.conn, lock)]
    tx.ring(waiting, cause=action if tx.actor == SYSTEM else f"{action} by {tx.actor}")
