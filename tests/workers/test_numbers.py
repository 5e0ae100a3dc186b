"""Numbers: given when the change is asked for, kept whatever becomes of it, and worked off in their order."""

from datetime import timedelta

import pytest

from service.domain.decisions import Deploy
from service.domain.errors import Transient
from service.domain.model import App, QueuedRequest, ReleaseState, RequestState, Sha, Slug, Stage, Trust
from service.enactor import Enactor
from service.store import apps, builds, promotions, releases, requests
from tests.workers.conftest import Yard
from workers.builds import builder
from workers.jobs import deploy
from workers.jobs.overdue import overdue
from workers.jobs.work import work

ADA = "user:ada@acme.example"


def verbs(yard: Yard) -> Enactor:
    return Enactor(db=yard.db, vault=yard.context.vault, queue=yard.bell)


async def shown(yard: Yard, app: App) -> list[tuple[int, str, str]]:
    """The app's releases, oldest first."""
    listed = await yard.see(lambda conn: releases.of_app(conn, app.id))
    return [(each.version, each.description, each.state.value) for each in reversed(listed)]


async def serving(yard: Yard, name: str = "shop-staging", stage: Stage = Stage.STAGING) -> tuple[App, Slug]:
    """An app with one release."""
    app, slug = await yard.app(name, stage), await yard.slug()
    await yard.released(app, slug)
    found = await yard.see(lambda conn: apps.get(conn, app.id))
    assert found is not None
    return found, slug


async def configured(yard: Yard, app: App, **variables: str) -> QueuedRequest:
    return await verbs(yard).change_config(app_id=app.id, changes=variables, actor=ADA)


async def rolled_back(yard: Yard, app: App) -> QueuedRequest:
    first = await yard.see(lambda conn: releases.by_version(conn, app.id, 1))
    assert first is not None
    return await verbs(yard).rollback(app_id=app.id, release_id=first.id, keep_config=False, actor=ADA)


async def asked_to_deploy(yard: Yard, app: App, *, by_person: bool = True) -> tuple[QueuedRequest, Sha]:
    """A deploy of the newest commit, which has been built before: its build takes no time."""
    branch = yard.repository.default_branch
    sha = Sha(await yard.edge.sim.head(yard.repository.full_name))
    wanted = Deploy(repository_id=yard.repository.id, sha=sha, trust=Trust.OWN, branch=branch)
    asked = await yard.do(lambda tx: tx.request(app.id, wanted, reason="pushed", by_person=by_person))
    taken = await yard.take(app.id)
    commit = await deploy._fetch(yard.context, taken, wanted)
    key = builder.build_key(
        repository_id=yard.repository.id,
        tree=commit.tree,
        stack="test",
        buildpacks=commit.buildpacks,
        build_config={},
        trust=Trust.OWN,
    )
    slug = await yard.slug("built")
    await yard.do(
        lambda tx: builds.add_slug(
            tx.conn,
            trust=Trust.OWN,
            build_key=key,
            sha256=slug.sha256,
            size=slug.size,
            process_types={"web": "./serve"},
            stack="test",
            locked=True,
            now=tx.now,
        )
    )
    await yard.do(
        lambda tx: requests.give_back(
            tx.conn, app_id=app.id, token=taken.token, holder=yard.context.terms.holder, retry_at=None
        )
    )
    return asked, sha


def meanwhile(yard: Yard, act) -> None:
    """Do something in the middle of the next build."""
    token = yard.context.github.git_token

    async def first(repository):
        yard.context.github.git_token = token  # type: ignore[method-assign]
        await act()
        return await token(repository)

    yard.context.github.git_token = first  # type: ignore[method-assign]


async def test_config_rollback_and_promotion_have_their_number_before_anybody_works_them(yard: Yard) -> None:
    staging, slug = await serving(yard)
    production = await yard.app()
    await configured(yard, staging, A="1")
    await rolled_back(yard, staging)
    promotion = await verbs(yard).promote(
        pipeline_id=yard.pipeline.id, source_app_id=staging.id, release_id=None, target_app_ids=None, actor=ADA
    )
    assert await shown(yard, staging) == [
        (1, "Deploy aaaaaaaa", "succeeded"),
        (2, "Set A config vars", "pending"),
        (3, "Rollback to v1", "pending"),
    ]
    assert await shown(yard, production) == [(1, "Promote shop-staging v1 aaaaaaaa", "pending")]
    (target,) = await yard.see(lambda conn: promotions.targets(conn, promotion.id))
    made = await yard.see(lambda conn: releases.by_version(conn, production.id, 1))
    assert made is not None
    assert (target.release_id, made.slug_id) == (made.id, slug.id)
    await yard.calm()
    assert (await yard.report(f"github_deployment:{made.id}")).wanted["state"] == "queued"

    await work(yard.context, staging.id)

    assert [state for _, _, state in await shown(yard, staging)] == ["succeeded"] * 3
    await yard.calm()
    assert (await yard.report(f"github_deployment:{made.id}")).wanted["state"] == "success"


async def test_a_deploy_that_was_built_comes_behind_the_numbers_that_were_given_meanwhile(yard: Yard) -> None:
    app, _ = await serving(yard)
    asked, sha = await asked_to_deploy(yard, app)
    meanwhile(yard, lambda: configured(yard, app, A="1"))

    await work(yard.context, app.id)

    assert await shown(yard, app) == [
        (1, "Deploy aaaaaaaa", "succeeded"),
        (2, "Set A config vars", "succeeded"),
        (3, f"Deploy {sha[:8]}", "succeeded"),
    ]
    newest = await yard.see(lambda conn: releases.by_version(conn, app.id, 3))
    now = await yard.see(lambda conn: apps.get(conn, app.id))
    assert newest is not None
    assert now is not None
    assert now.current_release_id == newest.id
    assert await yard.see(lambda conn: releases.config(conn, yard.context.vault, newest.id)) == {"A": "1"}
    assert (await yard.request(asked.id)).state is RequestState.SUCCEEDED


async def test_a_rollback_holds_even_the_automatic_deploy_that_is_being_built(yard: Yard) -> None:
    app, _ = await serving(yard)
    asked, _ = await asked_to_deploy(yard, app, by_person=False)
    meanwhile(yard, lambda: rolled_back(yard, app))

    await work(yard.context, app.id)

    assert await shown(yard, app) == [(1, "Deploy aaaaaaaa", "succeeded"), (2, "Rollback to v1", "succeeded")]
    ended = await yard.request(asked.id)
    assert (ended.state, ended.reason) == (RequestState.SUPERSEDED, "held at v2")


@pytest.mark.parametrize("what", ["a rollback", "a restart"])
async def test_nothing_waits_for_a_deploy_that_waits_for_github(yard: Yard, what: str) -> None:
    app, _ = await serving(yard)
    asked, _ = await asked_to_deploy(yard, app)
    token = yard.context.github.git_token

    async def away(repository):
        raise Transient("GitHub does not answer", retry_after=3600.0)

    yard.context.github.git_token = away  # type: ignore[method-assign]
    await work(yard.context, app.id)
    waiting = await yard.request(asked.id)
    assert (waiting.state, waiting.reason) == (RequestState.RUNNING, "is tried again: GitHub does not answer")
    if what == "a rollback":
        back = await rolled_back(yard, app)
    else:
        back = await verbs(yard).restart(app_id=app.id, actor=ADA)
    await work(yard.context, app.id)
    assert (await yard.request(back.id)).state is RequestState.SUCCEEDED
    assert (await yard.request(asked.id)).state is RequestState.RUNNING
    yard.context.github.git_token = token  # type: ignore[method-assign]
    yard.clock.ahead += timedelta(hours=1, minutes=1)
    await work(yard.context, app.id)
    assert (await yard.request(asked.id)).state is RequestState.SUCCEEDED
    numbers = [1, 2, 3] if what == "a rollback" else [1, 2]
    assert [version for version, _, _ in await shown(yard, app)] == numbers


async def test_a_release_may_wait_for_its_turn_for_as_long_as_its_request(yard: Yard) -> None:
    app, _ = await serving(yard)
    asked = await configured(yard, app, A="1")
    yard.clock.ahead += timedelta(hours=23)
    await overdue(yard.context)
    assert (await yard.request(asked.id)).state is RequestState.QUEUED
    yard.clock.ahead += timedelta(hours=6)
    await overdue(yard.context)
    assert (await yard.request(asked.id)).state is RequestState.FAILED
    assert (await shown(yard, app))[-1][2] == "failed"


@pytest.mark.parametrize("kept", [True, False], ids=["as it is", "with its former config"])
async def test_a_number_of_an_app_that_is_destroyed_ends_with_it(yard: Yard, *, kept: bool) -> None:
    app, _ = await serving(yard)
    asked = await rolled_back(yard, app) if kept else await configured(yard, app, A="1")
    await yard.destroy(app.id)
    made = await yard.see(lambda conn: releases.of_request(conn, asked.id))
    assert made is not None
    assert made.state is ReleaseState.FAILED
    assert "destroyed" in made.error
