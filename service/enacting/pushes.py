"""What people push with git: a deploy of the commit, as one of an explicit commit is."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from service.domain.decisions import Deploy, Subject, SubjectKind
from service.domain.deploy_lock import refusal_of_push
from service.domain.errors import Refused
from service.domain.model import NO_REPOSITORY, App, QueuedRequest, Sha, Trust
from service.domain.pushing import check_pushable
from service.enact import Committer, Transaction, app_or_refuse
from service.store import deploy_locks, pushes, requests


class Stale(Refused):
    """The branch has moved since the client looked."""


class There(Refused):
    """The branch is at that commit: nothing is left to be done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """A commit that is pushed to a branch of an app's own repository, which is at `before` now; None is nowhere."""

    branch: str
    sha: Sha
    before: Sha | None

    @property
    def work(self) -> Deploy:
        """What it asks for. Who may push to one app has no say in what others run, so it is built as what is sent."""
        return Deploy(repository_id=NO_REPOSITORY, sha=self.sha, trust=Trust.SENT, branch="", pushed_to=self.branch)


def check_push(conn: Connection, app: App, pushed: Pushed, now: datetime) -> pushes.UnderWay | None:
    """Refuse what cannot be deployed now; returns the push of the same commit if one is under way."""
    check_pushable(app)
    head = pushes.heads(conn, app.id).get(pushed.branch)
    under_way = pushes.under_way(conn, app.id)
    for each in under_way:
        if (each.branch, each.sha) == (pushed.branch, pushed.sha):
            return each
        raise Refused(
            f"Another push to {app.name} ({each.sha[:7]} by {each.actor.removeprefix('user:')}) is being deployed. "
            "Push again when it is done; fetch it first, if what you push is not made on top of it.",
            code="conflict",
        )
    if head == pushed.sha:
        raise There(f"{pushed.sha[:7]} has been pushed already.")
    if locks := deploy_locks.keeping_out(conn, app.id, pushed.work, now):
        raise Refused(refusal_of_push(app.name, locks), code="conflict")
    if head != pushed.before:
        raise Stale(f"Somebody else has pushed to {pushed.branch} of {app.name} meanwhile.", code="conflict")
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class PushVerbs(Committer):
    """Each verb is one transaction, then rings. `actor` is who asks, as `user:EMAIL`."""

    async def push(self, *, app_id: str, pushed: Pushed, actor: str) -> QueuedRequest:
        """Deploy a commit that was pushed, or come back to the deploy of it that is under way.

        Refused while another push is, and while the app is locked; `Stale` when the branch is not at `before`, `There`
        when it is at the commit.
        """

        def push(tx: Transaction) -> QueuedRequest:
            app = app_or_refuse(tx.conn, app_id)
            known = check_push(tx.conn, app, pushed, tx.now)
            same = requests.get(tx.conn, known.request_id) if known else None
            if same is not None:
                return same
            tx.note("pushed", app_id=app_id, ref=pushed.branch, sha=pushed.sha)
            tx.ring([Subject(SubjectKind.AUTO_DEPLOY, app_id)], cause=f"push by {tx.actor}")
            reason = f"push of {pushed.sha[:7]} to {pushed.branch}"
            return tx.request(app_id, pushed.work, reason=reason, by_person=True)

        return await self.commit(push, actor=actor)
