"""What webhooks tell: GitHub's own examples, what those leave out, and everything that could be wrong with them."""

import json
from datetime import UTC, datetime

import pytest

from service.domain.facts import FactKey, FactKind
from service.domain.model import RepositoryId, Sha
from service.github.events import parse
from service.github.hints import (
    BranchTouched,
    CheckRunRequested,
    CommitTouched,
    Hint,
    Ignored,
    InstallationState,
    InstallationTouched,
    MergeQueueWaits,
    PullRequestTouched,
    RepositoryTouched,
    RequirementsTouched,
)
from tests.github.examples import ODD_VALUES, all_examples, example, mutations

OUR_APP = 4711
USED = {
    *("push", "pull_request", "status", "check_run", "check_suite", "merge_group", "repository", "issue_comment"),
    *("installation", "installation_repositories", "branch_protection_rule", "repository_ruleset"),
}


def hint(event, payload, **more):
    found = parse(event=event, payload=payload, **more)
    assert isinstance(found, Hint), found
    return found


def reason(event, payload, **more):
    found = parse(event=event, payload=payload, **more)
    assert isinstance(found, Ignored), found
    return found.reason


def test_every_example_of_a_used_event_is_read_and_of_another_ignored_by_name():
    read = 0
    for one in all_examples():
        found = parse(event=one.event, payload=one.payload)
        assert found == parse(event=one.event, payload=json.dumps(one.payload).encode()), one.name
        if one.event in USED:
            assert isinstance(found, Hint) or "cannot read" not in found.reason, (one.name, found)
            read += isinstance(found, Hint)
        else:
            assert isinstance(found, Ignored), one.name
    assert len(all_examples()) == 329
    assert read >= 45


def test_no_mutation_of_an_example_makes_the_reader_raise():
    tried = 0
    seen = set()
    for one in all_examples():
        kind = (one.event, one.payload.get("action"))
        if one.event not in USED or kind in seen:
            continue
        seen.add(kind)
        for payload, what in mutations(one.payload, ODD_VALUES):
            found = parse(event=one.event, payload=payload, our_app_id=OUR_APP)
            assert isinstance(found, Hint | Ignored), (one.name, what)
            if isinstance(found, Ignored):
                assert found.reason, (one.name, what)
                found.reason.encode()
            else:
                repr(found).encode()
            tried += 1
    assert tried > 20_000


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"null",
        b"NaN",
        b"{",
        b"\xff",
        b'{"ref":"\xff"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        [],
        None,
        3,
        {},
    ],
    ids=lambda payload: repr(payload)[:20],
)
def test_what_is_no_payload_at_all_is_ignored_by_name(payload):
    assert reason("push", payload).startswith("cannot read push: ")


def test_the_reason_names_the_field_that_is_wrong():
    payload = example("pull_request", "opened")
    payload["pull_request"]["head"]["sha"] = "main; rm -rf /"
    assert "$.pull_request.head.sha" in reason("pull_request", payload)
    del payload["pull_request"]["head"]
    assert "`head`" in reason("pull_request", payload)


def test_an_unknown_event_is_ignored_and_cannot_fill_the_database():
    assert reason("x" * 5000, {}) == f"event {'x' * 64} is not used"


# push -----------------------------------------------------------------------------------------------


def pushed(ref, **changes):
    return example("push") | {"ref": ref} | changes


def test_a_push_to_a_branch_makes_its_head_stale_and_believes_no_commit():
    found = hint("push", pushed("refs/heads/feature/a", before="b" * 40, after="a" * 40))
    id_ = found.repository.id
    assert found.stale == (FactKey(FactKind.HEAD, id_, "feature/a"),)
    assert found.touched == (BranchTouched(repository_id=id_, branch="feature/a"),)
    assert found.values == ()
    assert [(each.fact, each.before, each.after) for each in found.announced] == [(*found.stale, "b" * 40, "a" * 40)]


@pytest.mark.parametrize("before", ["a" * 39, "A" * 40, None, 7])
def test_a_push_announces_its_commit_although_it_does_not_say_where_its_branch_was(before):
    found = hint("push", pushed("refs/heads/feature/a", before=before, after="a" * 40))
    assert [(each.before, each.after) for each in found.announced] == [("", "a" * 40)]


@pytest.mark.parametrize("after", ["a" * 39, "A" * 40, "a" * 40 + "\n", None, 7, ["a" * 40]])
def test_a_push_counts_although_it_does_not_say_where_its_branch_is(after):
    found = hint("push", pushed("refs/heads/feature/a", after=after))
    assert [fact.key for fact in found.stale] == ["feature/a"]
    assert found.announced == ()


def test_what_a_poll_was_shown_is_no_push_and_announces_nothing():
    found = hint("push", pushed("refs/heads/main", after="a" * 40, action="polled"))
    assert [fact.key for fact in found.stale] == ["main"]
    assert found.announced == ()


def test_a_deleted_branch_is_looked_at_again_like_any_other():
    found = hint("push", pushed("refs/heads/gone", after="0" * 40, deleted=True, head_commit=None))
    assert found.touched == (BranchTouched(repository_id=found.repository.id, branch="gone"),)
    assert [each.after for each in found.announced] == ["0" * 40]
    assert found.pushed is None


def test_the_branch_of_a_merge_queue_is_its_question_and_followed_by_nobody():
    ref = "refs/heads/gh-readonly-queue/main/pr-1-abc"
    found = hint("push", pushed(ref, after="a" * 40))
    assert found.touched == (MergeQueueWaits(repository_id=found.repository.id, sha="a" * 40),)
    assert (found.stale, found.announced, found.pushed) == ((), (), None)
    assert "is gone" in reason("push", pushed(ref, after="0" * 40, deleted=True, head_commit=None))


@pytest.mark.parametrize("ref", ["refs/tags/v1", "main", "refs/notes/x"])
def test_what_is_not_a_branch_that_people_push_to_is_ignored(ref):
    assert "cannot read" not in reason("push", pushed(ref))


@pytest.mark.parametrize("branch", ["a b", "a\x00", "", "a\nb", "a:b", "é" * 300, "a\\b", "\ud800"])
def test_a_branch_name_that_git_would_refuse_is_ignored(branch):
    assert reason("push", pushed("refs/heads/" + branch)).startswith("cannot read push")


@pytest.mark.parametrize("branch", ["--upload-pack=touch${IFS}x;", "a$(id)", "a;b", "a'b", "ünï", "HEAD", "@"])
def test_a_nasty_branch_name_that_git_allows_is_carried_as_it_is(branch):
    assert hint("push", pushed("refs/heads/" + branch)).touched[0].branch == branch


# pull_request ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "action",
    [
        "opened",
        "reopened",
        "synchronize",
        "closed",
        "edited",
        "labeled",
        "unlabeled",
        "converted_to_draft",
        "ready_for_review",
        "invented",
    ],
)
def test_a_pull_request_is_offered_as_a_value_with_its_order(action):
    payload = example("pull_request", "opened") | {"action": action}
    payload["pull_request"] |= {"updated_at": "2026-05-01T10:00:00Z"}
    found = hint("pull_request", payload)
    number, id_ = payload["pull_request"]["number"], payload["repository"]["id"]
    (seen,) = found.values
    assert seen.fact == FactKey(FactKind.PULL_REQUEST, id_, str(number))
    assert seen.ordered_at == seen.value.updated_at == datetime(2026, 5, 1, 10, tzinfo=UTC)
    assert found.touched == (PullRequestTouched(repository_id=id_, number=number),)
    assert found.stale == (FactKey(FactKind.OPEN_PULL_REQUESTS, id_, ""),)


@pytest.mark.parametrize(
    "action",
    [
        "assigned",
        "unassigned",
        "locked",
        "unlocked",
        "milestoned",
        "demilestoned",
        "review_requested",
        "review_request_removed",
        "auto_merge_enabled",
        "auto_merge_disabled",
        "enqueued",
        "dequeued",
    ],
)
def test_an_action_that_changes_nothing_that_runs_is_ignored(action):
    assert action in reason("pull_request", example("pull_request", "opened") | {"action": action})


def pull(**changes):
    payload = example("pull_request", "opened")
    payload["pull_request"] |= changes
    (seen,) = hint("pull_request", payload).values
    return seen.value


def test_a_merged_pull_request_is_closed_and_merged():
    value = pull(state="closed", merged=True)
    assert (value.state, value.merged) == ("closed", True)
    assert pull(state="closed", merged=None, merged_at="2026-05-01T10:00:00Z").merged


def test_a_head_in_another_repository_is_a_fork_and_so_is_a_deleted_one():
    head = example("pull_request", "opened")["pull_request"]["head"]
    assert not pull().is_fork
    assert pull(head=head | {"repo": head["repo"] | {"id": 99}}).is_fork
    gone = pull(head=head | {"repo": None})
    assert gone.head_repository_id is None
    assert gone.is_fork


def test_a_repository_that_is_itself_a_fork_is_no_fork_to_itself():
    head = example("pull_request", "opened")["pull_request"]["head"]
    assert not pull(head=head | {"repo": head["repo"] | {"fork": True}}).is_fork


def test_a_deleted_author_is_a_ghost_and_a_bot_is_a_bot():
    assert pull(user=None).author == "ghost"
    assert pull(user={"login": "dependabot[bot]", "type": "Bot"}).author_is_bot


def test_a_title_for_people_is_made_storable():
    value = pull(title="a\x00b\ud800c\nd" + "e" * 500)
    assert value.title.startswith("a b c d")
    assert len(value.title) == 300


def test_a_title_cut_within_a_character_is_read_from_the_raw_body_as_well():
    payload = example("pull_request", "opened")
    payload["pull_request"]["title"] = "half an emoji \ud83d"
    (seen,) = hint("pull_request", json.dumps(payload).encode()).values
    assert seen.value.title == "half an emoji  "


def test_a_pull_request_into_another_repository_than_the_event_s_is_ignored():
    base = example("pull_request", "opened")["pull_request"]["base"]
    payload = example("pull_request", "opened")
    payload["pull_request"]["base"] = base | {"repo": base["repo"] | {"id": 99}}
    assert "base.repo.id" in reason("pull_request", payload)


# CI -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["success", "failure", "pending", "error"])
def test_a_status_makes_the_commit_s_ci_stale_whatever_it_says(state):
    payload = example("status") | {"state": state}
    found = hint("status", payload)
    id_ = found.repository.id
    assert found.stale == (FactKey(FactKind.CI, id_, payload["sha"]),)
    assert found.touched == (CommitTouched(repository_id=id_, sha=Sha(payload["sha"])),)


def test_our_own_status_and_our_own_check_start_nothing():
    assert reason("status", example("status") | {"context": "Towpath/shop"}) == "our own status"
    for event in ("check_run", "check_suite"):
        payload = example(event, "completed")
        payload[event]["app"]["id"] = OUR_APP
        assert reason(event, payload, our_app_id=OUR_APP) == "our own check"
        assert hint(event, payload, our_app_id=1).stale[0].kind is FactKind.CI


def test_a_check_without_an_app_is_still_a_signal():
    payload = example("check_run", "completed")
    payload["check_run"]["app"] = None
    assert hint("check_run", payload, our_app_id=OUR_APP).touched[0].sha == payload["check_run"]["head_sha"]


def test_a_pressed_button_names_the_commit_the_action_and_the_presser():
    payload = example("check_run", "requested_action")
    payload["check_run"] |= {"external_id": "check:1"}
    payload["check_run"]["app"]["id"] = OUR_APP
    payload["requested_action"] = {"identifier": "approve"}
    found = hint("check_run", payload, our_app_id=OUR_APP)
    assert found.touched == (
        CheckRunRequested(
            repository_id=found.repository.id,
            sha=Sha(payload["check_run"]["head_sha"]),
            identifier="approve",
            external_id="check:1",
            login=payload["sender"]["login"],
        ),
    )
    del payload["requested_action"]
    assert reason("check_run", payload, our_app_id=OUR_APP) == "requested_action is missing"


@pytest.mark.parametrize("event", ["check_run", "check_suite"])
def test_a_rerequest_of_ours_is_a_request_and_of_another_s_only_a_signal(event):
    payload = example(event, "rerequested")
    payload[event]["app"]["id"] = OUR_APP
    assert hint(event, payload, our_app_id=OUR_APP).touched[0].identifier == "rerequest"
    payload[event]["app"]["id"] = 5
    assert isinstance(hint(event, payload, our_app_id=OUR_APP).touched[0], CommitTouched)
    assert isinstance(hint(event, payload, our_app_id=0).touched[0], CommitTouched)


def test_a_merge_queue_that_waits_for_our_check_touches_its_commit_and_an_ended_one_nothing():
    payload = example("merge_group", "checks_requested")
    assert hint("merge_group", payload).touched[0].sha == payload["merge_group"]["head_sha"]
    assert "destroyed" in reason("merge_group", payload | {"action": "destroyed", "reason": "merged"})


# repositories and installations ---------------------------------------------------------------------


def test_a_renamed_repository_keeps_its_number():
    payload = example("repository", "renamed")
    payload["repository"] |= {"full_name": "acme/new-name", "archived": True}
    found = hint("repository", payload)
    assert (found.repository.id, found.repository.full_name) == (payload["repository"]["id"], "acme/new-name")
    assert found.repository.archived
    assert found.touched == (RepositoryTouched(repository_id=found.repository.id),)


def test_a_changed_default_branch_touches_the_old_and_the_new_one():
    payload = example("repository", "edited")
    payload["repository"]["default_branch"] = "trunk"
    payload["changes"] = {"default_branch": {"from": "master"}}
    found = hint("repository", payload)
    assert {fact.key for fact in found.stale} == {"master", "trunk"}
    assert {each.branch for each in found.touched if isinstance(each, BranchTouched)} == {"master", "trunk"}


def test_a_deleted_repository_is_gone():
    found = hint("repository", example("repository", "renamed") | {"action": "deleted"})
    assert found.touched == (RepositoryTouched(repository_id=found.repository.id, gone=True),)


@pytest.mark.parametrize("name", ["../../user", "a/..", "a/b/c", "a b/c", "a", "/b", "a/b?x=1"])
def test_a_repository_name_that_would_climb_in_an_address_is_ignored(name):
    payload = pushed("refs/heads/main")
    payload["repository"]["full_name"] = name
    assert "full_name" in reason("push", payload)


@pytest.mark.parametrize(
    ("action", "state"),
    [
        ("created", InstallationState.ACTIVE),
        ("new_permissions_accepted", InstallationState.ACTIVE),
        ("unsuspend", InstallationState.ACTIVE),
        ("suspend", InstallationState.SUSPENDED),
        ("deleted", InstallationState.DELETED),
    ],
)
def test_an_installation_says_what_it_is_now(action, state):
    payload = example("installation", "created") | {"action": action}
    payload["repositories"] = [{"id": 7, "full_name": "acme/shop"}]
    found = hint("installation", payload)
    change, gone = found.installation, action == "deleted"
    assert (change.id, change.state) == (payload["installation"]["id"], state)
    assert change.added == (() if gone else ((RepositoryId(7), "acme/shop"),))
    assert change.removed == ((RepositoryId(7),) if gone else ())
    assert found.touched == (
        InstallationTouched(installation_id=change.id),
        RepositoryTouched(repository_id=RepositoryId(7), gone=gone),
    )


@pytest.mark.parametrize(
    ("action", "suspended_at", "state"),
    [
        ("new_permissions_accepted", "2026-05-01T00:00:00Z", "suspended"),
        ("suspend", None, "suspended"),
        ("unsuspend", None, "active"),
        ("deleted", "2026-05-01T00:00:00Z", "deleted"),
    ],
)
def test_what_is_done_to_a_suspended_installation_leaves_it_suspended(action, suspended_at, state):
    payload = example("installation", "created")
    payload |= {"action": action, "installation": payload["installation"] | {"suspended_at": suspended_at}}
    assert hint("installation", payload).installation.state == state


def test_repositories_come_to_an_installation_and_leave_it():
    payload = example("installation_repositories", "removed")
    payload["repositories_added"] = [{"id": 7, "full_name": "acme/shop"}]
    payload["repositories_removed"] = [{"id": 8, "full_name": "acme/old"}]
    change = hint("installation_repositories", payload).installation
    assert change.added == ((RepositoryId(7), "acme/shop"),)
    assert change.removed == (RepositoryId(8),)


def test_the_installation_of_the_event_belongs_to_the_repository():
    payload = pushed("refs/heads/main") | {"installation": {"id": 12}}
    assert hint("push", payload).repository.installation_id == 12


@pytest.mark.parametrize("action", ["created", "edited", "deleted"])
def test_what_branches_require_is_read_again_once_it_changes(action):
    payload = example("branch_protection_rule", action)
    touched = (RequirementsTouched(repository_id=RepositoryId(payload["repository"]["id"])),)
    assert hint("branch_protection_rule", payload).touched == touched
    assert hint("repository_ruleset", payload).touched == touched


def test_an_organization_s_rules_name_no_repository():
    payload = {key: value for key, value in example("branch_protection_rule", "created").items() if key != "repository"}
    assert "an organization's rules" in reason("repository_ruleset", payload)
