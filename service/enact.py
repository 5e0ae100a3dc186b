"""Decisions become rows here, and only here: the one writer of work.

Everything a plan, a person or a timer wants ends as rows and an activity entry in one transaction, followed by rings.
`Enactor` is what the API calls; `enact` carries out what a plan decided.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar, assert_never

from sqlalchemy import Connection

from service.domain.decisions import (
    ChangeConfig,
    CreateReviewApp,
    Decision,
    Destroy,
    Look,
    Nothing,
    ReleaseSlug,
    Request,
    Restart,
    Rollback,
    Scale,
    SetReview,
    Subject,
    SubjectKind,
    Wait,
    Work,
)
from service.domain.deploy_lock import refusal
from service.domain.errors import Refused, Transient
from service.domain.model import App, QueuedRequest, Release, ReviewApp, ReviewState, Sha, Stage
from service.domain.review_rules import OVER, OVER_CAP
from service.queue import Queue, Ring, deliver, look, reconcile, work
from service.store import (
    activity,
    apps,
    causes,
    changes,
    deploy_locks,
    facts,
    logs,
    pipelines,
    promotions,
    releases,
    requests,
    reviews,
    spaces,
    subjects,
    telling,
)
from service.store.database import Conflict, Database
from service.store.secrets import Vault

Result = TypeVar("Result")
SYSTEM = telling.SYSTEM
ATTEMPTS = 3
WROTE: ContextVar[bool] = ContextVar("wrote", default=False)
"""Whether this task may have committed something."""


@dataclass(slots=True)
class Transaction:
    """What one transaction writes and whom it wakes when it is committed."""

    conn: Connection
    now: datetime
    actor: str
    vault: Vault
    rings: list[Ring] = field(default_factory=list)

    def ring(self, wanted: Iterable[Subject], *, cause: str) -> None:
        """Ask for reconciles."""
        wanted = list(wanted)
        subjects.ring(self.conn, wanted, cause=cause, now=self.now)
        self.rings.extend(reconcile(subject) for subject in wanted)

    def show_review(self, review: ReviewApp) -> None:
        """Bring the check of the review app's commit up to date, and let its plan look again."""
        check = Subject(SubjectKind.CHECK, f"{review.pipeline_id}/{review.sha}")
        self.ring(
            [check, Subject(SubjectKind.REVIEW_APP, f"{review.pipeline_id}/{review.ref}")], cause="review app changed"
        )

    def show_comment(self, review: ReviewApp) -> None:
        """Bring the comment on its pull request up to date."""
        kind, _, number = review.ref.partition(":")
        if kind == "pr":
            comment = Subject(SubjectKind.COMMENT, f"{review.repository_id}/{number}")
            self.ring([comment], cause="review app changed")

    def ring_waiting(self, pipeline_id: str) -> None:
        """The queue for a place has moved: the first may have it, the others show where they are now."""
        waiting = reviews.waiting(self.conn, pipeline_id=pipeline_id, reason=OVER_CAP)
        rung = [Subject(SubjectKind.REVIEW_APP, f"{pipeline_id}/{review.ref}") for review in waiting]
        self.ring(rung, cause="the queue for a place has moved")

    def note(self, action: str, **of: Any) -> None:
        """Append to the activity log."""
        activity.record(self.conn, now=self.now, actor=self.actor, action=action, **of)

    def request(
        self, app_id: str, wanted: Work, *, reason: str, by_person: bool, sealed: bytes | None = None
    ) -> QueuedRequest:
        """Queue work for an app and tell everybody whom it concerns; refused while a lock keeps it out."""
        if locked := self.why_locked(app_id, wanted):
            raise Refused(locked, code="conflict")
        leaving = apps.get(self.conn, app_id) if isinstance(wanted, Destroy) else None
        queued = requests.add(
            self.conn,
            app_id=app_id,
            work=wanted,
            actor=self.actor,
            reason=reason,
            by_person=by_person,
            now=self.now,
            sealed=sealed,
        )
        self.rings.append(work(app_id))
        data = {"kind": queued.kind, "reason": reason, **_touched(wanted)}
        self.note("requested", app_id=app_id, sha=queued.sha, data=data)
        if queued.sha is not None:
            self.show_commit(app_id, queued.sha)
        self._number(queued, wanted)
        for ended in requests.displaced_by(self.conn, queued.id):
            self.show_end(ended)
        if leaving is not None:
            self._goes(leaving, reason)
        return queued

    def why_locked(self, app_id: str, wanted: Work) -> str:
        """Say why a lock keeps the work out and what to do about it; empty if none does."""
        locks = deploy_locks.keeping_out(self.conn, app_id, wanted, self.now)
        app = apps.get(self.conn, app_id) if locks else None
        return refusal(app.name, locks) if app is not None else ""

    def go_past_locks(self, app_id: str, *, asked: bool, as_read: Collection[str] | None = None) -> tuple[str, ...]:
        """The ids of an app's locks that a person goes past if `asked`, on record; only those `as_read`, if known."""
        there = deploy_locks.of_app(self.conn, app_id) if asked else []
        locks = [each for each in there if each.is_in_force(self.now) and (as_read is None or each.as_read in as_read)]
        for lock in locks:
            self.note("deploy lock overridden", app_id=app_id, data={"name": lock.name, "lock": lock.text})
        return tuple(lock.id for lock in locks)

    def _number(self, queued: QueuedRequest, wanted: Work) -> None:
        """Give what needs no build its release and number at once; what it runs is settled when its turn comes."""
        change: ReleaseSlug | Release | None = None
        match wanted:
            case ReleaseSlug():
                change = wanted
            case Rollback(release_id=former):
                change = releases.get(self.conn, former)
            case ChangeConfig():
                pass
            case _:
                return
        made = releases.create(
            self.conn,
            app_id=queued.app_id,
            request_id=queued.id,
            slug_id=change.slug_id if change else None,
            commit=change.commit if change else None,
            repository_id=change.repository_id if change else None,
            description=wanted.description if isinstance(wanted, ReleaseSlug) else queued.reason,
            actor=self.actor,
            log_id=logs.open_log(self.conn, self.now),
            now=self.now,
        )
        self.show_release(made.id)

    def _goes(self, app: App, reason: str) -> None:
        changes.note(self.conn, app, apps.get(self.conn, app.id) or app)
        review = reviews.of_app(self.conn, app.id)
        if review is not None and review.state not in (ReviewState.DESTROYING, ReviewState.DESTROYED):
            reviews.update(self.conn, review=review, now=self.now, state=ReviewState.DESTROYING, reason=reason)
            self.show_commit(app.id, review.sha)

    def show_end(self, ended: QueuedRequest) -> None:
        """Note that a request is over and bring what GitHub shows of its commit and release up to date."""
        of = {"app_id": ended.app_id, "sha": ended.sha}
        self.note(f"{ended.kind} {ended.state.value}", **of, data={"outcome": ended.reason})
        self.ring(promotions.wholes(self.conn, ended.id), cause="a target has ended")
        release = releases.of_request(self.conn, ended.id)
        if release is not None:
            self.show_release(release.id)
        sha = ended.sha or (release.commit if release else None)
        if sha is not None:
            self.show_commit(ended.app_id, sha)

    def show_release(self, release_id: str) -> None:
        """Bring the release's deployment on GitHub up to date."""
        self.ring([Subject(SubjectKind.GITHUB_DEPLOYMENT, release_id)], cause="release changed")

    def show_commit(self, app_id: str, sha: str) -> None:
        """Bring the commit's check on GitHub up to date."""
        coupling = pipelines.coupling_of(self.conn, app_id)
        if coupling is not None:
            self.ring([Subject(SubjectKind.CHECK, f"{coupling.pipeline_id}/{sha}")], cause="app changed")


def _touched(wanted: Work) -> dict[str, Any]:
    """What work changes; of the config vars or process types that are named app.json has no say from then on."""
    match wanted:
        case ChangeConfig(set_keys=given, unset_keys=unset):
            return {"names": sorted({*given, *unset})}
        case Scale(formation=formation):
            return {"names": sorted(formation), "formation": dict(formation)}
        case Restart(process=process) if process:
            return {"process": process}
        case _:
            return {}


def enact(tx: Transaction, subject: Subject, decisions: Iterable[Decision]) -> tuple[str, str, datetime | None]:
    """Carry out a plan's decisions; returns (outcome, reason, when to look again)."""
    outcome, reasons, due_at, actor = "nothing", [], None, tx.actor
    for decision in decisions:
        tx.actor = causes.of(tx.conn, subject, decision) if actor == SYSTEM else actor
        match decision:
            case Request(app_id=app_id, work=wanted, reason=reason, by_person=by_person):
                tx.request(app_id, wanted, reason=reason, by_person=by_person)
                outcome = "requested"
            case CreateReviewApp(reason=reason):
                _create_review_app(tx, decision)
                outcome = "requested"
            case SetReview(reason=reason):
                _set_review(tx, decision)
            case Look(fact=fact, why=reason):
                facts.want(tx.conn, fact, waiter=subject, now=tx.now)
                tx.rings.append(look(fact))
                outcome = "looking"
            case Wait(reason=reason, until=until):
                outcome = "waiting"
                due_at = until if due_at is None or (until is not None and until < due_at) else due_at
            case Nothing(reason=reason):
                pass
            case _:
                assert_never(decision)
        reasons.append(reason)
    tx.actor = actor
    return outcome, "; ".join(dict.fromkeys(reason for reason in reasons if reason)), due_at


def _create_review_app(tx: Transaction, wanted: CreateReviewApp) -> None:
    pipeline = pipelines.get(tx.conn, wanted.pipeline_id)
    latest = _latest(tx, wanted.pipeline_id, wanted.repository_id, wanted.ref)
    if pipeline is None:
        return
    space = spaces.ensure(tx.conn, name="common", driver="process", now=tx.now)
    app = apps.create(
        tx.conn,
        name=wanted.name,
        space_id=space.id,
        owner_id=pipeline.owner_id,
        owner_type=pipeline.owner_type,
        is_review=True,
        now=tx.now,
        pipeline_id=wanted.pipeline_id,
    )
    pipelines.couple(tx.conn, app_id=app.id, pipeline_id=wanted.pipeline_id, stage=Stage.REVIEW, now=tx.now)
    if latest is None or latest.app_id is not None or latest.state in OVER:
        latest = reviews.create(
            tx.conn,
            pipeline_id=wanted.pipeline_id,
            repository_id=wanted.repository_id,
            ref=wanted.ref,
            generation=latest.generation + 1 if latest else 1,
            app_id=app.id,
            state=ReviewState.CREATING,
            reason=wanted.reason,
            sha=wanted.deploy.sha,
            branch=wanted.deploy.branch,
            by_person=wanted.by_person,
            now=tx.now,
        )
    else:
        reviews.update(
            tx.conn,
            review=latest,
            now=tx.now,
            app_id=app.id,
            state=ReviewState.CREATING,
            reason=wanted.reason,
            sha=wanted.deploy.sha,
            branch=wanted.deploy.branch,
            by_person=wanted.by_person,
        )
        _show_moved(tx, latest, wanted.deploy.sha)
    tx.note("review app created", app_id=app.id, pipeline_id=wanted.pipeline_id, ref=wanted.ref, sha=wanted.deploy.sha)
    tx.request(app.id, wanted.deploy, reason=wanted.reason, by_person=wanted.by_person)
    tx.ring_waiting(wanted.pipeline_id)


def _latest(tx: Transaction, pipeline_id: str, repository_id: int, ref: str) -> ReviewApp | None:
    return reviews.latest(tx.conn, pipeline_id=pipeline_id, repository_id=repository_id, ref=ref)


def _set_review(tx: Transaction, wanted: SetReview) -> None:
    latest = _latest(tx, wanted.pipeline_id, wanted.repository_id, wanted.ref)
    if latest is None or (latest.state in OVER and wanted.state not in OVER):
        reviews.create(
            tx.conn,
            pipeline_id=wanted.pipeline_id,
            repository_id=wanted.repository_id,
            ref=wanted.ref,
            generation=latest.generation + 1 if latest else 1,
            app_id=None,
            state=wanted.state,
            reason=wanted.reason,
            sha=wanted.sha,
            branch=wanted.branch,
            by_person=wanted.by_person,
            now=tx.now,
        )
    elif (latest.state, latest.reason, latest.sha, latest.branch, latest.by_person) != _shown(wanted):
        reviews.update(
            tx.conn,
            review=latest,
            now=tx.now,
            state=wanted.state,
            reason=wanted.reason,
            sha=wanted.sha,
            branch=wanted.branch,
            by_person=wanted.by_person,
        )
        _show_moved(tx, latest, wanted.sha)
    else:
        return
    tx.ring([Subject(SubjectKind.CHECK, f"{wanted.pipeline_id}/{wanted.sha}")], cause="review app changed")
    # Who comes anew stands behind all others; who was here before may come back in front of some.
    queued = latest is not None and latest.reason.startswith(OVER_CAP)
    if wanted.state in OVER or (latest is not None and queued != wanted.reason.startswith(OVER_CAP)):
        tx.ring_waiting(wanted.pipeline_id)


def _show_moved(tx: Transaction, former: ReviewApp, sha: Sha) -> None:
    """Bring the check of the commit that the review app has left to its end: it showed what the app does now."""
    if former.sha != sha:
        tx.ring([Subject(SubjectKind.CHECK, f"{former.pipeline_id}/{former.sha}")], cause="review app moved on")


def _shown(wanted: SetReview) -> tuple[ReviewState, str, str, str, bool]:
    return wanted.state, wanted.reason, wanted.sha, wanted.branch, wanted.by_person


@dataclass(frozen=True, slots=True, kw_only=True)
class Committer:
    """Runs transactions and rings afterwards: never before the rows are there to be found."""

    db: Database
    vault: Vault
    queue: Queue

    async def commit(self, fn: Callable[[Transaction], Result], *, actor: str = SYSTEM) -> Result:
        """Run `fn` in one transaction, anew when what it read has changed, then wake whom it named."""

        def run(conn: Connection) -> tuple[Result, list[Ring]]:
            changes.taken(conn)  # what was rolled back is no news
            tx = Transaction(conn=conn, now=self.db.now(), actor=actor, vault=self.vault)
            result = fn(tx)
            hearing = telling.tell(conn, changes.taken(conn), actor=actor, now=tx.now)
            return result, [*tx.rings, *map(deliver, hearing)]

        before = WROTE.get()
        for _ in range(ATTEMPTS):
            with suppress(Conflict):
                WROTE.set(True)
                try:
                    result, rings = await self.db.write(run)
                except (Refused, Conflict):  # rolled back; after anything else nobody knows
                    WROTE.set(before)
                    raise
                await self.queue.ring(rings)
                return result
        raise Transient("it was changed by others all the time; try again")


def app_or_refuse(conn: Connection, app_id: str) -> App:
    """Return the app if work may still be queued for it."""
    app = apps.get(conn, app_id)
    if app is None or app.state.value in ("gone", "destroying"):
        raise Refused("Couldn't find that app.", code="not_found")
    return app


def check_config(changes: Mapping[str, str | None]) -> None:
    """Refuse what no process could be given as its environment."""
    for key, value in changes.items():
        if not key or "=" in key or "\0" in key or not key.isprintable() or key[0].isdigit():
            raise Refused(
                f"Config var name {key!r} is not valid: use letters, digits and _, not starting with a digit."
            )
        if value is not None and ("\0" in value or len(value) > 65536):
            raise Refused(f"The value of config var {key} holds a NUL byte or is longer than 64 kB.")
