"""Writing to GitHub: shown once however often it is tried, within GitHub's limits, and never by GitHub's own rules."""

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from service.domain.errors import Refused, Transient
from service.domain.report_views import CommentContent
from service.domain.reports import CheckAction, CheckContent, GithubDeploymentContent, StatusContent
from service.github.purposes import Purpose
from service.github.writes import Unseen, Writes


@dataclass(kw_only=True)
class Entry:
    """An outbox row as the job hands it over: its content has been JSON."""

    external_key: str
    kind: str
    wanted: dict[str, Any]
    github_id: int | None = None
    attempted: bool = False


def entry(kind, content, **more):
    return Entry(external_key=f"{kind}:1", kind=kind, wanted=msgspec.json.decode(msgspec.json.encode(content)), **more)


def check(sha, **changes):
    content = {
        "name": "towpath/shop",
        "sha": sha,
        "status": "in_progress",
        "conclusion": None,
        "title": "Building",
        "summary": "It builds.",
        "actions": (),
        "details_url": "https://towpath.example/x",
        "terminal": False,
    }
    return CheckContent(**content | changes)


def status(sha, **changes):
    content = {
        "context": "towpath/shop",
        "sha": sha,
        "state": "pending",
        "description": "Building",
        "target_url": "https://towpath.example/x",
        "terminal": False,
    }
    return StatusContent(**content | changes)


def deployment(sha, **changes):
    content = {
        "environment": "shop/shop-staging",
        "sha": sha,
        "state": "in_progress",
        "description": "Release v1",
        "transient_environment": False,
        "production_environment": False,
        "environment_url": "https://shop.example",
        "log_url": "https://towpath.example/log",
        "terminal": False,
    }
    return GithubDeploymentContent(**content | changes)


MAKERS = {"check": check, "status": status, "github_deployment": deployment}
CREATED_AT = {"check": "/check-runs$", "status": "/statuses/", "github_deployment": "/deployments$"}


@pytest.fixture
async def sha(edge, shop):
    return await edge.sim.head("acme/shop")


def reported(edge, kind):
    return edge.sim.reported("acme/shop")[
        {"check": "check_runs", "status": "statuses", "github_deployment": "deployments"}[kind]
    ]


@pytest.mark.parametrize("kind", MAKERS)
async def test_an_object_is_made_and_its_number_returned(edge, shop, sha, kind):
    made = await edge.writes.write(entry(kind, MAKERS[kind](sha)), shop)
    (shown,) = reported(edge, kind)
    assert shown["id"] == made


@pytest.mark.parametrize("kind", MAKERS)
async def test_an_object_whose_answer_was_lost_is_found_and_not_made_twice(edge, shop, sha, kind):
    edge.sim.chaos.answer("reset_after", pattern=f"POST .*{CREATED_AT[kind]}")
    with pytest.raises(Transient):
        await edge.writes.write(entry(kind, MAKERS[kind](sha)), shop)
    made = await edge.writes.write(entry(kind, MAKERS[kind](sha), attempted=True), shop)
    (shown,) = reported(edge, kind)
    assert shown["id"] == made


@pytest.mark.parametrize("kind", MAKERS)
async def test_an_attempt_that_never_arrived_is_made_up_for(edge, shop, sha, kind):
    edge.sim.chaos.answer("reset", pattern=f"POST .*{CREATED_AT[kind]}")
    with pytest.raises(Transient):
        await edge.writes.write(entry(kind, MAKERS[kind](sha)), shop)
    await edge.writes.write(entry(kind, MAKERS[kind](sha), attempted=True), shop)
    assert len(reported(edge, kind)) == 1


FOR_A_MOMENT = {"check": r"PATCH .*/check-runs/\d+$", "github_deployment": r"POST .*/deployments/\d+/statuses$"}


@pytest.mark.parametrize("kind", FOR_A_MOMENT)
async def test_an_object_that_is_out_of_reach_for_a_moment_is_not_made_twice(edge, shop, sha, kind):
    made = await edge.writes.write(entry(kind, MAKERS[kind](sha)), shop)
    edge.sim.chaos.answer("error", status=404, pattern=FOR_A_MOMENT[kind], times=1)
    with pytest.raises(Transient, match="shows it"):
        await edge.writes.write(entry(kind, MAKERS[kind](sha), github_id=made), shop)
    assert await edge.writes.write(entry(kind, MAKERS[kind](sha), github_id=made), shop) == made
    assert [each["id"] for each in reported(edge, kind)] == [made]


@pytest.mark.parametrize("kind", FOR_A_MOMENT)
async def test_while_its_repository_is_out_of_reach_an_object_is_refused(edge, shop, sha, kind):
    made = await edge.writes.write(entry(kind, MAKERS[kind](sha)), shop)
    edge.sim.chaos.answer("error", status=404, pattern="/repositories/", times=2)
    with pytest.raises(Refused):
        await edge.writes.write(entry(kind, MAKERS[kind](sha), github_id=made), shop)
    assert [each["id"] for each in reported(edge, kind)] == [made]


@pytest.mark.parametrize("trouble", ["error", "html", "secondary_limit"])
@pytest.mark.parametrize("kind", MAKERS)
async def test_trouble_at_github_is_transient(edge, shop, sha, kind, trouble):
    edge.sim.chaos.answer(trouble, pattern=f"POST .*{CREATED_AT[kind]}")
    with pytest.raises(Transient):
        await edge.writes.write(entry(kind, MAKERS[kind](sha)), shop)


@pytest.mark.parametrize("kind", MAKERS)
async def test_a_commit_that_github_does_not_know_may_become_known(edge, shop, sha, kind):
    with pytest.raises(Unseen, match="f" * 40):
        await edge.writes.write(entry(kind, MAKERS[kind]("f" * 40)), shop)
    edge.sim.chaos.answer("unseen", pattern=f"POST .*{CREATED_AT[kind]}")
    with pytest.raises(Unseen, match=sha):
        await edge.writes.write(entry(kind, MAKERS[kind](sha)), shop)
    await edge.writes.write(entry(kind, MAKERS[kind](sha), attempted=True), shop)
    assert len(reported(edge, kind)) == 1


@pytest.mark.parametrize("kind", MAKERS)
async def test_an_archived_repository_refuses_in_github_s_words(edge, shop, sha, kind):
    edge.sim.set_archived("acme/shop")
    with pytest.raises(Refused, match="archived"):
        await edge.writes.write(entry(kind, MAKERS[kind](sha)), shop)


async def test_a_kind_that_github_does_not_know_is_refused(edge, shop, sha):
    with pytest.raises(Refused, match="poem"):
        await edge.writes.write(entry("poem", check(sha)), shop)


# Checks ---------------------------------------------------------------------------------------------


async def test_a_check_is_updated_in_place_and_carries_our_key(edge, shop, sha):
    made = await edge.writes.write(entry("check", check(sha)), shop)
    action = CheckAction(label="Deploy anyway", description="Without CI", identifier="deploy")
    done = check(sha, status="completed", conclusion="success", title="Live", actions=(action,), terminal=True)
    assert await edge.writes.write(entry("check", done, github_id=made), shop) == made
    (shown,) = reported(edge, "check")
    assert (shown["status"], shown["conclusion"], shown["external_id"]) == ("completed", "success", "check:1")
    assert shown["output"]["title"] == "Live"
    assert shown["actions"] == [{"label": "Deploy anyway", "description": "Without CI", "identifier": "deploy"}]
    await edge.writes.write(entry("check", check(sha), github_id=made), shop)
    (shown,) = reported(edge, "check")
    assert shown["actions"] == []


async def test_a_check_of_another_app_with_our_key_is_not_taken_for_ours(edge, shop, sha):
    await edge.sim.create_check_run("acme/shop", sha, "towpath/shop", external_id="check:1")
    await edge.writes.write(entry("check", check(sha), attempted=True), shop)
    assert len(reported(edge, "check")) == 1


async def test_a_check_that_is_gone_is_made_anew(edge, shop, sha):
    made = await edge.writes.write(entry("check", check(sha), github_id=999_999), shop)
    (shown,) = reported(edge, "check")
    assert shown["id"] == made


async def test_a_check_that_our_former_app_made_is_made_anew_by_the_one_that_took_its_place(edge, shop, sha):
    former = await edge.sim.create_check_run("acme/shop", sha, "towpath/shop", external_id="check:1")
    done = check(sha, status="completed", conclusion="success", title="Live", terminal=True)
    edge.sim.chaos.answer("reset_after", pattern="POST .*/check-runs$")
    with pytest.raises(Transient):
        await edge.writes.write(entry("check", done, github_id=former.id), shop)
    made = await edge.writes.write(entry("check", done, github_id=former.id, attempted=True), shop)
    (shown,) = reported(edge, "check")
    assert (shown["id"], shown["conclusion"]) == (made, "success")


async def test_a_check_that_a_worker_made_too_late_takes_the_place_of_the_one_before(edge, shop, sha):
    """GitHub shows the newest of a name, and that is what a branch may be protected by."""
    known = await edge.writes.write(entry("check", check(sha)), shop)
    late = await edge.writes.write(entry("check", check(sha)), shop)
    done = check(sha, status="completed", conclusion="success", title="Live", terminal=True)
    assert await edge.writes.write(entry("check", done, github_id=known, attempted=True), shop) == late
    assert reported(edge, "check")[-1]["conclusion"] == "success"


async def test_texts_are_cut_to_what_github_takes(edge, shop, sha):
    actions = tuple(
        CheckAction(label="l" * 30, description="d" * 60, identifier=f"action-{number}") for number in range(5)
    )
    await edge.writes.write(entry("check", check(sha, summary="é" * 50_000, title="t" * 400, actions=actions)), shop)
    (shown,) = reported(edge, "check")
    assert len(shown["output"]["summary"].encode()) <= 65_535
    assert len(shown["actions"]) == 3
    await edge.writes.write(entry("status", status(sha, description="d" * 300)), shop)
    await edge.writes.write(entry("github_deployment", deployment(sha, description="d" * 300)), shop)
    assert len(reported(edge, "status")[0]["description"]) == 140


# Statuses -------------------------------------------------------------------------------------------


async def test_a_status_goes_on_to_its_next_state_even_if_the_last_attempt_is_unknown(edge, shop, sha):
    await edge.writes.write(entry("status", status(sha)), shop)
    await edge.writes.write(entry("status", status(sha, state="success"), attempted=True), shop)
    assert [each["state"] for each in reported(edge, "status")] == ["pending", "success"]


async def test_a_status_works_with_a_personal_token_where_there_is_no_app(edge, shop, sha):
    edge.sim.add_collaborator("acme/shop", "ann", "write")
    made = await Writes(github=edge.as_person("ann")).write(entry("status", status(sha)), shop)
    assert made in [each.id for each in edge.sim.repository("acme/shop").statuses]


# Deployments ----------------------------------------------------------------------------------------


async def test_a_deployment_is_made_once_and_goes_through_its_states(edge, shop, sha):
    made = await edge.writes.write(entry("github_deployment", deployment(sha)), shop)
    for state in ("success", "inactive"):
        wanted = entry("github_deployment", deployment(sha, state=state), github_id=made, attempted=True)
        assert await edge.writes.write(wanted, shop) == made
    (shown,) = reported(edge, "github_deployment")
    assert (shown["environment"], shown["payload"]) == ("shop/shop-staging", {"towpath": "github_deployment:1"})
    assert [each["state"] for each in shown["statuses"]] == ["in_progress", "success", "inactive"]


async def test_github_s_own_gate_does_not_stop_a_deployment(edge, shop, sha):
    await edge.sim.set_status("acme/shop", sha, "failure", context="ci")
    assert await edge.writes.write(entry("github_deployment", deployment(sha)), shop)


async def test_a_deployment_whose_status_was_lost_gets_it_once(edge, shop, sha):
    edge.sim.chaos.answer("reset_after", pattern=r"POST .*/deployments/\d+/statuses")
    with pytest.raises(Transient):
        await edge.writes.write(entry("github_deployment", deployment(sha)), shop)
    await edge.writes.write(entry("github_deployment", deployment(sha), attempted=True), shop)
    (shown,) = reported(edge, "github_deployment")
    assert [each["state"] for each in shown["statuses"]] == ["in_progress"]


async def test_a_success_leaves_other_deployments_of_the_environment_as_they_are(edge, shop, sha):
    for number in range(2):
        one = entry("github_deployment", deployment(sha, state="success"))
        one.key = f"release:{number}"
        await edge.writes.write(one, shop)
    assert [each["state"] for each in reported(edge, "github_deployment")] == ["success", "success"]


async def test_a_deployment_that_somebody_deleted_is_made_anew(edge, shop, sha):
    made = await edge.writes.write(entry("github_deployment", deployment(sha)), shop)
    edge.sim.repository("acme/shop").deployments.clear()
    again = await edge.writes.write(entry("github_deployment", deployment(sha), github_id=made), shop)
    assert [each["id"] for each in reported(edge, "github_deployment")] == [again]


async def test_a_deployment_that_a_worker_made_too_late_is_the_one_that_counts_and_the_other_ends(edge, shop, sha):
    known = await edge.writes.write(entry("github_deployment", deployment(sha)), shop)
    late = await edge.writes.write(entry("github_deployment", deployment(sha)), shop)
    wanted = entry("github_deployment", deployment(sha, state="success"), github_id=known, attempted=True)
    for _ in range(2):
        assert await edge.writes.write(wanted, shop) == late
        states = [[state["state"] for state in each["statuses"]] for each in reported(edge, "github_deployment")]
        assert states == [["in_progress", "inactive"], ["in_progress", "success"]]


async def test_a_release_without_a_commit_is_refused(edge, shop, sha):
    with pytest.raises(Refused, match="without a commit"):
        await edge.writes.write(entry("github_deployment", deployment(None)), shop)


# Comments -------------------------------------------------------------------------------------------


def comment(number, state="creating"):
    marker = f"<!-- towpath 1/{number} -->"
    return CommentContent(number=number, marker=marker, body=f"{marker}\n{state}\n", terminal=False)


@pytest.fixture
async def number(edge, shop):
    await edge.sim.push("acme/shop", "topic", {"note.txt": "hi"})
    return (await edge.sim.open_pull("acme/shop", "topic")).number


def comments(edge):
    return list(edge.sim.repository("acme/shop").comments.values())


async def test_a_comment_is_edited_in_place(edge, shop, number):
    made = await edge.writes.write(entry("comment", comment(number)), shop)
    assert await edge.writes.write(entry("comment", comment(number, "live"), github_id=made), shop) == made
    (shown,) = comments(edge)
    assert (shown.id, shown.body) == (made, comment(number, "live").body)


@pytest.mark.parametrize("trouble", ["reset_after", "reset"])
async def test_a_comment_whose_answer_was_lost_is_there_once(edge, shop, number, trouble):
    edge.sim.chaos.answer(trouble, pattern="POST .*/comments$")
    with pytest.raises(Transient):
        await edge.writes.write(entry("comment", comment(number)), shop)
    made = await edge.writes.write(entry("comment", comment(number, "live"), attempted=True), shop)
    assert [(each.id, each.body) for each in comments(edge)] == [(made, comment(number, "live").body)]


async def test_a_comment_that_somebody_deleted_is_made_anew(edge, shop, number):
    made = await edge.writes.write(entry("comment", comment(number)), shop)
    edge.sim.delete_comment("acme/shop", made)
    again = await edge.writes.write(entry("comment", comment(number, "live"), github_id=made), shop)
    assert [each.id for each in comments(edge)] == [again]


async def test_a_comment_that_is_out_of_reach_for_a_moment_is_not_made_twice(edge, shop, number):
    made = await edge.writes.write(entry("comment", comment(number)), shop)
    edge.sim.chaos.answer("error", status=404, pattern=r"PATCH .*/issues/comments/", times=1)
    with pytest.raises(Transient, match="shows it"):
        await edge.writes.write(entry("comment", comment(number, "live"), github_id=made), shop)
    assert [each.id for each in comments(edge)] == [made]


async def test_a_comment_that_a_worker_made_too_late_is_taken_away(edge, shop, number):
    known = await edge.writes.write(entry("comment", comment(number)), shop)
    body = {"body": comment(number).body}
    await edge.github.request("POST", shop, f"/issues/{number}/comments", purpose=Purpose.COMMENTS, body=body)
    pasted = edge.sim.comment("acme/shop", number, comment(number).body)
    wanted = entry("comment", comment(number, "live"), github_id=known, attempted=True)
    assert await edge.writes.write(wanted, shop) == known
    assert {each.id: each.body for each in comments(edge)} == {
        known: comment(number, "live").body,
        pasted.id: pasted.body,
    }


async def test_a_person_s_comment_with_our_marker_is_left_alone(edge, shop, number):
    text = comment(number, "pasted").body
    pasted = edge.sim.comment("acme/shop", number, text)
    made = await edge.writes.write(entry("comment", comment(number)), shop)
    assert {each.id: each.body for each in comments(edge)} == {pasted.id: text, made: comment(number).body}


async def test_with_a_person_s_token_no_stranger_s_comment_is_taken_for_ours(edge, shop, number):
    edge.sim.add_collaborator("acme/shop", "grace", "write")
    writes, text = Writes(github=edge.as_person("grace")), comment(number, "pasted").body
    pasted = edge.sim.comment("acme/shop", number, text, by="eve")
    made = await writes.write(entry("comment", comment(number)), shop)
    assert await writes.write(entry("comment", comment(number, "live")), shop) == made, "found again"
    assert [(each.id, each.body) for each in comments(edge)] == [
        (pasted.id, text),
        (made, comment(number, "live").body),
    ]


async def test_a_comment_on_a_pull_request_that_is_not_there_is_refused(edge, shop):
    with pytest.raises(Refused, match="comment"):
        await edge.writes.write(entry("comment", comment(404)), shop)


# Deleted by a person and made anew, and the answer to that was lost -------------------------------------


@pytest.mark.parametrize("kind", ["check", "github_deployment", "comment"])
async def test_what_is_made_anew_is_not_made_twice_when_the_answer_is_lost(edge, shop, sha, number, kind):
    wanted = {"check": check(sha), "github_deployment": deployment(sha), "comment": comment(number)}[kind]
    gone = 987_654_321  # GitHub's number of what somebody has deleted
    made = await edge.writes.write(entry(kind, wanted), shop)
    again = await edge.writes.write(entry(kind, wanted, github_id=gone, attempted=True), shop)
    assert again == made
    shown = comments(edge) if kind == "comment" else reported(edge, kind)
    assert len(shown) == 1
