"""Locks: a person keeps new code out of an app, or of a pipeline's apps, until somebody or the time lifts the lock.

New code is what a deploy, a promotion or a slug that is tried once more brings. What looks after the code that is there
goes on: config, scaling, restarts, and rollbacks, because a lock is often the answer to an incident and the way back to
what ran before must not need a key. Review apps are never locked: they touch nobody but their pull request.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NewType, assert_never

from service.domain.decisions import (
    ChangeConfig,
    Deploy,
    DeployArchive,
    Destroy,
    ReleaseSlug,
    Restart,
    Rollback,
    Scale,
    Suspend,
    Work,
)
from service.domain.errors import Refused
from service.domain.model import App, AppId, PipelineId, Stage

LockId = NewType("LockId", str)

LOCKABLE: Final = frozenset({Stage.DEVELOPMENT, Stage.STAGING, Stage.PRODUCTION})
"""The stages whose apps a pipeline's lock covers."""
LONGEST_REASON: Final = 200
LONGEST: Final = timedelta(days=366)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployLock:
    """Who locked an app or a pipeline (the other id is None), why, and until when; None is until it is taken off.

    `name` is the app's or the pipeline's.
    """

    id: LockId
    app_id: AppId | None
    pipeline_id: PipelineId | None
    name: str
    actor: str
    reason: str
    expires_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @property
    def owner(self) -> str:
        """Who locked it, as people call them."""
        return self.actor.removeprefix("user:")

    @property
    def text(self) -> str:
        """The lock in one line."""
        until = "" if self.expires_at is None else f" until {_shown(self.expires_at)}"
        return f"locked by {self.owner}{until}: {self.reason}"

    @property
    def as_read(self) -> str:
        """The lock with what it says, for whoever has read that; made for another reason or time, it is another."""
        return f"{self.id}:{hashlib.sha256(self.text.encode()).hexdigest()[:16]}"

    @property
    def unlock_command(self) -> str:
        """What takes it off."""
        return f"towpath unlock {'-a' if self.app_id is not None else '-p'} {self.name}"

    def is_in_force(self, now: datetime) -> bool:
        """Whether it still keeps anything out."""
        return self.expires_at is None or self.expires_at > now


def check_terms(*, reason: str, expires_at: datetime | None, now: datetime) -> str:
    """The reason as it is kept; raises `Refused` for one that says nothing and for a time that is over."""
    words = " ".join(reason.split())
    if not words:
        raise Refused("reason: say why, for those who will find it locked")
    if not words.isprintable():
        raise Refused("reason: holds characters that cannot be shown")
    if len(words) > LONGEST_REASON:
        raise Refused(f"reason: {len(words)} characters are too many, {LONGEST_REASON} are read")
    if expires_at is not None and expires_at <= now:
        raise Refused(f"expires_at: {expires_at.isoformat()} is over already, it is {_shown(now)}")
    if expires_at is not None and expires_at - now > LONGEST:
        raise Refused(f"expires_at: a lock lasts {LONGEST.days} days at most, or without a time until it is taken off")
    return words


def check_lockable(app: App) -> None:
    """Refuse a lock on a review app."""
    if app.is_review:
        raise Refused(f"{app.name} is a review app: it follows its pull request and cannot be locked.")


def check_owner(lock: DeployLock, actor: str) -> None:
    """Refuse to change what somebody else has locked."""
    if lock.actor != actor:
        raise Refused(
            f"{lock.name} is {lock.text}. It stays as {lock.owner} made it; to take it off first: "
            f"{lock.unlock_command} --force",
            code="conflict",
        )


def new_code(work: Work) -> Deploy | DeployArchive | ReleaseSlug | None:
    """The work if it brings new code, which is what locks are about."""
    match work:
        case Deploy() | DeployArchive() | ReleaseSlug():
            return work
        case ChangeConfig() | Rollback() | Scale() | Restart() | Suspend() | Destroy():
            return None
        case _:
            assert_never(work)


def in_the_way(work: Work, locks: Iterable[DeployLock], *, now: datetime) -> tuple[DeployLock, ...]:
    """Which of an app's locks keep the work out; those that it was allowed to go past do not."""
    code = new_code(work)
    if code is None:
        return ()
    return tuple(lock for lock in locks if lock.is_in_force(now) and lock.id not in code.past_locks)


def waits_for(locks: Iterable[DeployLock]) -> str:
    """What an automatic deploy waits for, in one line."""
    return "; ".join(lock.text for lock in locks)


def lifted_at(locks: Iterable[DeployLock]) -> datetime | None:
    """When the first of them lifts by itself; None if none does."""
    return min((lock.expires_at for lock in locks if lock.expires_at is not None), default=None)


def refusal(app_name: str, locks: Iterable[DeployLock]) -> str:
    """Why a person's deploy or promotion does not run, and what to do about it."""
    found = tuple(locks)
    unlock = " and ".join(lock.unlock_command for lock in found)
    return (
        f"{app_name} is {waits_for(found)}. Take the lock off ({unlock}), or go past it, which is put on record: "
        "--override-lock"
    )


def refusal_of_push(app_name: str, locks: Iterable[DeployLock]) -> str:
    """Why what was pushed is not deployed; git has no way to say that a lock is to be gone past."""
    found = tuple(locks)
    unlock = " and ".join(lock.unlock_command for lock in found)
    return f"{app_name} is {waits_for(found)}. Take the lock off ({unlock}), then push again."


def _shown(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
