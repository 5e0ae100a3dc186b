"""A day on one pipeline in any order: two workers that die or sleep at any step, webhooks lost, doubled and shuffled.

The jobs, the database, git and GitHub's answers are real; a worker goes on from one transaction or command of the
engine to the next only when it is its turn.
"""

import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from typing import Any, cast

from sqlalchemy import BigInteger, select, type_coerce

from service.domain.model import App, Release, ReleaseState, ReviewApp, Stage, Toggles
from service.enactor import Enactor
from service.queue import Ring
from service.store import apps, pipelines, releases, repositories, reviews
from service.store.deliveries import Inbox
from service.store.leases import LeaseTerms
from service.store.tables import apps as app_rows
from service.store.tables import facts as fact_rows
from service.store.tables import review_apps as review_rows
from service.store.tables import subjects as subject_rows
from tests.github.conftest import repository_of
from tests.workers.conftest import Yard
from tests.workers.stepping import Doors, Engine, Worker, done
from workers.jobs import loops
from workers.jobs.survey import begin_audit

ADA = "user:ada@acme.example"
FILES = {
    "Procfile": "web: ./serve\nrelease: ./migrate\n",
    "app.json": json.dumps({"scripts": {"postdeploy": "./seed", "pr-predestroy": "./farewell"}}),
}


@dataclass(kw_only=True)
class Day:
    """One pipeline, its GitHub, two workers, and what was wanted of them."""

    yard: Yard
    engine: Engine
    sim_repo: Any
    staging: App
    production: App
    number: int
    names: Any = field(default_factory=lambda: count(1))
    post: list[tuple[str, str, bytes]] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    backward: set[str] = field(default_factory=set)
    mains: list[str] = field(default_factory=list)

    # What happens

    async def push_main(self, pick: int) -> None:
        await self.catch_up(0)
        await self.yard.edge.sim.push(self.sim_repo, "main", {"page": str(pick)}, message=f"{next(self.names)}")

    async def push_topic(self, pick: int) -> None:
        await self.yard.edge.sim.push(self.sim_repo, "topic", {"topic": str(pick)}, message=f"{next(self.names)}")

    async def close(self, _: int) -> None:
        if self.pull.state == "open":
            self.yard.edge.sim.close_pull(self.sim_repo, self.number)

    async def reopen(self, _: int) -> None:
        if self.pull.state == "closed" and not self.pull.merged_at:
            await self.yard.edge.sim.reopen_pull(self.sim_repo, self.number)

    async def merge(self, _: int) -> None:
        await self.catch_up(0)
        if self.pull.state == "open":
            await self.yard.edge.sim.merge_pull(self.sim_repo, self.number)

    async def lag(self, pick: int) -> None:
        """Whoever answers for GitHub has not heard of the last pushes to main yet."""
        await self._show(self.mains[-2 - pick % 2 :][0])

    async def catch_up(self, _: int) -> None:
        await self._show(self.mains[-1])

    async def _show(self, sha: str) -> None:
        await self.yard.edge.sim.git.point(self.sim_repo.id, "refs/heads/main", sha)

    async def promote(self, _: int) -> None:
        await self.verbs.promote(
            pipeline_id=self.yard.pipeline.id,
            source_app_id=self.staging.id,
            release_id=None,
            target_app_ids=None,
            actor=ADA,
        )

    async def config(self, pick: int) -> None:
        app = (self.staging, self.production)[pick % 2]
        await self.verbs.change_config(app_id=app.id, changes={f"KEY_{pick}": str(next(self.names))}, actor=ADA)

    async def rollback(self, pick: int) -> None:
        app = (self.staging, self.production)[pick % 2]
        made = [each for each in await self.releases(app.id) if each.slug_id and each.state is ReleaseState.SUCCEEDED]
        if made:
            former = made[pick % len(made)]
            asked = await self.verbs.rollback(
                app_id=app.id, release_id=former.id, keep_config=bool(pick & 2), actor=ADA
            )
            number = await self.yard.see(lambda conn: releases.of_request(conn, asked.id))
            assert number is not None
            self.backward.add(number.id)

    async def resume(self, _: int) -> None:
        await self.verbs.set_auto_deploy(
            app_id=self.staging.id, enabled=True, branch="main", wait_for_ci=False, actor=ADA
        )

    async def destroy(self, _: int) -> None:
        await self.verbs.destroy_app(app_id=self.production.id, actor=ADA)

    async def idle(self, _: int) -> None:
        """The review app was not deployed to for two days, and idle ones are suspended after one."""
        long_ago = type_coerce(review_rows.c.deployed_at, BigInteger) - timedelta(days=2) // timedelta(microseconds=1)
        late = (
            review_rows.update().where(review_rows.c.pipeline_id == self.yard.pipeline.id).values(deployed_at=long_ago)
        )
        await self.yard.db.write(lambda conn: conn.execute(late))
        changes = {"destroy_stale": True, "stale_days": 1, "idle_action": "suspend"}
        await self.verbs.set_toggles(pipeline_id=self.yard.pipeline.id, changes=changes, actor=ADA)

    async def wake(self, _: int) -> None:
        """A person starts the review app anew, suspended or not."""
        review = await self.review()
        if review is not None and review.app_id is not None:
            await self.verbs.restart(app_id=review.app_id, actor=ADA)

    # What comes of the webhooks

    def noted(self, event: str, payload: dict[str, Any]) -> None:
        if payload.get("repository", {}).get("id") != self.yard.repository.id:
            return
        if event == "push":
            self.order.append(payload["after"])
            if payload["ref"] == "refs/heads/main":
                self.mains.append(payload["after"])
        self.post.append((f"{self.yard.pipeline.name}-{next(self.names)}", event, json.dumps(payload).encode()))

    async def deliver(self, pick: int) -> None:
        if self.post:
            await self._hand_in(self.post.pop(pick % len(self.post)))

    async def double(self, pick: int) -> None:
        if self.post:
            await self._hand_in(self.post[pick % len(self.post)])

    async def lose(self, pick: int) -> None:
        if self.post:
            self.post.pop(pick % len(self.post))

    async def _hand_in(self, webhook: tuple[str, str, bytes]) -> None:
        guid, event, body = webhook
        inbox = await Inbox.open(self.yard.db.url)
        await inbox.put(
            guid=guid,
            event=event,
            action="",
            repository_id=None,
            installation_id=None,
            body=body,
            received_at=self.yard.clock(),
        )
        await inbox.close()
        await self.yard.bell.ring([Ring("react", (guid,))])

    # What the workers do

    async def begin(self, pick: int) -> None:
        """A worker hears a ring, whichever it is."""
        if self.yard.bell.rung:
            await self._hear(self.workers[pick & 1], (pick >> 1) % len(self.yard.bell.rung))

    async def step(self, pick: int) -> None:
        await self.workers[pick & 1].go(1 + (pick >> 1))

    async def run(self, pick: int) -> None:
        """All goes well for a while."""
        worker = self.workers[pick & 1]
        for _ in range(1 + (pick >> 1)):
            if self.yard.bell.rung:
                await self._hear(worker, 0)
            await worker.go(40)

    async def _hear(self, worker: Worker, place: int) -> None:
        ring = self.yard.bell.rung.pop(place)
        if ring.job == "report":
            await done(self.yard.context, ring)  # several at a time within: left to run as it will
        else:
            worker.begin(ring)

    async def die(self, pick: int) -> None:
        await self.workers[pick & 1].die()
        await self._expire(self.workers[pick & 1])
        self.hire(pick & 1)

    async def sleep(self, pick: int) -> None:
        """A worker stands still for longer than its lease, and does not know it when it goes on."""
        await self._expire(self.workers[pick & 1])

    async def flush(self, _: int) -> None:
        self.yard.bell.rung.clear()
        await loops.due(self.yard.context)

    async def _expire(self, worker: Worker) -> None:
        for table in (app_rows, subject_rows, fact_rows):
            late = table.update().where(table.c.lease_holder == worker.name).values(lease_expires=None)
            await self.yard.db.write(lambda conn, late=late: conn.execute(late))

    def hire(self, place: int) -> None:
        worker = Worker(name=f"worker-{next(self.names)}")
        yard = self.yard
        worker.context = replace(
            yard.context,
            terms=LeaseTerms(holder=worker.name, seconds=3600.0),
            db=cast("Any", Doors(yard.db, worker, {"write"})),
            platforms={"process": cast("Any", Doors(self.engine, worker, {"run", "apply", "remove"}))},
        )
        self.workers[place : place + 1] = [worker]

    # The end of the day

    async def settle(self) -> None:
        """The webhooks that did not come are lost; workers run on, and GitHub is asked once what was missed."""
        for worker in self.workers:
            await worker.end()
        await self.catch_up(0)
        await self.calm()
        self.yard.clock.ahead += timedelta(minutes=5)
        await self.yard.do(lambda tx: begin_audit(tx, [self.yard.repository]))
        for _ in range(3):
            await self.calm()
            self.yard.clock.ahead += timedelta(minutes=5)
            await loops.due(self.yard.context)
        await self.calm()

    async def calm(self) -> None:
        for _ in range(60):
            rung, self.yard.bell.rung[:] = list(self.yard.bell.rung), []
            for ring in dict.fromkeys(rung):
                await done(self.yard.context, ring)
            if not rung:
                await loops.due(self.yard.context)
                if not self.yard.bell.rung:
                    return
        raise AssertionError(f"never comes to rest: {self.yard.bell.rung}")

    # What is looked at

    @property
    def pull(self) -> Any:
        return self.yard.edge.sim.pull(self.sim_repo, self.number)

    @property
    def verbs(self) -> Enactor:
        return Enactor(db=self.yard.db, vault=self.yard.context.vault, queue=self.yard.bell)

    async def review(self) -> ReviewApp | None:
        at = {"pipeline_id": self.yard.pipeline.id, "repository_id": self.yard.repository.id}
        return await self.yard.see(lambda conn: reviews.latest(conn, **at, ref=f"pr:{self.number}"))

    async def all_apps(self) -> list[App]:
        listed = await self.yard.see(
            lambda conn: conn.execute(select(app_rows.c.id).where(app_rows.c.name.startswith(self.yard.pipeline.name)))
        )
        found = [await self.yard.see(lambda conn, each=each: apps.get(conn, each.id)) for each in listed]
        return [each for each in found if each is not None]

    async def releases(self, app_id: str) -> list[Release]:
        return await self.yard.see(lambda conn: releases.of_app(conn, app_id, limit=1000))


async def new_day(yard: Yard, number: int) -> Day:
    """A pipeline of its own, all of it up and running."""
    sim = yard.edge.sim
    repo = await sim.create_repo(f"acme/day-{number}", files=FILES, default_branch="main")
    repository = repository_of(sim, repo)

    def connect(tx: Any) -> Any:
        repositories.remember(tx.conn, repository, tx.now)
        made = pipelines.create(tx.conn, name=f"day-{number}", owner_id=None, owner_type=None, now=tx.now)
        toggles = Toggles(review_apps=True, automatic_review_apps=True)
        return pipelines.update(tx.conn, pipeline=made, now=tx.now, repository_id=repository.id, toggles=toggles)

    yard = replace(yard, repository=repository, pipeline=await yard.do(connect))
    engine = Engine()
    yard = replace(
        yard,
        platform=engine,
        context=replace(
            yard.context,
            platforms={"process": engine},
            workshop=replace(yard.context.workshop, sandbox=engine),
            terms=LeaseTerms(holder=f"day-{number}", seconds=3600.0),
        ),
    )
    staging = await yard.app(f"day-{number}-staging", Stage.STAGING)
    production = await yard.app(f"day-{number}-prod", Stage.PRODUCTION)
    await sim.push(repo, "topic", {"topic": "new"})
    pull = await sim.open_pull(repo, "topic")
    day = Day(yard=yard, engine=engine, sim_repo=repo, staging=staging, production=production, number=pull.number)
    day.mains.append(await sim.head(repo, "main"))
    day.order += [*day.mains, pull.head_sha]
    sim.sender.watchers.append(day.noted)
    for place in range(2):
        day.hire(place)
    await day.resume(0)
    if number % 2 == 0:  # every other day begins with the review app at its place
        await yard.do(lambda tx: begin_audit(tx, [repository]))
    await day.calm()
    return day
