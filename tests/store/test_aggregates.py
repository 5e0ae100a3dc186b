"""What each aggregate promises to those who build on it."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Connection, select

from service.domain.decisions import Deploy
from service.domain.errors import Refused
from service.domain.model import (
    NO_REPOSITORY,
    BuildState,
    Release,
    ReleaseState,
    ReviewState,
    Sha,
    Slug,
    Stage,
    TargetState,
    Toggles,
    Trust,
)
from service.store import (
    activity,
    apps,
    builds,
    pipelines,
    promotions,
    releases,
    reports,
    repositories,
    requests,
    reviews,
    tokens,
    users,
)
from service.store.database import Conflict, Database
from service.store.secrets import Vault
from service.store.tables import api_tokens
from tests.store.making import NOW, REPOSITORY, make_app, make_pipeline, make_request, make_review

SHA = Sha("c" * 40)


def make_release(conn: Connection, app_id: str, request_id: str | None = None) -> Release:
    return releases.create(
        conn,
        app_id=app_id,
        request_id=request_id or make_request(conn, app_id).id,
        slug_id=None,
        commit=None,
        repository_id=None,
        description="test",
        actor="test",
        log_id="",
        now=NOW,
    )


async def test_release_numbers_are_given_once_however_many_ask(database: Database) -> None:
    app = await database.write(make_app)
    made = await asyncio.gather(*(database.write(lambda conn: make_release(conn, app.id)) for _ in range(12)))
    assert sorted(release.version for release in made) == list(range(1, 13))


async def test_a_request_leads_to_one_release_however_often_it_is_worked(database: Database) -> None:
    app = await database.write(make_app)
    request = await database.write(lambda conn: make_request(conn, app.id))
    first = await database.write(lambda conn: make_release(conn, app.id, request.id))
    assert await database.write(lambda conn: make_release(conn, app.id, request.id)) == first
    assert (await database.write(lambda conn: make_release(conn, app.id))).version == 2


async def test_the_last_succeeded_release_is_what_the_next_builds_on(database: Database, vault: Vault) -> None:
    app = await database.write(make_app)
    one, two, three = [await database.write(lambda conn: make_release(conn, app.id)) for _ in range(3)]

    def run(conn: Connection) -> None:
        sealed = vault.seal_vars({"A": "1"}, releases.config_context(one.id))
        releases.fix(
            conn, release_id=one.id, slug_id=None, commit=None, repository_id=None, sealed_config=sealed, now=NOW
        )
        releases.finish(conn, release_id=one.id, state=ReleaseState.SUCCEEDED, error="", now=NOW)
        releases.finish(conn, release_id=two.id, state=ReleaseState.FAILED, error="exit code 1", now=NOW)

    await database.write(run)
    last = await database.read(lambda conn: releases.last_succeeded(conn, app.id, before_version=three.version))
    assert last is not None
    assert last.version == 1
    assert await database.read(lambda conn: releases.config(conn, vault, one.id)) == {"A": "1"}
    assert [each.version for each in await database.read(lambda conn: releases.of_app(conn, app.id, 2))] == [3, 2]
    assert await database.read(lambda conn: releases.last_succeeded(conn, app.id, before_version=1)) is None


async def test_a_slug_is_found_by_its_key_only_within_its_trust(database: Database) -> None:
    def add(conn: Connection, trust: Trust, key: str) -> str:
        return builds.add_slug(
            conn,
            trust=trust,
            build_key=key,
            sha256="s" * 64,
            size=5,
            process_types={"web": "x"},
            stack="host",
            locked=True,
            now=NOW,
        ).id

    fork = await database.write(lambda conn: add(conn, Trust.FORK, "k1"))

    def find(conn: Connection, key: str) -> Slug | None:
        return builds.slug_for(conn, trust=Trust.OWN, build_key=key, unlocked_since=NOW)

    assert await database.read(lambda conn: find(conn, "k1")) is None
    own = await database.write(lambda conn: add(conn, Trust.OWN, "k1"))
    assert own != fork
    assert await database.write(lambda conn: add(conn, Trust.OWN, "k2")) == own
    found = await database.read(lambda conn: find(conn, "k2"))
    assert found is not None
    assert (found.id, found.process_types) == (own, {"web": "x"})


async def test_a_build_without_a_lock_file_is_found_only_while_it_is_young(database: Database) -> None:
    def add(conn: Connection, key: str, *, locked: bool) -> None:
        builds.add_slug(
            conn,
            trust=Trust.OWN,
            build_key=key,
            sha256="s" * 64,
            size=5,
            process_types={},
            stack="host",
            locked=locked,
            now=NOW,
        )

    async def found(key: str, age: timedelta) -> bool:
        return await database.read(
            lambda conn: builds.slug_for(conn, trust=Trust.OWN, build_key=key, unlocked_since=NOW - age) is not None
        )

    for key, locked in (("locked", True), ("not", False)):
        await database.write(lambda conn, key=key, locked=locked: add(conn, key, locked=locked))
    young, old = timedelta(), timedelta(seconds=-1)
    assert [await found("locked", young), await found("locked", old)] == [True, True]
    assert [await found("not", young), await found("not", old)] == [True, False]
    await database.write(lambda conn: add(conn, "locked", locked=False))
    assert not await found("locked", old)


async def test_a_build_is_made_once_per_request_and_finished(database: Database) -> None:
    def build(conn: Connection, request_id: str) -> str:
        return builds.create(
            conn, app_id=app.id, request_id=request_id, repository_id=7, sha="a" * 40, log_id="", now=NOW
        ).id

    app = await database.write(make_app)
    request = await database.write(lambda conn: make_request(conn, app.id, sha="a" * 40))
    made = await database.write(lambda conn: build(conn, request.id))
    assert await database.write(lambda conn: build(conn, request.id)) == made
    ended = await database.write(
        lambda conn: builds.finish(conn, build_id=made, state=BuildState.FAILED, slug_id=None, error="no", now=NOW)
    )
    assert await database.read(lambda conn: builds.of_app(conn, app.id, 5)) == [ended]
    assert ended.error == "no"


async def test_pipeline_toggles_survive_and_a_lost_race_is_a_conflict(database: Database) -> None:
    pipeline_id = await database.write(make_pipeline)
    (before,) = await database.read(lambda conn: pipelines.find(conn, "shop"))
    toggles = Toggles(review_apps=True, required_contexts=("ci/test",), stale_days=3)
    await database.write(lambda conn: pipelines.update(conn, pipeline=before, now=NOW, toggles=toggles))
    after = await database.read(lambda conn: pipelines.get(conn, pipeline_id))
    assert after is not None
    assert after.toggles == toggles
    with pytest.raises(Conflict):
        await database.write(lambda conn: pipelines.update(conn, pipeline=before, now=NOW, name="other"))


async def test_stage_config_is_kept_per_stage(database: Database, vault: Vault) -> None:
    pipeline_id = await database.write(make_pipeline)
    for value in ("1", "2"):
        await database.write(
            lambda conn, value=value: pipelines.set_stage_config(
                conn, vault, pipeline_id=pipeline_id, stage=Stage.REVIEW, variables={"A": value}, now=NOW
            )
        )
    assert await database.read(lambda conn: pipelines.stage_config(conn, vault, pipeline_id, Stage.REVIEW)) == {
        "A": "2"
    }
    assert await database.read(lambda conn: pipelines.stage_config(conn, vault, pipeline_id, Stage.TEST)) == {}


async def test_a_pipeline_goes_only_without_review_apps_and_leaves_its_apps(database: Database) -> None:
    pipeline_id = await database.write(lambda conn: make_pipeline(conn, repository=REPOSITORY))
    app = await database.write(make_app)
    await database.write(
        lambda conn: pipelines.couple(conn, app_id=app.id, pipeline_id=pipeline_id, stage=Stage.STAGING, now=NOW)
    )
    review = await database.write(lambda conn: make_review(conn, pipeline_id, state=ReviewState.LIVE, app_id="x"))
    with pytest.raises(Refused, match="still has review apps"):
        await database.write(lambda conn: pipelines.delete(conn, pipeline_id))
    await database.write(lambda conn: reviews.update(conn, review=review, now=NOW, state=ReviewState.DESTROYED))
    assert await database.read(lambda conn: pipelines.members(conn, pipeline_id)) == [(app, Stage.STAGING)]
    await database.write(lambda conn: pipelines.delete(conn, pipeline_id))
    assert await database.read(lambda conn: pipelines.coupling_of(conn, app.id)) is None
    assert await database.read(lambda conn: apps.find(conn, "shop")) is not None


async def test_only_active_apps_on_the_branch_are_deployed_automatically(database: Database) -> None:
    await database.write(lambda conn: repositories.remember(conn, REPOSITORY, NOW))
    for name, branch in (("one", "main"), ("two", "dev")):
        app = await database.write(lambda conn, name=name: make_app(conn, name))
        await database.write(
            lambda conn, app=app, branch=branch: apps.update(
                conn, app=app, now=NOW, auto_deploy=True, auto_deploy_branch=branch, repository_id=REPOSITORY.id
            )
        )

    def names(conn: Connection, branch: str | None) -> list[str]:
        return [app.name for app in pipelines.auto_deploys(conn, repository_id=REPOSITORY.id, branch=branch)]

    assert await database.read(lambda conn: names(conn, "main")) == ["one"]
    assert await database.read(lambda conn: names(conn, None)) == ["one", "two"]


async def test_the_newest_generation_of_each_review_app_counts(database: Database) -> None:
    pipeline_id = await database.write(lambda conn: make_pipeline(conn, repository=REPOSITORY))
    await database.write(lambda conn: make_review(conn, pipeline_id, state=ReviewState.DESTROYED))
    second = await database.write(
        lambda conn: make_review(conn, pipeline_id, generation=2, state=ReviewState.LIVE, app_id="x")
    )
    await database.write(lambda conn: make_review(conn, pipeline_id, ref="pr:2", state=ReviewState.DESTROYED))
    newest = await database.read(
        lambda conn: reviews.latest(conn, pipeline_id=pipeline_id, repository_id=REPOSITORY.id, ref="pr:1")
    )
    assert newest == second
    assert await database.read(lambda conn: reviews.of_repository(conn, REPOSITORY.id)) == [second]
    assert len(await database.read(lambda conn: reviews.of_pipeline(conn, pipeline_id))) == 2
    assert await database.read(lambda conn: reviews.live_count(conn, pipeline_id)) == 1


async def test_promotion_targets_end_on_their_own(database: Database) -> None:
    pipeline_id = await database.write(make_pipeline)
    apps_made = [await database.write(lambda conn, name=name: make_app(conn, name)) for name in ("one", "two")]

    def promote(conn: Connection) -> str:
        slug = builds.add_slug(
            conn,
            trust=Trust.OWN,
            build_key="k",
            sha256="s" * 64,
            size=5,
            process_types={},
            stack="host",
            locked=True,
            now=NOW,
        )
        targets = [(app.id, make_request(conn, app.id).id, None) for app in apps_made]
        return promotions.create(
            conn,
            pipeline_id=pipeline_id,
            source_app_id="source",
            source_release_id="release",
            slug_id=slug.id,
            actor="test",
            targets=targets,
            now=NOW,
        ).id

    promotion_id = await database.write(promote)
    first, second = await database.read(lambda conn: promotions.targets(conn, promotion_id))
    await database.write(
        lambda conn: promotions.finish_target(
            conn, target_id=first.id, state=TargetState.FAILED, error="exit code 1", now=NOW
        )
    )
    assert await database.read(lambda conn: promotions.target_of_request(conn, second.request_id)) == second
    states = [target.state for target in await database.read(lambda conn: promotions.targets(conn, promotion_id))]
    assert states == [TargetState.FAILED, TargetState.PENDING]


async def test_an_event_updates_a_known_repository_and_leaves_an_unknown_one_alone(database: Database) -> None:
    await database.write(lambda conn: repositories.see(conn, REPOSITORY, NOW))
    assert await database.read(repositories.listing) == []
    await database.write(lambda conn: repositories.remember(conn, REPOSITORY, NOW))
    await database.write(lambda conn: repositories.set_accessible(conn, REPOSITORY.id, False, NOW))
    renamed = replace(REPOSITORY, full_name="acme/store", installation_id=0)
    await database.write(lambda conn: repositories.see(conn, renamed, NOW))
    assert await database.read(lambda conn: repositories.by_name(conn, "acme/store")) == replace(
        REPOSITORY, full_name="acme/store", accessible=False, lost_at=NOW
    )


async def test_activity_is_listed_by_what_it_is_about(database: Database) -> None:
    for action, app_id in (("created", "one"), ("deployed", "one"), ("created", "two")):
        await database.write(
            lambda conn, action=action, app_id=app_id: activity.record(
                conn, now=NOW, actor="user:a@b", action=action, app_id=app_id, data={"n": 1}
            )
        )
    found = await database.read(lambda conn: activity.listing(conn, app_id="one", limit=5))
    assert [(entry.action, entry.data) for entry in found] == [("deployed", {"n": 1}), ("created", {"n": 1})]


async def test_a_token_is_kept_as_a_digest_and_expires(database: Database) -> None:
    user_id = await database.write(lambda conn: users.ensure_embedded_user(conn, now=NOW))
    assert await database.write(lambda conn: users.ensure_embedded_user(conn, now=NOW)) == user_id
    token, secret = await database.write(
        lambda conn: tokens.create(conn, user_id=user_id, description="", now=NOW, lasts=timedelta(hours=1))
    )
    assert await database.read(lambda conn: tokens.by_secret(conn, secret, NOW)) == token
    assert token.user_id == user_id
    assert await database.read(lambda conn: tokens.by_secret(conn, secret + "x", NOW)) is None
    assert await database.read(lambda conn: tokens.by_secret(conn, secret, NOW + timedelta(hours=1))) is None
    (row,) = await database.read(lambda conn: conn.execute(select(api_tokens)).mappings().all())
    assert secret not in str(dict(row))
    assert len(token.prefix) < 16
    assert secret.startswith(token.prefix)


def show(conn: Connection, key: str, state: str, *, terminal: bool = False, minutes: int = 0) -> bool:
    return reports.put(
        conn,
        key=key,
        kind="check",
        repository_id=7,
        installation_id=3,
        wanted={"state": state},
        terminal=terminal,
        now=NOW + timedelta(minutes=minutes),
    )


async def test_the_newest_report_wins_and_what_is_shown_is_not_written_again(database: Database) -> None:
    assert await database.write(lambda conn: show(conn, "one", "queued"))
    (first,) = await database.read(lambda conn: reports.pending(conn, lane=3, now=NOW, limit=5))
    assert await database.write(lambda conn: show(conn, "one", "done"))
    await database.write(lambda conn: reports.shown(conn, key="one", digest=first.wanted_digest, github_id=42, now=NOW))
    (second,) = await database.read(lambda conn: reports.pending(conn, lane=3, now=NOW, limit=5))
    assert (second.wanted, second.github_id) == ({"state": "done"}, 42)
    await database.write(
        lambda conn: reports.shown(conn, key="one", digest=second.wanted_digest, github_id=42, now=NOW)
    )
    assert not await database.write(lambda conn: show(conn, "one", "done"))
    assert await database.read(reports.unfinished) == 0


async def test_what_was_sent_beside_a_later_attempt_is_told_again(database: Database) -> None:
    await database.write(lambda conn: show(conn, "one", "live"))
    first = await database.write(lambda conn: reports.begin(conn, lane=3, now=NOW))
    await database.write(lambda conn: show(conn, "one", "replaced"))
    second = await database.write(lambda conn: reports.begin(conn, lane=3, now=NOW))
    assert first is not None
    assert second is not None

    async def ended(attempt: reports.Report) -> None:
        await database.write(
            lambda conn: reports.shown(
                conn, key="one", digest=attempt.wanted_digest, github_id=42, now=NOW, attempt=attempt.attempt
            )
        )

    await ended(second)
    assert await database.read(reports.unfinished) == 0
    await ended(first)
    third = await database.write(lambda conn: reports.begin(conn, lane=3, now=NOW))
    assert third is not None
    assert (third.wanted, third.attempted, third.github_id) == ({"state": "replaced"}, True, 42)
    await ended(third)
    assert await database.read(reports.unfinished) == 0


async def test_of_two_attempts_under_way_neither_is_taken_for_the_last(database: Database) -> None:
    await database.write(lambda conn: show(conn, "one", "live"))
    first = await database.write(lambda conn: reports.begin(conn, lane=3, now=NOW))
    await database.write(lambda conn: show(conn, "one", "replaced"))
    second = await database.write(lambda conn: reports.begin(conn, lane=3, now=NOW))
    assert first is not None
    assert second is not None
    await database.write(lambda conn: reports.broken_off(conn, key="one", attempt=first.attempt))
    await database.write(
        lambda conn: reports.shown(
            conn, key="one", digest=second.wanted_digest, github_id=42, now=NOW, attempt=second.attempt
        )
    )
    third = await database.write(lambda conn: reports.begin(conn, lane=3, now=NOW))
    assert third is not None
    assert (third.wanted, third.attempted) == ({"state": "replaced"}, True)


async def test_final_reports_go_first_and_failed_ones_wait_their_time(database: Database) -> None:
    await database.write(lambda conn: show(conn, "old", "queued"))
    await database.write(lambda conn: show(conn, "new", "done", terminal=True, minutes=1))
    await database.write(lambda conn: show(conn, "later", "queued"))
    later = NOW + timedelta(minutes=5)
    await database.write(
        lambda conn: reports.failed(conn, key="later", error="502", retry_at=later, final=False, now=NOW)
    )

    def keys(conn: Connection, at: int) -> list[str]:
        return [report.key for report in reports.pending(conn, lane=3, now=NOW + timedelta(minutes=at), limit=5)]

    assert await database.read(lambda conn: keys(conn, 1)) == ["new", "old"]
    assert await database.read(lambda conn: keys(conn, 5)) == ["new", "later", "old"]
    await database.write(lambda conn: reports.failed(conn, key="old", error="404", retry_at=None, final=True, now=NOW))
    assert await database.read(lambda conn: keys(conn, 5)) == ["new", "later"]


async def test_a_refusal_from_before_access_came_back_is_not_the_last_word(database: Database) -> None:
    def put(conn: Connection) -> None:
        wanted = {"state": "live"}
        reports.put(
            conn, key="k", kind="check", repository_id=9, installation_id=3, wanted=wanted, terminal=True, now=NOW
        )

    await database.write(put)
    begun = await database.write(lambda conn: reports.begin(conn, lane=3, now=NOW))
    assert begun is not None
    await database.write(lambda conn: reports.revive(conn, 9))
    await database.write(
        lambda conn: reports.failed(
            conn, key="k", error="404", retry_at=None, final=True, now=NOW, attempt=begun.attempt
        )
    )
    again = await database.read(lambda conn: reports.get(conn, "k"))
    assert again is not None
    assert (again.pending, again.attempted) == (True, True)


async def test_what_github_has_deployed_is_found_however_often_the_same_commit_was_pushed(database: Database) -> None:
    own = Deploy(repository_id=REPOSITORY.id, sha=SHA, trust=Trust.OWN, branch="main")
    pushed = Deploy(repository_id=NO_REPOSITORY, sha=SHA, trust=Trust.SENT, branch="", pushed_to="main")

    def make(conn: Connection) -> None:
        app = make_app(conn)
        for minute, (work, reason) in enumerate([(own, "deployed"), (pushed, "pushed"), (pushed, "pushed again")]):
            at = NOW + timedelta(minutes=minute)
            requests.add(conn, app_id=app.id, work=work, actor="test", reason=reason, by_person=True, now=at)

    def reasons(conn: Connection, *, pushed_too: bool) -> list[str]:
        return [each.reason for each in requests.of_commit(conn, SHA, limit=2, pushed_too=pushed_too)]

    await database.write(make)
    assert await database.read(lambda conn: reasons(conn, pushed_too=False)) == ["deployed"]
    assert await database.read(lambda conn: reasons(conn, pushed_too=True)) == ["pushed again", "pushed"]
