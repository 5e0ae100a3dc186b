"""Every payload the simulated GitHub sends is one that GitHub could have sent."""

import json

from tests.github_contract.fixtures import GitHub
from tests.github_contract.validation import EXAMPLES, webhook_description


def watch(github: GitHub) -> list[tuple[str, str | None]]:
    seen: list[tuple[str, str | None]] = []
    github.sender.watchers.append(lambda event, payload: seen.append((event, payload.get("action"))))
    return seen


async def test_repository_events_fit_the_description(github: GitHub) -> None:
    seen = watch(github)
    repo = await github.create_repo("acme/shop", files={"a": "1"})
    github.rename_repo(repo, "store")
    await github.push(repo, "next", {"a": "2"})
    github.set_default_branch(repo, "next")
    github.set_archived(repo)
    github.set_archived(repo, False)
    github.set_private(repo)
    github.set_private(repo, False)
    await github.set_branch(repo, "next", await github.head(repo, "master"))
    await github.delete_branch(repo, "master")
    await github.rename_branch(repo, "next", "last")
    github.ping()
    for owner, kind in (("globex", "Organization"), ("ann", "User"), ("acme", "Organization")):
        github.install(github.account(owner, kind).login)
        github.transfer_repo(repo, owner, kind=kind)
    actions = {action for event, action in seen if event == "repository"}
    assert actions == {
        "created", "renamed", "edited", "archived", "unarchived", "privatized", "publicized", "transferred",
    }  # fmt: skip
    assert {"push", "check_suite", "ping"} <= {event for event, _ in seen}


async def test_events_about_what_branches_require_fit_the_description(github: GitHub) -> None:
    seen = watch(github)
    repo = await github.create_repo("acme/shop", files={"a": "1"})
    github.app.events += ["branch_protection_rule", "repository_ruleset"]  # no App is asked for them
    for rules in (False, True):
        for contexts in (["test"], ["test", "lint"], []):
            github.protect(repo, "master", contexts, rules=rules)
    actions = ["created", "edited", "deleted"]
    assert [action for event, action in seen if event == "branch_protection_rule"] == actions
    assert [action for event, action in seen if event == "repository_ruleset"] == actions


async def test_pull_request_events_fit_the_description(github: GitHub) -> None:
    seen = watch(github)
    repo = await github.create_repo("acme/shop", files={"a": "1"}, kind="User")
    await github.push(repo, "topic", {"a": "2"}, by="ann")
    await github.push(repo, "release", {"b": "2"})
    pull = await github.open_pull(repo, "topic", by="ann")
    await github.push(repo, "topic", {"a": "3"}, by="ann")
    await github.edit_pull(repo, pull.number, title="Other", body="Words", base="release")
    await github.edit_pull(repo, pull.number, base="master")
    github.label_pull(repo, pull.number, "review-app")
    github.unlabel_pull(repo, pull.number, "review-app")
    github.set_draft(repo, pull.number)
    github.set_draft(repo, pull.number, False)
    github.close_pull(repo, pull.number)
    await github.reopen_pull(repo, pull.number)
    comment = github.comment(repo, pull.number, "Nice", by="bob")
    github.edit_comment(repo, comment.id, "Very nice")
    github.delete_comment(repo, comment.id)
    ref = await github.enqueue(repo, pull.number)
    await github.destroy_merge_group(repo, ref)
    await github.merge_pull(repo, pull.number, by="bob", delete_branch=True)
    actions = {action for event, action in seen if event == "pull_request"}
    assert actions == {
        "opened", "synchronize", "edited", "labeled", "unlabeled", "converted_to_draft", "ready_for_review",
        "closed", "reopened",
    }  # fmt: skip
    assert {action for event, action in seen if event == "issue_comment"} == {"created", "edited", "deleted"}
    assert {action for event, action in seen if event == "merge_group"} == {"checks_requested", "destroyed"}


async def test_a_deleted_forks_pull_request_fits_but_for_the_written_exception(github: GitHub) -> None:
    repo = await github.create_repo("acme/shop", files={"a": "1"})
    fork = await github.fork(repo, "eve")
    await github.push(fork, "topic", {"a": "2"}, by="eve")
    pull = await github.open_pull(repo, "topic", head_repo=fork)
    github.delete_repo(fork)
    seen: list[dict] = []
    github.sender.watchers.append(lambda _, payload: seen.append(payload))
    github.close_pull(repo, pull.number)
    assert seen[-1]["pull_request"]["head"]["repo"] is None


async def test_signals_fit_the_description(github: GitHub) -> None:
    seen = watch(github)
    repo = await github.create_repo("acme/shop", files={"a": "1"})
    sha = await github.head(repo)
    for state in ("pending", "failure", "error", "success"):
        await github.set_status(repo, sha, state, context="ci/test", description="A test", target_url="http://ci")
    run = await github.create_check_run(repo, sha, "build", status="in_progress")
    await github.update_check_run(repo, run.id, conclusion="failure", output={"title": "Bad", "summary": "It broke"})
    ours = await github.create_check_run(
        repo, sha, "towpath/shop", app=github.app,
        actions=[{"label": "Go", "description": "Do it", "identifier": "go"}],
    )  # fmt: skip
    await github.rerequest(repo, ours.id)
    await github.press(repo, ours.id, "go", by="ann")
    actions = {action for event, action in seen if event == "check_run"}
    assert actions == {"created", "completed", "rerequested", "requested_action"}
    assert ("check_suite", "completed") in seen
    assert ("status", None) in seen


async def test_installation_events_fit_the_description(github: GitHub) -> None:
    seen = watch(github)
    repo = await github.create_repo("acme/shop", installed=False)
    other = await github.create_repo("acme/other", installed=False)
    one = github.install("acme", [repo])
    github.add_to(one.id, other)
    github.remove_from(one.id, other)
    github.suspend(one.id)
    github.suspend(one.id, False)
    github.uninstall(one.id)
    actions = {action for event, action in seen if event.startswith("installation")}
    assert actions == {"created", "added", "removed", "suspend", "unsuspend", "deleted"}


async def test_payloads_have_every_field_of_octokits_recorded_examples(github: GitHub) -> None:
    """The description leaves many fields optional; a recorded payload shows that they are there."""
    sent: dict[tuple[str, str | None], dict] = {}
    github.sender.watchers.append(lambda event, payload: sent.setdefault((event, payload.get("action")), payload))
    repo = await github.create_repo("acme/shop", files={"a": "1"})
    await github.push(repo, "topic", {"a": "2"})
    pull = await github.open_pull(repo, "topic")
    await github.set_status(repo, pull.head_sha, "success")
    await github.create_check_run(repo, pull.head_sha, conclusion="success")
    examples = {entry["name"]: entry["examples"] for entry in json.loads(EXAMPLES.read_text())}
    parts = {
        ("pull_request", "opened"): ("pull_request", "repository"),
        ("check_run", "created"): ("check_run",),
        ("check_suite", "completed"): ("check_suite",),
        ("status", None): ("commit",),
    }
    for key, names in parts.items():
        recorded = [one for one in examples[key[0]] if one.get("action") == key[1]][-1]
        for name in names:
            missing = recorded[name].keys() - sent[key][name].keys()
            assert not missing, (key, name)


def test_the_description_refuses_what_github_does_not_send(octokit: object) -> None:
    description = webhook_description()
    assert description.check("pull_request", {"action": "invented"})
    assert description.check("push", {"ref": "refs/heads/master"})
