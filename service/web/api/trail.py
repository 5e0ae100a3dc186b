"""The decision trail: everything recorded about a commit, a pull request or an app, as one story in order of time.

Nothing is worked out anew here: these are the rows that the plans, the workers and people left behind.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, select

from service.domain.access import Permission, Person
from service.domain.decisions import Subject, SubjectKind
from service.domain.deploy_lock import DeployLock
from service.domain.errors import Refused
from service.domain.facts import FactKey, FactKind
from service.domain.model import App, AppId, QueuedRequest, ReviewApp
from service.domain.names import in_words
from service.store import activity, apps, deploy_locks, facts, pipelines, requests, reviews, subjects
from service.store.reviews import as_review
from service.store.sight import seen_names, to_app
from service.store.tables import activity as activity_rows
from service.store.tables import facts as fact_rows
from service.store.tables import releases as release_rows
from service.store.tables import requests as request_rows
from service.store.tables import review_apps

_PULL_REQUEST = re.compile(r"(?:.*/pull/|.*#|pr:|#)?(\d{1,6})")
_COMMIT = re.compile(r"[0-9a-f]{7,40}")
_EACH = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the story."""

    at: datetime
    what: str
    about: str
    state: str
    text: str


def _plain(kind: str) -> str:
    """A kind of work in words: `ReleaseSlug` is "release slug"."""
    return re.sub(r"\B(?=[A-Z])", " ", kind).lower()


def told(entry: activity.Entry) -> str:
    """An entry of the activity log in words, without who did it."""
    if entry.action == "requested":
        return f"asked for {_plain(str(entry.data['kind']))}: {entry.data['reason']}"
    kind, space, state = entry.action.partition(" ")
    details = ", ".join(f"{name} {_words(value)}" for name, value in entry.data.items() if value not in (None, "", {}))
    return f"{_plain(kind)}{space}{state}" + (f" ({details})" if details else "")


def _words(value: object) -> str:
    match value:
        case [*several]:
            return " and ".join(map(_words, several)) or "none"
        case {**named}:
            return " and ".join(f"{name} {_words(each)}" for name, each in named.items())
        case _:
            return str(value)


class _Story:
    """Collects entries, each once, with ids turned into names; only of what somebody sees."""

    def __init__(self, conn: Connection, by: Person) -> None:
        self._conn = conn
        seen = seen_names(conn, by)
        self._apps, self._pipelines = seen.apps, seen.pipelines
        self._all = by.is_admin
        self._entries: dict[tuple[str, object], Entry] = {}

    def requests(self, found: Iterable[QueuedRequest]) -> None:
        for it in found:
            if it.app_id not in self._apps:
                continue
            what = _plain(it.kind) + (f" {it.sha[:7]}" if it.sha else "")
            self._entries["request", it.id] = Entry(
                at=it.created_at,
                what="request",
                about=self._apps[it.app_id],
                state=it.state.value,
                text=f"{what}: {it.reason}" if it.reason else what,
            )

    def activity(self, found: Iterable[activity.Entry]) -> None:
        for it in found:
            about = self._apps.get(it.app_id or "") or self._pipelines.get(it.pipeline_id or "")
            if about is None and not (self._all and it.app_id is None and it.pipeline_id is None):
                continue
            self._entries["activity", it.id] = Entry(
                at=it.at,
                what="activity",
                about=about or it.ref,
                state="",
                text=f"{it.actor}: {told(it)}",
            )

    def reviews(self, found: Iterable[ReviewApp]) -> None:
        for it in found:
            if it.pipeline_id not in self._pipelines:
                continue
            self._entries["review", it.id] = Entry(
                at=it.updated_at,
                what="review app",
                about=f"{self._pipelines[it.pipeline_id]} {in_words(it.ref)}",
                state=it.state.value,
                text=it.reason or f"review app of {in_words(it.ref)} is {it.state.value}",
            )

    def locks(self, found: Iterable[DeployLock], now: datetime) -> None:
        for it in found:
            if it.is_in_force(now):
                about = f"pipeline {it.name}" if it.pipeline_id is not None else it.name
                self._entries["lock", it.id] = Entry(
                    at=it.updated_at, what="lock", about=about, state="locked", text=it.text
                )

    def verdicts(self, wanted: Iterable[Subject]) -> None:
        for it in subjects.verdicts(self._conn, wanted):
            if it.reconciled_at is None or not self._sees(it.subject):
                continue
            cause = f" (because: {it.cause})" if it.cause else ""
            self._entries["verdict", it.subject] = Entry(
                at=it.reconciled_at,
                what="decision",
                about=self._name(it.subject),
                state=it.outcome,
                text=f"{it.reason or it.outcome}{cause}",
            )

    def _sees(self, subject: Subject) -> bool:
        head = subject.key.partition("/")[0]
        return head in self._pipelines or head in self._apps

    def _name(self, subject: Subject) -> str:
        head, slash, rest = subject.key.partition("/")
        name = self._pipelines.get(head) or self._apps.get(head) or head
        return f"{subject.kind.value.replace('_', ' ')} {name}{slash}{rest}"

    def told(self) -> list[Entry]:
        return sorted(self._entries.values(), key=lambda it: it.at)


def of(conn: Connection, question: str, by: Person, now: datetime) -> tuple[str, list[Entry]]:
    """Find what the question is about and tell its story as far as `by` sees it.

    Returns (what it is about, the entries, oldest first).
    """
    story = _Story(conn, by)
    app = apps.find(conn, question)
    if app is not None and Permission.VIEW in to_app(by, app):
        _of_app(conn, story, app)
        story.locks(deploy_locks.of_app(conn, app.id), now)
        return f"app {app.name}", story.told()
    if match := _PULL_REQUEST.fullmatch(question):
        _of_pull_request(conn, story, int(match[1]))
        return f"pull request #{match[1]}", story.told()
    if _COMMIT.fullmatch(question.lower()):
        sha = _full_sha(conn, question.lower())
        _of_commit(conn, story, sha)
        return f"commit {sha[:7]}", story.told()
    raise Refused(
        f"Couldn't find an app {question}; ask for a commit (7 to 40 hex digits), a pull request (#12) or an app"
    )


def _review_subject(review: ReviewApp) -> Subject:
    return Subject(SubjectKind.REVIEW_APP, f"{review.pipeline_id}/{review.ref}")


def _of_app(conn: Connection, story: _Story, app: App) -> None:
    story.requests(requests.of_apps(conn, [app.id], limit=_EACH))
    story.activity(activity.listing(conn, app_id=app.id, limit=_EACH))
    story.verdicts([Subject(SubjectKind.AUTO_DEPLOY, app.id)])
    review = reviews.of_app(conn, app.id)
    if review is not None:
        story.reviews([review])
        story.verdicts([_review_subject(review)])


def _of_pull_request(conn: Connection, story: _Story, number: int) -> None:
    ref = f"pr:{number}"
    rows = conn.execute(select(review_apps).where(review_apps.c.ref == ref)).mappings()
    found = [as_review(row) for row in rows]
    story.reviews(found)
    keys = [f"{pipeline.id}/{ref}" for pipeline in pipelines.listing(conn) if pipeline.repository_id is not None]
    story.verdicts(Subject(SubjectKind.REVIEW_APP, key) for key in keys)
    story.activity(activity.listing(conn, ref=ref, limit=_EACH))
    app_ids = [review.app_id for review in found if review.app_id is not None]
    story.requests(requests.of_apps(conn, app_ids, limit=_EACH))
    story.activity(activity.listing(conn, app_ids=app_ids, limit=_EACH))


def _full_sha(conn: Connection, start: str) -> str:
    """The one commit on record that begins so; what nobody has seen is returned as it is."""
    of_ci = select(fact_rows.c.key).where(fact_rows.c.kind == FactKind.CI.value)
    found: set[str] = set(conn.execute(of_ci.where(_begins(fact_rows.c.key, start)).distinct().limit(3)).scalars())
    columns = (request_rows.c.sha, review_apps.c.sha, release_rows.c.commit_sha, activity_rows.c.sha)
    for column in columns:
        query = select(column).where(_begins(column, start)).distinct().limit(3)
        found.update(conn.execute(query).scalars())
    if len(found) > 1:
        raise Refused(f"Several commits begin with {start}: {', '.join(sorted(found))}")
    return found.pop() if found else start


def _begins(column: ColumnElement[Any], start: str) -> ColumnElement[bool]:
    """A range instead of LIKE: both engines use the index for it."""
    return and_(column >= start, column <= start + "g")


def _of_commit(conn: Connection, story: _Story, sha: str) -> None:
    deploys = requests.of_commit(conn, sha, limit=_EACH)
    story.requests(deploys)
    story.activity(activity.listing(conn, sha=sha, limit=_EACH))
    found: Sequence[ReviewApp] = [
        as_review(row) for row in conn.execute(select(review_apps).where(review_apps.c.sha == sha)).mappings()
    ]
    story.reviews(found)
    checks = [Subject(SubjectKind.CHECK, f"{pipeline.id}/{sha}") for pipeline in pipelines.listing(conn)]
    concerned = dict.fromkeys([*(it.app_id for it in deploys), *_followers(conn, sha)])
    deployed = [Subject(SubjectKind.AUTO_DEPLOY, app_id) for app_id in concerned]
    story.verdicts([*checks, *deployed, *map(_review_subject, found)])


def _followers(conn: Connection, sha: str) -> list[AppId]:
    """The apps that follow a branch which is at the commit: they deploy it, or wait with it."""
    followed = {
        app.id: FactKey(FactKind.HEAD, app.repository_id, app.auto_deploy_branch)
        for app in pipelines.all_auto_deploys(conn)
        if app.repository_id is not None
    }
    heads = facts.load_all(conn, set(followed.values()))
    at = {key for key, head in heads.items() if head.value is not None and head.value.sha == sha}
    return [app_id for app_id, key in followed.items() if key in at]
