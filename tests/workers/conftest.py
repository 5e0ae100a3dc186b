"""A worker's jobs on a real database, the simulated GitHub and an engine in memory."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Connection

from service.domain.access import Person
from service.domain.decisions import Destroy, Restart
from service.domain.model import (
    App,
    Pipeline,
    QueuedRequest,
    Release,
    ReleaseState,
    Repository,
    RequestState,
    ReviewApp,
    ReviewState,
    Slug,
    Stage,
    Toggles,
    Trust,
    UserId,
)
from service.enact import Transaction
from service.queue import Queue, Ring
from service.settings import Settings
from service.store import apps, builds, logs, pipelines, releases, reports, repositories, requests, reviews, spaces
from service.store.clock import uptime
from service.store.database import Database, utc_now
from service.store.leases import LeaseTerms
from service.store.reports import Report
from service.store.requests import TakenWork
from service.store.secrets import Vault
from service.store.tables import apps as app_rows
from tests.github.conftest import Edge, edge, github, octokit, shop
from tests.store.fixtures import sqlite_database, sqlite_template
from tests.workers.memory_platform import MemoryPlatform
from workers.builds import runtimes
from workers.builds.builder import Workshop
from workers.builds.cache import CacheStore
from workers.builds.slug import SlugStore
from workers.builds.source import Source
from workers.context import Context
from workers.jobs.look import look
from workers.jobs.reconcile import reconcile

__all__ = ["edge", "github", "octokit", "shop", "sqlite_database", "sqlite_template"]

Result = TypeVar("Result")
ADMINISTRATOR = Person(id=UserId("administrator"), is_admin=True)


@pytest.fixture
def without_runtimes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is compiled then: interpreters need not be copied."""

    async def nothing(_: Path) -> None:
        pass

    monkeypatch.setattr(runtimes, "ensure", nothing)


@dataclass
class Clock:
    """The database's clock, which can be moved."""

    ahead: timedelta = timedelta()

    def __call__(self) -> datetime:
        return utc_now() + self.ahead


class Bell(Queue):
    """The queue without a Redis behind it: it keeps what was rung."""

    def __init__(self) -> None:
        self.rung: list[Ring] = []
        self.depths: dict[str, int] = {}

    async def ring(self, rings: Iterable[Ring]) -> None:
        self.rung += dict.fromkeys(rings)

    async def routes_changed(self) -> None:
        pass

    async def waiting(self, queue: str) -> int:
        return self.depths.get(queue, 0)

    async def close(self) -> None:
        pass

    def heard(self, job: str) -> list[tuple[str, ...]]:
        return [ring.args for ring in self.rung if ring.job == job]


@dataclass(frozen=True, kw_only=True)
class Yard:
    """Everything of one worker, with short ways to look at it."""

    context: Context
    platform: MemoryPlatform
    bell: Bell
    clock: Clock
    edge: Edge
    repository: Repository
    pipeline: Pipeline
    holders: list[str] = field(default_factory=list)

    @property
    def db(self) -> Database:
        return self.context.db

    async def do(self, fn: Callable[[Transaction], Result]) -> Result:
        return await self.context.commit(fn, actor="user:ada@acme.example")

    async def see(self, fn: Callable[[Connection], Result]) -> Result:
        return await self.db.read(fn)

    def another(self) -> Context:
        """A second worker on the same database."""
        terms = LeaseTerms(holder="another", seconds=self.context.terms.seconds)
        return replace(self.context, terms=terms)

    async def app(self, name: str = "shop-prod", stage: Stage = Stage.PRODUCTION) -> App:
        def make(tx: Transaction) -> App:
            space = spaces.ensure(tx.conn, name="common", driver="process", now=tx.now)
            made = apps.create(
                tx.conn, name=name, space_id=space.id, owner_id=None, is_review=stage is Stage.REVIEW, now=tx.now
            )
            pipelines.couple(tx.conn, app_id=made.id, pipeline_id=self.pipeline.id, stage=stage, now=tx.now)
            return made

        return await self.do(make)

    async def review(
        self,
        ref: str = "pr:1",
        *,
        state: ReviewState = ReviewState.LIVE,
        reason: str = "",
        with_app: bool = True,
        sha: str = "a" * 40,
        at: datetime | None = None,
    ) -> ReviewApp:
        app = await self.app(f"shop-{ref.replace(':', '-')}", Stage.REVIEW) if with_app else None
        return await self.do(
            lambda tx: reviews.create(
                tx.conn,
                pipeline_id=self.pipeline.id,
                repository_id=self.repository.id,
                ref=ref,
                generation=1,
                app_id=app.id if app else None,
                state=state,
                reason=reason,
                sha=sha,
                branch="topic",
                by_person=False,
                now=at or tx.now,
            )
        )

    async def slug(self, content: str = "page", **process_types: str) -> Slug:
        """A slug that was built just now."""
        tree = self.context.workshop.data / "tree"
        tree.mkdir()
        (tree / "page").write_text(content)
        blob = await self.context.slugs.add(tree, trust=Trust.OWN)
        return await self.do(
            lambda tx: builds.add_slug(
                tx.conn,
                trust=Trust.OWN,
                build_key=f"key of {content}",
                sha256=blob.sha256,
                size=blob.size,
                process_types=process_types or {"web": "./serve"},
                stack="test",
                locked=True,
                now=tx.now,
            )
        )

    async def released(self, app: App, slug: Slug, state: ReleaseState = ReleaseState.SUCCEEDED) -> Release:
        """A release of the slug, which serves from then on if it succeeded."""

        def release(tx: Transaction) -> Release:
            asked = tx.request(app.id, Restart(), reason="test", by_person=True)
            requests.finish(tx.conn, asked.id, state=RequestState.SUCCEEDED, outcome="", now=tx.now)
            made = releases.create(
                tx.conn,
                app_id=app.id,
                request_id=asked.id,
                slug_id=slug.id,
                commit="a" * 40,
                repository_id=self.repository.id,
                description="Deploy aaaaaaaa",
                actor="test",
                log_id=logs.open_log(tx.conn, tx.now),
                now=tx.now,
            )
            made = releases.finish(tx.conn, release_id=made.id, state=state, error="", now=tx.now)
            newest = apps.get(tx.conn, app.id)
            assert newest is not None
            if state is ReleaseState.SUCCEEDED:
                formation = dict.fromkeys(slug.process_types, 1)
                apps.update(tx.conn, app=newest, now=tx.now, current_release_id=made.id, formation=formation)
            return made

        return await self.do(release)

    async def take(self, app_id: str | None = None) -> TakenWork:
        """Take an app's next request as the first worker would."""
        taken = await self.db.write(
            lambda conn: requests.take(conn, terms=self.context.terms, now=self.clock(), cap=9, app_id=app_id)
        )
        assert taken is not None
        return taken

    async def overtaken(self, app_id: str) -> TakenWork:
        """What a worker believes that slept for longer than its lease, while another has its app by now."""
        late = await self.take(app_id)
        await self.db.write(lambda conn: conn.execute(app_rows.update().values(lease_expires=None)))
        other = self.another()
        assert await self.db.write(
            lambda conn: requests.take(conn, terms=other.terms, now=self.clock(), cap=9, app_id=app_id)
        )
        return late

    async def destroy(self, app_id: str, *, ordered: bool = True) -> QueuedRequest:
        return await self.do(
            lambda tx: tx.request(app_id, Destroy(ordered=ordered, reason="closed"), reason="closed", by_person=False)
        )

    async def calm(self) -> None:
        """Do every look and reconcile that was rung for, and what follows from them."""
        while self.bell.rung:
            ring = self.bell.rung.pop(0)
            if ring.job == "look":
                await look(self.context, *ring.args)
            elif ring.job == "reconcile":
                await reconcile(self.context, *ring.args)

    async def report(self, key: str) -> Report:
        """What GitHub is to show of an object."""
        found = await self.see(lambda conn: reports.get(conn, key))
        assert found is not None
        return found

    async def check(self, sha: str) -> Report:
        """What GitHub is to show of a commit."""
        return await self.report(f"check:{self.pipeline.id}/{sha}")

    async def request(self, request_id: str) -> QueuedRequest:
        found = await self.see(lambda conn: requests.get(conn, request_id))
        assert found is not None
        return found


@pytest.fixture
async def yard(
    edge: Edge, shop: Repository, sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Yard:
    clock, bell, platform = Clock(), Bell(), MemoryPlatform()
    up = uptime()
    monkeypatch.setattr("service.store.clock.uptime", lambda: replace(up, up=up.up + clock.ahead))
    sqlite_database._clock = clock

    def connect(conn: Connection) -> Pipeline:
        repositories.remember(conn, shop, clock())
        made = pipelines.create(conn, name="shop", owner_id=None, owner_type=None, now=clock())
        toggles = Toggles(review_apps=True, automatic_review_apps=True)
        return pipelines.update(conn, pipeline=made, now=clock(), repository_id=shop.id, toggles=toggles)

    pipeline = await sqlite_database.write(connect)
    settings = Settings(data=tmp_path, github_url=edge.sim.url, github_app_id=str(edge.sim.app_id))
    context = Context(
        db=sqlite_database,
        vault=Vault.open(tmp_path / "secret.keys", create=True),
        queue=bell,
        settings=settings,
        terms=LeaseTerms(holder="one", seconds=1.0),
        github=edge.github,
        looks=edge.looks,
        writes=edge.writes,
        platforms={"process": platform},
        workshop=Workshop(
            data=tmp_path,
            source=Source(data=tmp_path),
            slugs=SlugStore(data=tmp_path),
            caches=CacheStore(data=tmp_path),
            sandbox=platform,
        ),
        stack="test",
    )
    return Yard(
        context=context, platform=platform, bell=bell, clock=clock, edge=edge, repository=shop, pipeline=pipeline
    )
