"""What comes from GitHub and goes to it: presses, proofs of origin, reports and their lanes."""

import asyncio
from dataclasses import asdict
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from service.domain.decisions import Deploy, Subject, SubjectKind
from service.domain.errors import Refused, Transient
from service.domain.facts import FactKey, FactKind, Head
from service.domain.model import RequestState, Sha, Trust
from service.domain.report_views import CommentContent
from service.github.hints import (
    CheckRunRequested,
    Hint,
    InstallationChange,
    InstallationState,
    InstallationTouched,
    RepositoryTouched,
)
from service.queue import REPORT
from service.store import apps, facts, leases, reports, repositories, requests, subjects
from tests.workers.conftest import Yard
from workers.builds.source import Remote
from workers.jobs import loops, press
from workers.jobs.react import _take_in
from workers.jobs.report import UNSEEN_TRIES, report
from workers.jobs.trust import prove_own
from workers.jobs.work import MAX_ATTEMPTS, work


def button(yard: Yard, identifier: str, login: str, sha: str = "a" * 40) -> Hint:
    pressed = CheckRunRequested(
        repository_id=yard.repository.id,
        sha=Sha(sha),
        identifier=identifier,
        external_id=f"check:{yard.pipeline.id}/{sha}",
        login=login,
    )
    return Hint(touched=(pressed,))


async def pressed(yard: Yard, hint: Hint) -> str:
    (one,) = await press.permitted(yard.context, hint)
    payload = uuid4().hex
    return await yard.do(lambda tx: press.act(tx, one, our_app_id=yard.edge.sim.app_id, payload=payload))


async def test_a_button_counts_only_for_those_who_may_write(yard: Yard) -> None:
    review = await yard.review()
    yard.edge.sim.add_collaborator("acme/shop", "grace", "write")
    yard.edge.sim.add_collaborator("acme/shop", "mallory", "read")
    assert "may not" in await pressed(yard, button(yard, "destroy", "mallory"))
    assert await yard.see(lambda conn: requests.open_of(conn, review.app_id or "")) == []
    assert "destroy the review app of pull request #1" in await pressed(yard, button(yard, "destroy", "grace"))
    (queued,) = await yard.see(lambda conn: requests.open_of(conn, review.app_id or ""))
    assert queued.kind == "Destroy"


async def test_a_button_of_another_pipelines_check_does_nothing(yard: Yard) -> None:
    review = await yard.review()
    yard.edge.sim.add_collaborator("acme/shop", "grace", "write")
    hint = Hint(
        touched=(
            CheckRunRequested(
                repository_id=yard.repository.id,
                sha=review.sha,
                identifier="destroy",
                external_id=f"check:other/{review.sha}",
                login="grace",
            ),
        )
    )
    assert "nothing to do" in await pressed(yard, hint)


async def test_deploy_anyway_deploys_the_head_that_ci_keeps_back(yard: Yard) -> None:
    app = await yard.app()
    yard.edge.sim.add_collaborator("acme/shop", "grace", "write")
    sha = Sha("b" * 40)

    def follow(tx) -> None:
        apps.update(
            tx.conn,
            app=app,
            now=tx.now,
            auto_deploy=True,
            auto_deploy_branch="main",
            repository_id=yard.repository.id,
            wait_for_ci=True,
        )
        key = FactKey(FactKind.HEAD, yard.repository.id, "main")
        asked = facts.next_asked(tx.conn)
        facts.learn(tx.conn, key, asked=asked, value=Head(branch="main", sha=sha), error="", etag="", now=tx.now)

    await yard.do(follow)
    await pressed(yard, button(yard, "deploy_anyway", "grace", sha))
    await pressed(yard, button(yard, "deploy_anyway", "grace", sha))
    (queued,) = await yard.see(lambda conn: requests.open_of(conn, app.id))
    assert (queued.sha, queued.by_person) == (sha, True)


@pytest.mark.parametrize(("identifier", "from_nothing"), [("rebuild", True), ("rerequest", False)])
async def test_a_rebuild_is_a_deploy_that_begins_from_nothing(yard: Yard, identifier: str, from_nothing: bool) -> None:
    app, sha = await yard.app(), "b" * 40
    yard.edge.sim.add_collaborator("acme/shop", "grace", "write")
    asked = await yard.do(lambda tx: tx.request(app.id, wanted(yard, sha, "main"), reason="pushed", by_person=False))
    await yard.do(
        lambda tx: requests.finish(tx.conn, asked.id, state=RequestState.FAILED, outcome="broken", now=tx.now)
    )
    await pressed(yard, button(yard, identifier, "grace", sha))
    work = (await yard.take(app.id)).work
    assert isinstance(work, Deploy)
    assert (work.sha, work.branch, work.rebuild) == (sha, "main", from_nothing)


def wanted(yard: Yard, sha: str, branch: str = "") -> Deploy:
    return Deploy(repository_id=yard.repository.id, sha=Sha(sha), trust=Trust.OWN, branch=branch)


async def remote_of(yard: Yard) -> Remote:
    token = await yard.context.github.git_token(yard.repository)
    return Remote(repository_id=yard.repository.id, url=f"{yard.edge.sim.url}/acme/shop.git", token=token)


async def test_an_older_commit_of_a_branch_is_the_repositorys_own(yard: Yard) -> None:
    older = await yard.edge.sim.head("acme/shop")
    await yard.edge.sim.push("acme/shop", yard.repository.default_branch, {"a": "1"})
    await prove_own(yard.context, await remote_of(yard), yard.repository, wanted(yard, older))


async def test_a_commit_of_any_branch_is_the_repositorys_own_as_long_as_the_branch_is_there(yard: Yard) -> None:
    topic = await yard.edge.sim.push("acme/shop", "topic", {"a": "1"})
    await yard.edge.sim.push("acme/shop", "topic", {"a": "2"})
    await yard.edge.sim.push("acme/shop", yard.repository.default_branch, {"b": "1"})
    await prove_own(yard.context, await remote_of(yard), yard.repository, wanted(yard, topic))
    await yard.edge.sim.delete_branch("acme/shop", "topic")
    await yard.edge.sim.push("acme/shop", "topic/deeper", {"c": "1"})
    with pytest.raises(Refused, match="is not on any branch of acme/shop"):
        await prove_own(yard.context, await remote_of(yard), yard.repository, wanted(yard, topic))


async def test_a_commit_that_only_a_fork_has_is_refused_although_github_serves_it(yard: Yard) -> None:
    fork = await yard.edge.sim.fork("acme/shop", "mallory")
    foreign = await yard.edge.sim.push(fork.full_name, "evil", {"a": "rm -rf"})
    with pytest.raises(Refused, match="is not on"):
        await prove_own(yard.context, await remote_of(yard), yard.repository, wanted(yard, foreign))


def status(number: int, state: str = "success") -> dict[str, Any]:
    return {
        "context": f"towpath/{number}",
        "sha": "f" * 40,
        "state": state,
        "description": "",
        "target_url": "",
        "terminal": True,
    }


async def put(
    yard: Yard, key: str, *, lane: int, state: str = "success", sha: str = "f" * 40, terminal: bool = True
) -> None:
    await yard.do(
        lambda tx: reports.put(
            tx.conn,
            key=key,
            kind="status",
            repository_id=yard.repository.id,
            installation_id=lane,
            wanted=status(len(key), state) | {"sha": sha},
            terminal=terminal,
            now=tx.now,
        )
    )


def grant(yard: Yard, permission: str) -> None:
    """Let our App read or write statuses."""
    for one in yard.edge.sim.installations.values():
        one.permissions["statuses"] = permission


async def test_a_lane_that_github_limits_does_not_keep_others_waiting(yard: Yard) -> None:
    for number in range(60):
        await put(yard, f"limited-{number:02}", lane=9)
    until = yard.clock() + timedelta(hours=1)
    await yard.do(lambda tx: reports.pause(tx.conn, lane=9, until=until))
    await put(yard, "other", lane=8)
    assert await yard.see(lambda conn: reports.lanes(conn, now=yard.clock())) == [8]


async def test_a_report_is_tried_for_as_long_as_github_is_away(yard: Yard) -> None:
    await put(yard, "one", lane=yard.repository.installation_id)
    write = yard.context.writes.write

    async def away(*_: object) -> int:
        raise Transient("GitHub could not be reached")

    yard.context.writes.write = away  # type: ignore[method-assign]
    for _ in range(40):
        await report(yard.context)
        yard.clock.ahead += timedelta(minutes=10)
    yard.context.writes.write = write  # type: ignore[method-assign]
    entry = await yard.see(lambda conn: reports.get(conn, "one"))
    assert entry is not None
    assert (entry.pending, entry.attempts) == (True, 40)


async def test_what_github_refused_is_shown_when_the_repository_is_open_again(yard: Yard) -> None:
    await put(yard, "one", lane=yard.repository.installation_id)
    grant(yard, "read")
    await report(yard.context)
    refused = await yard.see(lambda conn: reports.get(conn, "one"))
    assert refused is not None
    assert not refused.pending
    yard.bell.rung.clear()
    await yard.do(
        lambda tx: _take_in(tx, Hint(touched=(RepositoryTouched(repository_id=yard.repository.id),)), told_at=tx.now)
    )
    revived = await yard.see(lambda conn: reports.get(conn, "one"))
    assert revived is not None
    assert revived.pending
    assert REPORT in yard.bell.rung


async def test_an_app_installed_anew_is_used_under_its_new_number(yard: Yard) -> None:
    change = InstallationChange(
        id=99, account="acme", state=InstallationState.ACTIVE, added=((yard.repository.id, "acme/shop"),)
    )
    await yard.do(
        lambda tx: _take_in(
            tx, Hint(installation=change, touched=(InstallationTouched(installation_id=99),)), told_at=tx.now
        )
    )
    found = await yard.see(lambda conn: repositories.get(conn, yard.repository.id))
    assert found is not None
    assert found.installation_id == 99


async def test_a_deleted_repository_is_no_longer_reached(yard: Yard) -> None:
    await yard.do(
        lambda tx: _take_in(
            tx, Hint(touched=(RepositoryTouched(repository_id=yard.repository.id, gone=True),)), told_at=tx.now
        )
    )
    found = await yard.see(lambda conn: repositories.get(conn, yard.repository.id))
    assert found is not None
    assert not found.accessible


async def test_what_is_wanted_again_after_an_answer_was_lost_is_written_again(yard: Yard) -> None:
    """A crash that was shown although nobody heard so, over before it could be tried again: GitHub must not keep it."""
    sha = await yard.edge.sim.head("acme/shop")
    lane = yard.repository.installation_id
    write, told = yard.context.writes.write, []

    async def lost(entry, repository):
        told.append(await write(entry, repository))
        raise Transient("the answer was lost")

    await put(yard, "one", lane=lane, state="success", sha=sha)
    await report(yard.context)
    yard.context.writes.write = lost  # type: ignore[method-assign]
    await put(yard, "one", lane=lane, state="failure", sha=sha)
    await report(yard.context)
    assert told
    yard.context.writes.write = write  # type: ignore[method-assign]
    await put(yard, "one", lane=lane, state="success", sha=sha)
    await report(yard.context)
    states = [each["state"] for each in yard.edge.sim.reported("acme/shop")["statuses"]]
    assert states[-1] == "success"


async def test_what_is_wanted_while_others_are_written_is_written_at_once_in_its_newest_form(yard: Yard) -> None:
    sha = await yard.edge.sim.head("acme/shop")
    lane, write = yard.repository.installation_id, yard.context.writes.write

    async def slowly(entry, repository):
        if entry.key == "a":
            await put(yard, "bb", lane=lane, state="success", sha=sha)
        return await write(entry, repository)

    await put(yard, "a", lane=lane, state="pending", sha=sha)
    await put(yard, "bb", lane=lane, state="pending", sha=sha)
    yard.context.writes.write = slowly  # type: ignore[method-assign]
    await report(yard.context)
    shown = [(each["context"], each["state"]) for each in yard.edge.sim.reported("acme/shop")["statuses"]]
    assert sorted(shown) == [("towpath/1", "pending"), ("towpath/2", "success")]


async def test_an_end_that_comes_while_others_are_written_is_told_next(yard: Yard) -> None:
    write, told = yard.context.writes.write, []

    async def remember(entry, repository):
        told.append(entry.key)
        if entry.key == "a":
            await put(yard, "the end", lane=yard.repository.installation_id)
        return await write(entry, repository)

    for key in "abc":
        await put(yard, key, lane=yard.repository.installation_id, terminal=False)
    yard.context.writes.write = remember  # type: ignore[method-assign]
    await report(yard.context)
    assert told == ["a", "the end", "b", "c"]


async def test_what_comes_while_a_lane_is_given_back_is_rung_for(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    give_back = leases.give_back

    def late(conn, name, *, holder) -> None:
        reports.put(
            conn,
            key="late",
            kind="status",
            repository_id=yard.repository.id,
            installation_id=yard.repository.installation_id,
            wanted=status(9),
            terminal=True,
            now=yard.clock(),
        )
        give_back(conn, name, holder=holder)

    monkeypatch.setattr(leases, "give_back", late)
    await put(yard, "one", lane=yard.repository.installation_id)
    yard.bell.rung.clear()
    await report(yard.context)
    assert REPORT in yard.bell.rung


async def test_a_report_is_not_given_up_while_github_does_not_know_who_we_are(yard: Yard) -> None:
    """A clock that is wrong makes a stranger of us: GitHub refuses what our App signs with it."""
    await put(yard, "check", lane=7, sha=await yard.edge.sim.head("acme/shop"))
    yard.edge.sim.chaos.answer("error", pattern="/access_tokens$", status=401, times=2)
    await report(yard.context)
    assert (await yard.report("check")).pending
    yard.clock.ahead += timedelta(minutes=10)
    await report(yard.context)
    assert not (await yard.report("check")).pending
    assert (await yard.report("check")).error == ""


async def test_refused_reports_of_lost_access_are_shown_once_an_audit_finds_the_access_is_back(yard: Yard) -> None:
    """The event that told of it was lost, or GitHub sends none: a permission that was granted, a plan that was paid."""
    await put(yard, "one", lane=yard.repository.installation_id, sha=await yard.edge.sim.head("acme/shop"))
    grant(yard, "read")
    await report(yard.context)
    refused = await yard.report("one")
    assert (refused.pending, "GitHub gives no access" in refused.error) == (False, True)
    await report(yard.context)
    grant(yard, "write")
    yard.bell.rung.clear()
    yard.clock.ahead += timedelta(minutes=50)
    await loops.audit(yard.context)
    assert REPORT not in yard.bell.rung
    yard.clock.ahead += timedelta(minutes=11)
    await loops.audit(yard.context)
    assert REPORT in yard.bell.rung
    await report(yard.context)
    assert [(each["context"], each["state"]) for each in yard.edge.sim.reported("acme/shop")["statuses"]] == [
        ("towpath/3", "success")
    ]


async def test_refused_reports_are_shown_once_a_repository_out_of_reach_can_be_read_again(yard: Yard) -> None:
    await put(yard, "one", lane=yard.repository.installation_id, sha=await yard.edge.sim.head("acme/shop"))
    yard.edge.sim.suspend(yard.repository.installation_id)
    await report(yard.context)
    assert not (await yard.report("one")).pending
    await yard.do(lambda tx: repositories.set_accessible(tx.conn, yard.repository.id, False, tx.now))
    yard.edge.sim.suspend(yard.repository.installation_id, False)
    yard.clock.ahead += timedelta(minutes=10)
    await loops.audit(yard.context)
    await yard.calm()
    assert (await yard.report("one")).pending


async def test_what_github_goes_on_refusing_is_tried_ever_more_seldom_whatever_went_wrong_before(yard: Yard) -> None:
    await put(yard, "one", lane=yard.repository.installation_id, sha=await yard.edge.sim.head("acme/shop"))
    yard.edge.sim.chaos.outage = True
    for _ in range(12):
        await report(yard.context)
        yard.clock.ahead += timedelta(minutes=10)
    yard.edge.sim.chaos.calm()
    grant(yard, "read")
    before = (await yard.report("one")).attempts
    tried = list[int]()
    for hour in range(24 * 9):
        await report(yard.context)
        if (await yard.report("one")).attempts > before + len(tried):
            tried.append(hour)
        yard.clock.ahead += timedelta(minutes=61)
        await loops.audit(yard.context)
    assert tried[:5] == [0, 1, 3, 7, 15]
    assert len(tried) < 10


async def test_a_commit_that_github_has_told_of_and_does_not_know_yet_is_told_about_within_seconds(yard: Yard) -> None:
    sha, lane = await yard.edge.sim.head("acme/shop"), yard.repository.installation_id
    for key in ("a", "bb", "ccc", "dddd"):
        await put(yard, key, lane=lane, sha=sha)
    yard.edge.sim.chaos.answer("unseen", pattern="/statuses/", times=3)
    await report(yard.context)
    told = [each["context"] for each in yard.edge.sim.reported("acme/shop")["statuses"]]
    assert told == ["towpath/4"]  # it did not have to wait for the others
    yard.clock.ahead += timedelta(seconds=2)
    await report(yard.context)
    told = [each["context"] for each in yard.edge.sim.reported("acme/shop")["statuses"]]
    assert sorted(told) == ["towpath/1", "towpath/2", "towpath/3", "towpath/4"]


async def test_a_commit_that_github_never_knows_is_given_up_after_some_minutes(yard: Yard) -> None:
    await put(yard, "one", lane=yard.repository.installation_id)  # the simulated GitHub knows no such commit
    tried = list[int]()
    for second in range(0, 320, 2):
        await report(yard.context)
        if (await yard.report("one")).attempts > len(tried):
            tried.append(second)
        yard.clock.ahead += timedelta(seconds=2)
    assert tried[:4] == [0, 2, 4, 8]
    assert len(tried) == UNSEEN_TRIES
    assert 200 < tried[-1] < 320
    given_up = await yard.report("one")
    assert (given_up.pending, "No commit found for SHA" in given_up.error) == (False, True)
    for _ in range(2):  # as whatever is refused: once more in an hour, and not for minutes again
        yard.clock.ahead += timedelta(minutes=61)
        await loops.audit(yard.context)
        await report(yard.context)
    assert ((await yard.report("one")).attempts, (await yard.report("one")).pending) == (UNSEEN_TRIES + 1, False)


async def test_minutes_in_which_github_was_away_are_none_in_which_it_did_not_know_the_commit(yard: Yard) -> None:
    await put(yard, "one", lane=yard.repository.installation_id, sha=await yard.edge.sim.head("acme/shop"))
    yard.edge.sim.chaos.outage = True
    for _ in range(UNSEEN_TRIES + 3):
        await report(yard.context)
        yard.clock.ahead += timedelta(minutes=10)
    yard.edge.sim.chaos.calm()
    yard.edge.sim.chaos.answer("unseen", pattern="/statuses/")
    await report(yard.context)
    assert (await yard.report("one")).pending
    yard.clock.ahead += timedelta(minutes=10)
    await report(yard.context)
    assert [each["state"] for each in yard.edge.sim.reported("acme/shop")["statuses"]] == ["success"]


async def test_a_deploy_is_made_once_the_clock_or_the_key_is_right_however_long_it_was_wrong(yard: Yard) -> None:
    app, sha = await yard.app(), Sha(await yard.edge.sim.head("acme/shop"))
    asked = await yard.do(lambda tx: tx.request(app.id, wanted(yard, sha), reason="test", by_person=True))
    yard.edge.sim.chaos.answer("error", pattern="/access_tokens$", status=401, times=None)
    for _ in range(MAX_ATTEMPTS + 5):
        await work(yard.context, app.id)
        yard.clock.ahead += timedelta(minutes=2)
    found = await yard.request(asked.id)
    assert found.state is RequestState.RUNNING
    assert found.reason == "is tried again: GitHub does not accept the App's id and key: Server Error"
    yard.edge.sim.chaos.calm()
    await work(yard.context, app.id)
    assert "GitHub" not in (await yard.request(asked.id)).reason


async def test_people_are_told_that_github_could_not_be_asked_and_why(yard: Yard) -> None:
    app = await yard.app()
    change = {"auto_deploy": True, "auto_deploy_branch": "master"}
    await yard.do(lambda tx: apps.update(tx.conn, app=app, now=tx.now, repository_id=yard.repository.id, **change))
    subject = Subject(SubjectKind.AUTO_DEPLOY, app.id)
    yard.edge.sim.chaos.answer("error", pattern="/access_tokens$", status=401, times=None)
    await yard.do(lambda tx: tx.ring([subject], cause="test"))
    await yard.calm()
    (told,) = await yard.see(lambda conn: subjects.verdicts(conn, [subject]))
    assert told.reason.startswith(
        "not known yet; GitHub could not be asked: GitHub does not accept the App's id and key"
    )


async def test_after_an_hour_without_github_each_object_is_told_its_newest_state_once_and_ends_come_first(
    yard: Yard,
) -> None:
    sha, lane = await yard.edge.sim.head("acme/shop"), yard.repository.installation_id
    yard.edge.sim.chaos.outage = True
    for minute in range(60):
        await put(yard, "a", lane=lane, state=("pending", "failure")[minute % 2], sha=sha, terminal=False)
        await put(yard, "bb", lane=lane, state=("failure", "success")[minute % 2], sha=sha)
        await report(yard.context)
        yard.clock.ahead += timedelta(minutes=1)
    assert yard.edge.sim.reported("acme/shop")["statuses"] == []
    yard.edge.sim.chaos.calm()
    yard.clock.ahead += timedelta(minutes=5)
    await report(yard.context)
    await report(yard.context)
    told = [(each["context"], each["state"]) for each in yard.edge.sim.reported("acme/shop")["statuses"]]
    assert told == [("towpath/2", "success"), ("towpath/1", "failure")]


async def test_two_workers_that_report_at_once_write_one_comment(yard: Yard) -> None:
    await yard.edge.sim.push("acme/shop", "topic", {"a": "b"})
    pull = await yard.edge.sim.open_pull("acme/shop", "topic")
    content = CommentContent(number=pull.number, marker="<!-- ours -->", body="<!-- ours --> live", terminal=True)
    await yard.do(
        lambda tx: reports.put(
            tx.conn,
            key="comment",
            kind="comment",
            repository_id=yard.repository.id,
            installation_id=yard.repository.installation_id,
            wanted=asdict(content),
            terminal=True,
            now=tx.now,
        )
    )
    # So that whoever looks whether there is one finds none.
    yard.edge.sim.chaos.answer("delay", pattern=r"^POST .*/comments$", times=None, seconds=0.5)
    await asyncio.gather(*(report(each) for each in (yard.context, yard.another(), yard.context, yard.another())))
    assert [each.body for each in yard.edge.sim.repository("acme/shop").comments.values()] == [content.body]
    assert not (await yard.report("comment")).pending


@pytest.mark.parametrize("kind", ["rate_limit", "secondary_limit"])
async def test_a_limit_of_no_said_length_puts_the_whole_installation_to_sleep_for_a_minute(
    yard: Yard, kind: str
) -> None:
    sha, lane = await yard.edge.sim.head("acme/shop"), yard.repository.installation_id
    for key in ("a", "bb", "ccc"):
        await put(yard, key, lane=lane, sha=sha)
    yard.edge.sim.chaos.answer(kind, pattern="/statuses/")
    yard.edge.lines.clear()
    await report(yard.context)
    assert yard.edge.requests("/statuses/") == 1
    assert await yard.see(lambda conn: reports.lanes(conn, now=yard.clock() + timedelta(seconds=58))) == []
    assert await yard.see(lambda conn: reports.lanes(conn, now=yard.clock() + timedelta(seconds=76))) == [lane]
