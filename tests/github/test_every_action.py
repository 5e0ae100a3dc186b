"""What every action that GitHub's own description knows comes to, of each event that is used; and one it does not know."""

import json

import pytest

from service.github.events import parse
from service.github.hints import Hint
from tests.github.examples import all_examples, example
from tests.github_contract.fixtures import octokit
from tests.github_contract.validation import WEBHOOKS

__all__ = ["octokit"]

OURS = 4711
UNKNOWN = "invented"
QUIET = "ignored"
ACTIONS: dict[str, dict[str, str]] = {
    "push": {"": "a branch"},
    "pull_request": {
        **dict.fromkeys(
            ("opened", "reopened", "synchronize", "closed", "edited", "labeled", "unlabeled", UNKNOWN), "a pull request"
        ),
        **dict.fromkeys(("converted_to_draft", "ready_for_review"), "a pull request"),
        **dict.fromkeys(("assigned", "unassigned", "locked", "unlocked", "milestoned", "demilestoned"), QUIET),
        **dict.fromkeys(("review_requested", "review_request_removed", "enqueued", "dequeued"), QUIET),
        **dict.fromkeys(("auto_merge_enabled", "auto_merge_disabled"), QUIET),
    },
    "status": {"": "a commit"},
    "check_run": dict.fromkeys(("created", "completed", "rerequested", "requested_action", UNKNOWN), "a commit"),
    "check_suite": dict.fromkeys(("completed", "requested", "rerequested", UNKNOWN), "a commit"),
    "merge_group": {"checks_requested": "a merge queue", "destroyed": QUIET, UNKNOWN: QUIET},
    "ping": {"": QUIET},
    "installation": dict.fromkeys(
        ("created", "deleted", "suspend", "unsuspend", "new_permissions_accepted", UNKNOWN), "an installation"
    ),
    "installation_repositories": dict.fromkeys(("added", "removed", UNKNOWN), "an installation"),
    "installation_target": {"renamed": QUIET},
    "repository": dict.fromkeys(
        (
            *("created", "deleted", "archived", "unarchived", "edited", "renamed", "transferred"),
            *("privatized", "publicized", UNKNOWN),
        ),
        "a repository",
    ),
}
WORDS = {
    "BranchTouched": "a branch",
    "PullRequestTouched": "a pull request",
    "CommitTouched": "a commit",
    "MergeQueueWaits": "a merge queue",
    "InstallationTouched": "an installation",
    "RepositoryTouched": "a repository",
}


def described(event: str) -> set[str]:
    """The actions of an event in GitHub's description; "" for an event without any."""
    whole = json.loads(WEBHOOKS.read_text())["webhooks"]
    named = [each["post"]["operationId"].replace("-", "_").partition("/") for each in whole.values()]
    return {action for name, _, action in named if name == event}


def outcome(event: str, action: str) -> str:
    found = [each.payload for each in all_examples() if each.event == event] or [{}]
    payload = json.loads(json.dumps(found[-1])) | ({"action": action} if action else {})
    if action == "requested_action":
        payload |= {"requested_action": {"identifier": "fix"}}
    if event == "push":
        payload = example("push") | {"ref": "refs/heads/main"}
    told = parse(event=event, payload=payload, our_app_id=OURS)
    if not isinstance(told, Hint):
        assert "cannot read" not in told.reason, told
        return QUIET
    kinds = {WORDS[type(each).__name__] for each in told.touched}
    return "an installation" if "an installation" in kinds else " and ".join(sorted(kinds))


@pytest.mark.parametrize("event", list(ACTIONS))
def test_no_action_of_githubs_description_is_forgotten(event: str, octokit: object) -> None:
    assert described(event) == ACTIONS[event].keys() - {UNKNOWN}


@pytest.mark.parametrize(("event", "action"), [(event, action) for event, known in ACTIONS.items() for action in known])
def test_every_action_comes_to_what_it_means(event: str, action: str) -> None:
    assert outcome(event, action) == ACTIONS[event][action]
