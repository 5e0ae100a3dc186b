"""Everything that a pipeline's overview shows, from one snapshot, in a number of statements that does not grow."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, select

from service.domain import downstream, promotion
from service.domain.decisions import Subject, SubjectKind
from service.domain.deploy_lock import DeployLock
from service.domain.downstream import Running
from service.domain.facts import Fact, FactKey, FactKind
from service.domain.model import (
    App,
    AppState,
    CiCounts,
    Pipeline,
    Promotion,
    PromotionTarget,
    QueuedRequest,
    Release,
    Repository,
    RepositoryId,
    ReviewApp,
    Sha,
    Stage,
)
from service.store import deploy_locks, facts, promotions, releases, repositories, reviews, subjects
from service.store.apps import as_app
from service.store.releases import as_release
from service.store.requests import OPEN, as_request
from service.store.tables import apps, couplings
from service.store.tables import releases as release_rows
from service.store.tables import requests as request_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An app with what it runs and what is asked of it; `queue` has the step of each request beside it."""

    app: App
    coupling_id: str
    stage: Stage
    engine_state: str
    release: Release | None
    queue: tuple[tuple[QueuedRequest, str], ...]
    last: QueuedRequest | None
    waits: str

    @property
    def running(self) -> Running:
        """The app as others are compared with."""
        return Running(app=self.app, release=self.release)


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted:
    """The newest promotion, with its source's release and its targets."""

    promotion: Promotion
    release: Release | None
    targets: tuple[PromotionTarget, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """A pipeline with all that is in it; `known` is what has been learned of GitHub and of its commits."""

    pipeline: Pipeline
    repository: Repository | None
    members: tuple[Member, ...]
    reviews: tuple[ReviewApp, ...]
    locks: tuple[DeployLock, ...]
    promoted: Promoted | None
    known: Mapping[FactKey, Fact[Any]]

    def downstream_of(self, member: Member) -> list[Member]:
        """The apps that a promotion of an app goes to."""
        stage = promotion.downstream(member.stage)
        return [each for each in self.members if each.stage is stage and each.app.state is not AppState.DESTROYING]

    def unasked(self) -> list[FactKey]:
        """What tells how the stages' commits differ, and was never looked up."""
        return [key for key in _differences(self.members) if key not in self.known]


def load(conn: Connection, pipeline: Pipeline) -> Overview:
    """Read it all."""
    members, reviewed = _members(conn, pipeline), tuple(reviews.standing(conn, pipeline.id))
    repository = None if pipeline.repository_id is None else repositories.get(conn, pipeline.repository_id)
    wanted = {*_of_pulls(reviewed), *_of_ci(members, reviewed), *_differences(members)}
    if repository is not None and pipeline.toggles.ci_counts is CiCounts.PROTECTED:
        wanted.add(FactKey(FactKind.REQUIRED, repository.id, repository.default_branch))
    return Overview(
        pipeline=pipeline,
        repository=repository,
        members=members,
        reviews=reviewed,
        locks=deploy_locks.of_pipeline(conn, pipeline.id),
        promoted=_promoted(conn, pipeline.id),
        known=facts.load_all(conn, wanted),
    )


def _members(conn: Connection, pipeline: Pipeline) -> tuple[Member, ...]:
    inside = select(couplings.c.app_id).where(couplings.c.pipeline_id == pipeline.id)
    query = (
        select(apps, couplings.c.stage, couplings.c.id.label("coupling_id"))
        .join(couplings, couplings.c.app_id == apps.c.id)
        .where(couplings.c.pipeline_id == pipeline.id, apps.c.state != AppState.GONE)
        .order_by(apps.c.name)
    )
    rows = list(conn.execute(query).mappings())
    current, queues, last = _current(conn, inside), _queues(conn, inside), _last(conn, inside)
    waits = _waits(conn, [row["id"] for row in rows if row["auto_deploy"]])
    return tuple(
        Member(
            app=as_app(row),
            coupling_id=row["coupling_id"],
            stage=Stage(row["stage"]),
            engine_state=row["engine_state"],
            release=current.get(row["current_release_id"]),
            queue=tuple(queues.get(row["id"], ())),
            last=last.get(row["id"]),
            waits=waits.get(row["id"], ""),
        )
        for row in rows
    )


def _current(conn: Connection, inside: Select[tuple[str]]) -> dict[str, Release]:
    wanted = select(apps.c.current_release_id).where(apps.c.id.in_(inside))
    found = conn.execute(select(release_rows).where(release_rows.c.id.in_(wanted))).mappings()
    return {row["id"]: as_release(row) for row in found}


def _queues(conn: Connection, inside: Select[tuple[str]]) -> dict[str, list[tuple[QueuedRequest, str]]]:
    open_ = and_(request_rows.c.app_id.in_(inside), request_rows.c.state.in_(OPEN))
    found: dict[str, list[tuple[QueuedRequest, str]]] = {}
    for row in conn.execute(select(request_rows).where(open_).order_by(request_rows.c.app_id, request_rows.c.seq)):
        found.setdefault(row.app_id, []).append((as_request(row), row.step))
    return found


def _last(conn: Connection, inside: Select[tuple[str]]) -> dict[str, QueuedRequest]:
    newest = and_(request_rows.c.app_id == apps.c.id, request_rows.c.seq == apps.c.last_request_seq)
    query = select(request_rows).join(apps, newest).where(apps.c.id.in_(inside))
    return {row.app_id: as_request(row) for row in conn.execute(query)}


def _waits(conn: Connection, app_ids: list[str]) -> dict[str, str]:
    found = subjects.verdicts(conn, [Subject(SubjectKind.AUTO_DEPLOY, each) for each in app_ids])
    return {each.subject.key: each.reason for each in found}


def _promoted(conn: Connection, pipeline_id: str) -> Promoted | None:
    newest = next(iter(promotions.of_pipeline(conn, pipeline_id, 1)), None)
    if newest is None:
        return None
    return Promoted(
        promotion=newest,
        release=releases.get(conn, newest.source_release_id),
        targets=tuple(promotions.targets(conn, newest.id)),
    )


def _of_pulls(reviewed: tuple[ReviewApp, ...]) -> list[FactKey]:
    parts = [(each, *each.ref.partition(":")[::2]) for each in reviewed]
    return [FactKey(FactKind.PULL_REQUEST, each.repository_id, name) for each, kind, name in parts if kind == "pr"]


def _of_ci(members: tuple[Member, ...], reviewed: tuple[ReviewApp, ...]) -> list[FactKey]:
    ran = [(it.release.repository_id, it.release.commit) for it in members if it.release is not None]
    of: list[tuple[RepositoryId | None, Sha | None]] = [*ran, *((each.repository_id, each.sha) for each in reviewed)]
    return [FactKey(FactKind.CI, repository, sha) for repository, sha in of if repository is not None and sha]


def _differences(members: tuple[Member, ...]) -> list[FactKey]:
    sources = [(each, stage) for each in members if (stage := promotion.downstream(each.stage)) is not None]
    pairs = [(source, target) for source, stage in sources for target in members if target.stage is stage]
    found = [downstream.question(source.running, target.running) for source, target in pairs]
    return [key for key in dict.fromkeys(found) if key is not None]
