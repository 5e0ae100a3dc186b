"""What is over is forgotten after a month, and what plans, people or GitHub may still need is not."""

from datetime import timedelta

from sqlalchemy import func, select

from service.domain.decisions import ChangeConfig, Deploy, Subject, SubjectKind
from service.domain.facts import FactKey, FactKind, Head
from service.domain.model import App, ReleaseState, RequestState, Sha, Trust
from service.store import activity, apps, facts, releases, reports, requests, subjects, tables
from tests.workers.conftest import Yard
from workers.jobs import settle
from workers.jobs.loops import keep_house
from workers.jobs.reconcile import reconcile

MONTH = timedelta(days=31)


async def count(yard: Yard, table) -> int:
    return await yard.see(lambda conn: conn.execute(select(func.count()).select_from(table)).scalar_one())


async def failed_deploy(yard: Yard, app: App, sha: str, *, by_person: bool = False) -> str:
    work = Deploy(repository_id=yard.repository.id, sha=Sha(sha), trust=Trust.OWN, branch="master")

    def fail(tx) -> str:
        asked = tx.request(app.id, work, reason="test", by_person=by_person)
        settle.fail(tx, asked, "it does not build")
        return str(asked.id)

    return await yard.do(fail)


async def test_requests_go_and_what_was_tried_last_is_remembered(yard: Yard) -> None:
    """A commit that failed is not deployed again by itself a month later."""
    app, sha = await yard.app(), "b" * 40
    for number in range(5):
        await failed_deploy(yard, app, f"{number}" * 40)
    await failed_deploy(yard, app, sha)
    for number in range(3):
        await failed_deploy(yard, app, f"{number}" * 40, by_person=True)
    yard.clock.ahead += timedelta(days=29)
    await keep_house(yard.context)
    assert await count(yard, tables.requests) == 9
    yard.clock.ahead += timedelta(days=2)
    await keep_house(yard.context)
    left = await yard.see(lambda conn: [each.sha for each in requests.of_apps(conn, [app.id], limit=9)])
    assert left == ["2" * 40, sha]
    change = {"auto_deploy": True, "auto_deploy_branch": "master", "repository_id": yard.repository.id}

    def follow(tx) -> None:
        apps.update(tx.conn, app=app, now=tx.now, **change)
        key, head = FactKey(FactKind.HEAD, yard.repository.id, "master"), Head(branch="master", sha=Sha(sha))
        facts.learn(tx.conn, key, asked=facts.next_asked(tx.conn), value=head, error="", etag="", now=tx.now)
        tx.ring([subject], cause="test")

    subject = Subject(SubjectKind.AUTO_DEPLOY, app.id)
    await yard.do(follow)
    await reconcile(yard.context, *subject)
    (verdict,) = await yard.see(lambda conn: subjects.verdicts(conn, [subject]))
    assert verdict.reason == f"deploy of {sha[:7]} failed; push a new commit or deploy it again"


async def test_the_activity_log_stays_and_no_number_is_given_twice(yard: Yard) -> None:
    app, slug = await yard.app(), await yard.slug()
    for _ in range(3):
        await yard.released(app, slug)
    before = len(await yard.see(lambda conn: activity.listing(conn, app_id=app.id, limit=99)))
    yard.clock.ahead += 12 * MONTH
    await keep_house(yard.context)
    assert len(await yard.see(lambda conn: activity.listing(conn, app_id=app.id, limit=99))) == before
    assert (await yard.released(app, slug)).version == 4


async def test_of_an_app_that_is_gone_its_releases_go_too(yard: Yard) -> None:
    app, slug = await yard.app(), await yard.slug()
    await yard.released(app, slug)

    def gone(tx) -> None:
        tx.conn.execute(tables.apps.update().values(state="gone", updated_at=tx.now))

    await yard.do(gone)
    yard.clock.ahead += MONTH
    await keep_house(yard.context)
    assert await yard.see(lambda conn: [each.state.value for each in releases.of_app(conn, app.id)]) == ["expired"]
    yard.clock.ahead += MONTH
    await keep_house(yard.context)
    assert [await count(yard, each) for each in (tables.releases, tables.requests, tables.builds)] == [0, 0, 0]


async def test_config_vars_are_forgotten_with_the_release_that_had_them(yard: Yard) -> None:
    app, slug = await yard.app(), await yard.slug()
    made = [await yard.released(app, slug, ReleaseState.FAILED) for _ in range(22)]

    def seal(tx) -> None:
        tx.conn.execute(tables.releases.update().values(sealed_config=b"secret"))
        change = ChangeConfig(set_keys=("A",), unset_keys=())
        for state in (RequestState.SUCCEEDED, None):
            asked = tx.request(app.id, change, reason="test", by_person=True, sealed=b"secret")
            if state is not None:
                requests.finish(tx.conn, asked.id, state=state, outcome="", now=tx.now)

    await yard.do(seal)
    yard.clock.ahead += MONTH
    await keep_house(yard.context)
    await keep_house(yard.context)
    secret = select(tables.releases.c.version).where(tables.releases.c.sealed_config.is_not(None))
    kept = await yard.see(lambda conn: list(conn.execute(secret.order_by(tables.releases.c.version)).scalars()))
    assert made[0].version not in kept
    assert made[-1].version in kept
    assert await yard.see(lambda conn: releases.is_fixed(conn, made[-1].id))
    open_ones = select(tables.requests.c.state).where(tables.requests.c.sealed.is_not(None))
    assert await yard.see(lambda conn: set(conn.execute(open_ones).scalars())) == {"queued"}


async def test_reports_go_once_github_shows_their_end_but_for_those_of_releases_that_serve(yard: Yard) -> None:
    app, slug = await yard.app(), await yard.slug()
    old, serving = [await yard.released(app, slug) for _ in range(2)]
    wanted = {
        f"github_deployment:{old.id}": True,
        f"github_deployment:{serving.id}": True,
        f"check:{yard.pipeline.id}/{'a' * 40}": True,
        f"check:{yard.pipeline.id}/{'b' * 40}": False,
        "comment:1": True,
    }

    def put(tx) -> None:
        for key, terminal in wanted.items():
            kind = key.partition(":")[0]
            lane = {"repository_id": yard.repository.id, "installation_id": 1}
            reports.put(tx.conn, key=key, kind=kind, wanted={"key": key}, terminal=terminal, now=tx.now, **lane)
            shown = reports.get(tx.conn, key)
            assert shown is not None
            reports.shown(tx.conn, key=key, digest=shown.wanted_digest, github_id=1, now=tx.now)

    await yard.do(put)
    yard.clock.ahead += MONTH
    await keep_house(yard.context)
    left = await yard.see(lambda conn: set(conn.execute(select(tables.reports.c.key)).scalars()))
    assert left & set(wanted) == {
        f"github_deployment:{serving.id}",
        f"check:{yard.pipeline.id}/{'b' * 40}",
        "comment:1",
    }
