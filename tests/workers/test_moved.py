"""Repositories that are renamed, given away, archived or get another default branch, and nobody says so.

Each row is told by GitHub's event, and found by the audit where that was lost.
"""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest

from service.domain.decisions import Subject, SubjectKind
from service.domain.errors import Transient
from service.domain.facts import FactKey, FactKind
from service.domain.model import App, Repository, RequestState, ReviewState
from service.domain.review_rules import ARCHIVED
from service.store import activity, apps, deliveries, facts, repositories, requests, reviews, subjects
from service.store.deliveries import Inbox
from tests.workers.conftest import Yard
from workers.jobs import loops
from workers.jobs.look import look
from workers.jobs.react import react
from workers.jobs.report import report

LOST: Final = pytest.mark.parametrize("told", [True, False], ids=["told by its event", "found by the audit"])


class Ears:
    """Every event that GitHub sends from now on; they are heard when the test says so."""

    def __init__(self, yard: Yard) -> None:
        self.yard = yard
        self.events: list[tuple[str, dict[str, Any]]] = []
        yard.edge.sim.sender.watchers.append(lambda event, payload: self.events.append((event, payload)))

    async def hear(self, *, told: bool) -> None:
        """Take in what was sent; or nothing of it, and audit."""
        sent, self.events[:] = list(self.events), []
        if not told:
            await audited(self.yard)
            return
        for event, payload in sent:
            await arrived(self.yard, event, payload)
        await self.yard.calm()


@pytest.fixture
def ears(yard: Yard) -> Ears:
    return Ears(yard)


async def audited(yard: Yard) -> None:
    yard.clock.ahead += timedelta(seconds=yard.context.settings.audit_seconds)
    await loops.audit(yard.context)
    await yard.calm()


async def arrived(yard: Yard, event: str, payload: dict[str, Any], *, at: timedelta = timedelta()) -> str:
    """An event from its arrival to its verdict, which is returned; `at` is how long ago it came."""
    inbox = await Inbox.open(yard.db.url)
    count = len(await yard.see(lambda conn: deliveries.listing(conn, 1000)))
    guid = f"arrived-{count}"
    await inbox.put(
        guid=guid,
        event=event,
        action="",
        repository_id=yard.repository.id,
        installation_id=None,
        body=json.dumps(payload).encode(),
        received_at=yard.clock() - at,
    )
    await inbox.close()
    await react(yard.context, guid)
    found = await yard.see(lambda conn: deliveries.get(conn, guid))
    assert found is not None
    return found.verdict


async def known(yard: Yard) -> Repository:
    found = await yard.see(lambda conn: repositories.get(conn, yard.repository.id))
    assert found is not None
    return found


async def app_of(yard: Yard, app: App) -> App:
    found = await yard.see(lambda conn: apps.get(conn, app.id))
    assert found is not None
    return found


async def noted(yard: Yard) -> list[str]:
    """What the activity log says of it, the oldest first."""
    entries = await yard.see(lambda conn: activity.listing(conn, limit=100))
    return [each.action for each in reversed(entries) if "repository" in each.action or "branch" in each.action]


async def following(yard: Yard, name: str, *, default: bool) -> App:
    app = await yard.app(name)
    change = {"auto_deploy": True, "auto_deploy_branch": "master", "follows_default": default}
    return await yard.do(
        lambda tx: apps.update(tx.conn, app=app, now=tx.now, repository_id=yard.repository.id, **change)
    )


async def verdict(yard: Yard, kind: SubjectKind, key: str) -> str:
    subject = Subject(kind, key)
    await yard.do(lambda tx: tx.ring([subject], cause="the test"))
    await yard.calm()
    (found,) = await yard.see(lambda conn: subjects.verdicts(conn, [subject]))
    return found.reason


async def opened(yard: Yard, branch: str = "topic") -> str:
    """A pull request with a review app that is asked for; returns its head."""
    sha = await yard.edge.sim.push("acme/shop", branch, {"a": branch})
    await yard.edge.sim.open_pull("acme/shop", branch)
    return sha


async def review_of(yard: Yard, number: int = 1) -> Any:
    found = await yard.see(lambda conn: reviews.of_repository(conn, yard.repository.id))
    return next(each for each in found if each.ref == f"pr:{number}")


@LOST
async def test_a_renamed_repository_is_the_same_under_its_new_name(yard: Yard, ears: Ears, told: bool) -> None:
    sha = await opened(yard)
    await ears.hear(told=told)
    yard.edge.sim.rename_repo("acme/shop", "store")
    await yard.edge.sim.create_repo("acme/shop", files={"another": "repository"})
    await ears.hear(told=told)
    assert (await known(yard)).full_name == "acme/store"
    assert "repository renamed" in await noted(yard)
    assert (await review_of(yard)).state is ReviewState.CREATING
    await report(yard.context)
    assert [each["head_sha"] for each in yard.edge.sim.reported("acme/store")["check_runs"]] == [sha]
    assert yard.edge.sim.reported("acme/shop")["check_runs"] == []


@LOST
async def test_a_repository_is_the_same_with_another_owner_who_has_the_app(yard: Yard, ears: Ears, told: bool) -> None:
    sim = yard.edge.sim
    await opened(yard)
    await ears.hear(told=told)
    theirs = sim.install("globex").id
    sim.transfer_repo("acme/shop", "globex")
    await ears.hear(told=told)
    await ears.hear(told=False)  # an audit after the event finds nothing else
    found = await known(yard)
    assert (found.full_name, found.installation_id, found.accessible) == ("globex/shop", theirs, True)
    moved = await sim.push("globex/shop", "topic", {"a": "moved"})
    await ears.hear(told=told)
    assert (await review_of(yard)).sha == moved
    await report(yard.context)
    assert moved in {each["head_sha"] for each in sim.reported("globex/shop")["check_runs"]}


async def problem(yard: Yard) -> str:
    """What an audit was answered instead of what the repository is."""
    found = await yard.see(lambda conn: facts.load(conn, FactKey(FactKind.REPOSITORY, yard.repository.id, "")))
    assert found is not None
    return found.error


async def test_a_repository_whose_new_owner_has_not_the_app_keeps_all_it_has_and_says_why(yard: Yard) -> None:
    sim = yard.edge.sim
    await opened(yard)
    await audited(yard)
    before = await review_of(yard)
    sim.transfer_repo("acme/shop", "globex")
    yard.edge.clock.seconds += 3600  # a token that reads it anyhow would be over by then
    await audited(yard)
    assert "the GitHub App is not installed on acme/shop" in await problem(yard)
    assert await review_of(yard) == before
    theirs = sim.install("globex").id
    await audited(yard)
    assert await problem(yard) == ""
    assert ((await known(yard)).full_name, (await known(yard)).installation_id) == ("globex/shop", theirs)


async def test_a_deleted_repository_keeps_all_it_has_and_says_why(yard: Yard) -> None:
    """GitHub sends no event of it to an App, and 404 says that something cannot be seen, not that it is gone."""
    await opened(yard)
    await audited(yard)
    before = await review_of(yard)
    yard.edge.sim.delete_repo("acme/shop")
    await audited(yard)
    assert "GitHub does not show acme/shop: Not Found" in await problem(yard)
    yard.edge.clock.seconds += 3600
    yard.clock.ahead += timedelta(days=3)
    await audited(yard)
    assert "acme/shop" in await problem(yard)
    assert await review_of(yard) == before
    assert [each.kind for each in await yard.see(lambda conn: requests.open_of(conn, before.app_id))] == ["Deploy"]


@LOST
async def test_a_repository_that_is_made_private_goes_on(yard: Yard, ears: Ears, told: bool) -> None:
    await opened(yard)
    await ears.hear(told=told)
    yard.edge.sim.set_private("acme/shop")
    await ears.hear(told=told)
    moved = await yard.edge.sim.push("acme/shop", "topic", {"a": "private"})
    await ears.hear(told=told)
    assert (await review_of(yard)).sha == moved


@LOST
async def test_who_follows_the_default_branch_follows_it_to_its_new_name_and_who_named_one_keeps_to_it(
    yard: Yard, ears: Ears, told: bool
) -> None:
    anyhow = await following(yard, "shop-staging", default=True)
    named = await following(yard, "shop-prod", default=False)
    await audited(yard)
    before = await yard.edge.sim.head("acme/shop")
    await yard.edge.sim.rename_branch("acme/shop", "master", "main")
    await ears.hear(told=told)
    assert (await known(yard)).default_branch == "main"
    assert (await app_of(yard, anyhow)).auto_deploy_branch == "main"
    assert (await app_of(yard, named)).auto_deploy_branch == "master"
    assert "auto-deploy follows the default branch" in await noted(yard)
    assert "follow main: towpath deploy:auto on --default-branch -a shop-prod" in await verdict(
        yard, SubjectKind.AUTO_DEPLOY, named.id
    )
    asked = await yard.see(lambda conn: requests.open_of(conn, anyhow.id))
    assert [each.sha for each in asked] == [before]
    pushed = await yard.edge.sim.push("acme/shop", "main", {"b": "1"})
    await ears.hear(told=told)
    asked = await yard.see(lambda conn: requests.open_of(conn, anyhow.id))
    assert [each.sha for each in asked if each.state is RequestState.QUEUED][-1] == pushed


@LOST
async def test_another_default_branch_takes_nobody_along_who_named_the_former_one(
    yard: Yard, ears: Ears, told: bool
) -> None:
    anyhow = await following(yard, "shop-staging", default=True)
    named = await following(yard, "shop-prod", default=False)
    await yard.edge.sim.push("acme/shop", "develop", {"b": "1"})
    yard.edge.sim.set_default_branch("acme/shop", "develop")
    await ears.hear(told=told)
    assert (await app_of(yard, anyhow)).auto_deploy_branch == "develop"
    assert (await app_of(yard, named)).auto_deploy_branch == "master"


@LOST
async def test_an_archived_repository_keeps_what_it_has_is_told_nothing_and_gets_nothing_new(
    yard: Yard, ears: Ears, told: bool
) -> None:
    sim = yard.edge.sim
    await opened(yard)
    await ears.hear(told=told)
    await report(yard.context)
    sim.set_archived("acme/shop")
    await ears.hear(told=told)
    assert (await known(yard)).archived
    assert "repository archived" in await noted(yard)
    late = await opened(yard, "late")  # it was opened at that very moment
    await ears.hear(told=told)
    assert ((await review_of(yard)).state, (await review_of(yard, 2)).reason) == (ReviewState.CREATING, ARCHIVED)

    yard.edge.lines.clear()
    for _ in range(20):
        await report(yard.context)
        yard.clock.ahead += timedelta(hours=3)
        await audited(yard)
    writes = [line for line in yard.edge.lines if not line.startswith("GET") and "access_tokens" not in line]
    assert writes
    assert len(writes) == len(set(writes))
    assert sim.reported("acme/shop")["check_runs"][-1]["head_sha"] != late

    sim.set_archived("acme/shop", False)
    await ears.hear(told=told)
    await report(yard.context)
    assert late in {each["head_sha"] for each in sim.reported("acme/shop")["check_runs"]}
    assert (await review_of(yard, 2)).state is ReviewState.CREATING


async def test_a_repository_that_was_given_to_another_installation_is_not_lost_when_its_removal_is_told_late(
    yard: Yard,
) -> None:
    sim, ours = yard.edge.sim, yard.repository.installation_id
    theirs = sim.install("globex").id
    sim.transfer_repo("acme/shop", "globex")
    gone = [{"id": yard.repository.id, "full_name": "acme/shop"}]
    account = {"login": "acme"}
    added = {"action": "added", "installation": {"id": theirs, "account": account}, "repositories_added": gone}
    removed = {"action": "removed", "installation": {"id": ours, "account": account}, "repositories_removed": gone}
    await arrived(yard, "installation_repositories", added)
    await arrived(yard, "installation_repositories", removed)
    await arrived(yard, "installation_repositories", added | {"installation": {"id": ours, "account": account}})
    found = await known(yard)
    assert (found.accessible, found.installation_id) == (True, theirs)


async def test_a_removal_that_is_long_past_takes_nothing_out_of_reach(yard: Yard) -> None:
    account, gone = {"login": "acme"}, [{"id": yard.repository.id, "full_name": "acme/shop"}]
    about = {"id": yard.repository.installation_id, "account": account}
    removed = {"action": "removed", "installation": about, "repositories_removed": gone}
    await arrived(yard, "installation_repositories", removed, at=timedelta(hours=1))
    assert (await known(yard)).accessible
    with pytest.raises(Transient):  # what GitHub shows may be older than an event of just now
        await arrived(yard, "installation_repositories", removed)
    yard.edge.sim.remove_from(yard.repository.installation_id, "acme/shop")
    await arrived(yard, "installation_repositories", removed)
    assert not (await known(yard)).accessible


async def test_a_repository_that_is_there_is_not_taken_for_deleted(yard: Yard) -> None:
    payload = {"id": yard.repository.id, "full_name": "acme/shop", "default_branch": "master"}
    await arrived(yard, "repository", {"action": "deleted", "repository": payload})
    assert (await known(yard)).accessible
    yard.edge.sim.delete_repo("acme/shop")
    await arrived(yard, "repository", {"action": "deleted", "repository": payload})
    assert not (await known(yard)).accessible


async def test_an_audit_that_was_overtaken_by_an_event_is_not_believed_and_made_again(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = yard.context.looks.look
    yard.edge.sim.rename_repo("acme/shop", "store")
    stale = replace(yard.repository, full_name="acme/shop")

    async def slowly(fact: FactKey, repository: Repository, *, etag: str = "") -> Any:
        answer = await asked(fact, repository, etag=etag)
        if fact.kind is not FactKind.REPOSITORY:
            return answer
        payload = {"id": stale.id, "full_name": "acme/store", "default_branch": "master"}
        await arrived(yard, "push", {"ref": "refs/heads/x", "repository": payload})
        return replace(answer, value=stale)

    key = FactKey(FactKind.REPOSITORY, yard.repository.id, "")
    await yard.do(lambda tx: facts.want_all(tx.conn, {key: None}, now=tx.now))
    monkeypatch.setattr(yard.context.looks, "look", slowly)
    await look(yard.context, *map(str, key))
    assert (await known(yard)).full_name == "acme/store"
    monkeypatch.undo()
    yard.edge.sim.rename_repo("acme/store", "shop")
    await audited(yard)
    assert (await known(yard)).full_name == "acme/shop"


async def test_an_audit_of_a_repository_without_news_costs_nothing_of_the_hourly_limit(yard: Yard) -> None:
    await audited(yard)
    before = yard.context.github.quota(yard.repository.installation_id)
    await audited(yard)
    after = yard.context.github.quota(yard.repository.installation_id)
    assert before is not None
    assert after is not None
    assert before.remaining == after.remaining
