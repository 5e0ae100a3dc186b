"""Parity with Heroku, rows 3 and 9: releases expire after 30 days and 20 releases, and what has expired is refused."""

import os
from datetime import timedelta

import pytest

from service.domain.errors import Refused
from service.domain.model import App, ReleaseState, Slug, Stage, Trust
from service.enactor import Enactor
from service.store import apps, builds, releases, requests
from tests.workers.conftest import Yard
from workers.jobs.retention import retain

MONTH = timedelta(days=31)


def verbs(yard: Yard) -> Enactor:
    return Enactor(db=yard.db, vault=yard.context.vault, queue=yard.bell)


async def states(yard: Yard, app: App) -> dict[int, str]:
    return {each.version: each.state.value for each in await yard.see(lambda conn: releases.of_app(conn, app.id))}


def age(yard: Yard, slug: Slug) -> None:
    """Make the slug's file as old as the clock says that its row is."""
    moment = (yard.clock() - timedelta(days=62)).timestamp()
    os.utime(yard.context.slugs.blob(slug.trust, slug.sha256), (moment, moment))


async def test_retention_30_days_and_20_releases(yard: Yard) -> None:
    app = await yard.app("shop-staging", Stage.STAGING)
    old, new = await yard.slug("old"), await yard.slug("new")
    for _ in range(4):
        await yard.released(app, old)
    await yard.released(app, old, ReleaseState.FAILED)
    for _ in range(19):
        await yard.released(app, new)

    yard.clock.ahead += timedelta(days=29)
    await retain(yard.context)
    assert set((await states(yard, app)).values()) == {"succeeded", "failed"}, "20 releases, but not 30 days"

    yard.clock.ahead += timedelta(days=2)
    await retain(yard.context)
    expired = [version for version, state in (await states(yard, app)).items() if state == "expired"]
    assert sorted(expired) == [1, 2, 3, 4], "the last 20 stay, whatever their age"

    await yard.released(app, new)
    await retain(yard.context)
    assert (await states(yard, app))[5] == "expired", "failed ones go too"


async def test_a_slug_that_serves_anywhere_is_kept_and_one_that_nothing_leads_to_is_deleted(yard: Yard) -> None:
    staging, production = await yard.app("shop-staging", Stage.STAGING), await yard.app()
    served, forgotten, newest = [await yard.slug(name) for name in ("served", "forgotten", "newest")]
    await yard.released(staging, served)
    await yard.released(staging, forgotten)
    await yard.released(production, served)
    for _ in range(20):
        await yard.released(staging, newest)
    yard.clock.ahead += MONTH
    for slug in (served, forgotten, newest):
        age(yard, slug)

    await retain(yard.context)

    assert {version: state for version, state in (await states(yard, staging)).items() if version < 4} == {
        1: "succeeded",
        2: "expired",
        3: "succeeded",
    }
    files = [yard.context.slugs.blob(slug.trust, slug.sha256) for slug in (served, forgotten, newest)]
    assert [file.exists() for file in files] == [True, True, True], "files go in the next round"
    await retain(yard.context)
    assert [file.exists() for file in files] == [True, False, True]
    assert not files[1].with_name(forgotten.sha256).exists()
    key = "key of forgotten"
    assert (
        await yard.see(lambda conn: builds.slug_for(conn, trust=Trust.OWN, build_key=key, unlocked_since=yard.clock()))
        is None
    )

    again = await yard.slug("forgotten")
    assert again.id == forgotten.id
    await retain(yard.context)
    assert files[1].exists(), "what is built again is kept again"


async def test_releases_of_an_app_that_is_gone_expire_after_30_days(yard: Yard) -> None:
    app, slug = await yard.app("shop-pr-1", Stage.REVIEW), await yard.slug("review")
    await yard.released(app, slug)
    await yard.destroy(app.id)
    gone = await yard.see(lambda conn: apps.get(conn, app.id))
    assert gone is not None
    await yard.do(lambda tx: apps.forget(tx.conn, app=gone, now=tx.now))
    await retain(yard.context)
    assert await states(yard, app) == {1: "succeeded"}

    yard.clock.ahead += MONTH
    await retain(yard.context)

    assert await states(yard, app) == {1: "expired"}


async def test_an_expired_release_is_refused_for_promotion_rollback_and_retry(yard: Yard) -> None:
    staging, production = await yard.app("shop-staging", Stage.STAGING), await yard.app()
    old, new = await yard.slug("old"), await yard.slug("new")
    expired = await yard.released(staging, old)
    for _ in range(20):
        await yard.released(staging, new)
    yard.clock.ahead += MONTH
    await retain(yard.context)

    with pytest.raises(Refused, match="Release v1 of shop-staging is expired and cannot be promoted"):
        await verbs(yard).promote(
            pipeline_id=yard.pipeline.id,
            source_app_id=staging.id,
            release_id=expired.id,
            target_app_ids=None,
            actor="user:ada",
        )
    with pytest.raises(Refused, match="Cannot roll back to v1: it is expired"):
        await verbs(yard).rollback(app_id=staging.id, release_id=expired.id, keep_config=False, actor="user:ada")
    with pytest.raises(Refused, match="Release v1 is expired"):
        await verbs(yard).release_slug(app_id=staging.id, slug_id=old.id, description="", actor="user:ada")
    assert await yard.see(lambda conn: requests.open_of(conn, production.id)) == []
    assert await yard.see(lambda conn: requests.open_of(conn, staging.id)) == []
