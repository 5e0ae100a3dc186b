"""The bodies of the simulated GitHub's webhooks, complete enough for GitHub's own description of them."""

from typing import Any

from service.demo.simulator import shapes, shapes_checks, shapes_git, shapes_work
from service.demo.simulator.git_store import ZERO, Commit
from service.demo.simulator.shapes import Json, Site
from service.demo.simulator.state import (
    Account,
    App,
    CheckRun,
    CheckSuite,
    Comment,
    Installation,
    Pull,
    Repository,
    Status,
    stamp,
)


def event(
    site: Site, body: Json, *, sender: Account, repo: Repository | None, installation: Installation | None
) -> Json:
    """The frame of every payload: who did it, where, and through which installation we hear of it."""
    payload = dict(body)
    if repo is not None:
        payload["repository"] = shapes.repository(site, repo)
    if installation is not None and "installation" not in payload:
        number = installation.id
        payload["installation"] = {"id": number, "node_id": shapes.node_id("IntegrationInstallation", number)}
    return payload | {"sender": shapes.user(site, sender)}


def push(
    site: Site,
    repo: Repository,
    *,
    ref: str,
    before: str,
    after: str,
    forced: bool,
    commits: list[tuple[Commit, dict[str, list[str]]]],
    head: Commit | None,
    pusher: Account,
) -> Json:
    """What is special about a push; `commits` oldest first."""
    written = [shapes_git.pushed_commit(site, repo, one, files) for one, files in commits]
    lone = None if head is None else shapes_git.pushed_commit(site, repo, head, {})
    html = f"{site.url}/{repo.full_name}"
    return {
        "ref": ref,
        "before": before,
        "after": after,
        "created": before == ZERO,
        "deleted": after == ZERO,
        "forced": forced,
        "base_ref": None,
        "compare": f"{html}/compare/{before[:12]}...{after[:12]}",
        # "An array of commit objects ... maximum of 2048 commits" (GitHub docs, push event)
        "commits": written[:2048],
        "head_commit": written[-1] if written else lone,
        "pusher": {"name": pusher.login, "email": f"{pusher.login}@users.noreply.github.com"},
    }


def pull_request(site: Site, repo: Repository, pull: Pull, action: str, **fields: Any) -> Json:
    """What is special about a pull_request event."""
    shown = shapes_work.pull_request(site, repo, pull)
    return {"action": action, "number": pull.number, "pull_request": shown} | fields


def status(
    site: Site, repo: Repository, one: Status, commit: Commit, author: Account | None, branches: dict[str, str]
) -> Json:
    """What is special about a status event; a branch is listed when the commit is on it, head or not."""
    url = f"{site.api}/repos/{repo.full_name}/commits"
    return {
        "id": one.id,
        "sha": one.sha,
        "name": repo.full_name,
        "avatar_url": f"{site.url}/avatars/{one.creator.id}",
        "target_url": one.target_url,
        "context": one.context,
        "description": one.description,
        "state": one.state,
        "commit": shapes_git.commit(site, repo, commit, author),
        "branches": [
            {"name": name, "commit": {"sha": sha, "url": f"{url}/{sha}"}, "protected": name in repo.protection}
            for name, sha in list(branches.items())[:10]
        ],
        "created_at": stamp(one.created_at),
        "updated_at": stamp(one.created_at),
    }


def check_run(
    site: Site, repo: Repository, run: CheckRun, action: str, commit: Commit, identifier: str | None = None
) -> Json:
    """What is special about a check_run event."""
    suite = shapes_checks.check_suite(site, repo, run.suite, commit)
    kept = ("id", "node_id", "head_branch", "head_sha", "status", "conclusion", "url", "before", "after",
            "pull_requests", "app", "created_at", "updated_at")  # fmt: skip
    shown = shapes_checks.check_run(site, repo, run) | {"check_suite": {key: suite[key] for key in kept}}
    asked = {} if identifier is None else {"requested_action": {"identifier": identifier}}
    return {"action": action, "check_run": shown} | asked


def check_suite(site: Site, repo: Repository, suite: CheckSuite, action: str, commit: Commit) -> Json:
    """What is special about a check_suite event."""
    return {"action": action, "check_suite": shapes_checks.check_suite(site, repo, suite, commit)}


def issue_comment(site: Site, repo: Repository, pull: Pull, comment: Comment, action: str) -> Json:
    """What is special about an issue_comment event on a pull request."""
    simple = shapes_work.pull_request(site, repo, pull)
    api, html = f"{site.api}/repos/{repo.full_name}", simple["html_url"]
    same = ("number", "title", "user", "body", "labels", "state", "locked", "assignee", "assignees", "milestone",
            "comments", "created_at", "updated_at", "closed_at", "author_association", "active_lock_reason",
            "draft", "id")  # fmt: skip
    shown = shapes_work.comment(site, repo, comment)
    issue = {key: simple[key] for key in same} | {
        "url": f"{api}/issues/{pull.number}",
        "repository_url": api,
        "labels_url": f"{api}/issues/{pull.number}/labels{{/name}}",
        "comments_url": f"{api}/issues/{pull.number}/comments",
        "events_url": f"{api}/issues/{pull.number}/events",
        "html_url": html,
        "node_id": shapes.node_id("Issue", pull.id),
        "reactions": shown["reactions"] | {"url": f"{api}/issues/{pull.number}/reactions"},
        "timeline_url": f"{api}/issues/{pull.number}/timeline",
        "performed_via_github_app": None,
        "state_reason": None,
        "pull_request": {
            "url": simple["url"],
            "html_url": html,
            "diff_url": simple["diff_url"],
            "patch_url": simple["patch_url"],
            "merged_at": simple["merged_at"],
        },
    }
    return {"action": action, "issue": issue, "comment": shown}


def merge_group(site: Site, repo: Repository, *, ref: str, commit: Commit, base_ref: str, action: str,
                reason: str | None = None) -> Json:  # fmt: skip
    """What is special about a merge_group event."""
    pushed = shapes_git.pushed_commit(site, repo, commit, {})
    short = {key: pushed[key] for key in ("id", "tree_id", "message", "timestamp")}
    person = {"name": commit.name, "email": commit.email}
    group = {
        "head_sha": commit.sha,
        "head_ref": ref,
        "base_sha": commit.parents[0],
        "base_ref": base_ref,
        "head_commit": short | {"author": person, "committer": person},
    }
    return {"action": action, "merge_group": group} | ({} if reason is None else {"reason": reason})


def installation(site: Site, one: Installation, our: App, action: str, repos: list[Repository]) -> Json:
    """What is special about an installation event."""
    shown: Json = {"action": action, "installation": shapes.installation(site, one, our)}
    return shown | {"repositories": [shapes.repository_name(repo) for repo in repos], "requester": None}


def installation_repositories(
    site: Site, one: Installation, our: App, *, added: list[Repository], removed: list[Repository]
) -> Json:
    """What is special about an installation_repositories event."""
    shown = shapes.installation(site, one, our)
    return {
        "action": "added" if added else "removed",
        "installation": shown,
        "repository_selection": shown["repository_selection"],
        "repositories_added": [shapes.repository_name(repo) for repo in added],
        "repositories_removed": [shapes.repository_name(repo) for repo in removed],
        "requester": None,
    }


def ping(site: Site, our: App, url: str) -> Json:
    """What is special about a ping to an App's hook."""
    when = stamp(our.created_at)
    return {
        "zen": "Approachable is better than simple.",
        "hook_id": our.id * 10,
        "hook": {
            "type": "App",
            "id": our.id * 10,
            "app_id": our.id,
            "name": "web",
            "active": True,
            "events": list(our.events),
            "config": {"content_type": "json", "insecure_ssl": "0", "secret": "********", "url": url},
            "created_at": when,
            "updated_at": when,
            "deliveries_url": f"{site.api}/app/hook/deliveries",
        },
    }


def hook_ping(hook: Json) -> Json:
    """What is special about a ping to a repository's hook."""
    return {"zen": "Approachable is better than simple.", "hook_id": hook["id"], "hook": hook}


def protection(repo: Repository, branch: str, contexts: list[str], action: str) -> Json:
    """What is special about a branch_protection_rule event; `name` is the pattern of the branches' names."""
    levels = (
        "pull_request_reviews", "signature_requirement", "linear_history_requirement", "lock_branch",
        "allow_force_pushes", "allow_deletions", "merge_queue", "required_deployments", "required_status_checks",
    )  # fmt: skip
    switches = (
        "dismiss_stale_reviews_on_push", "require_code_owner_review", "authorized_dismissal_actors_only",
        "strict_required_status_checks_policy", "admin_enforced", "authorized_actors_only",
        "ignore_approvals_from_contributors",
    )  # fmt: skip
    rule: Json = {
        "id": repo.id,
        "repository_id": repo.id,
        "name": branch,
        "created_at": stamp(repo.created_at),
        "updated_at": stamp(repo.updated_at),
        "required_approving_review_count": 0,
        "required_status_checks": contexts,
        "authorized_actor_names": [],
        "required_conversation_resolution_level": "off",
    }
    rule |= {f"{name}_enforcement_level": "off" for name in levels} | dict.fromkeys(switches, False)
    return {"action": action, "rule": rule} | ({"changes": {}} if action == "edited" else {})


def ruleset(repo: Repository, branch: str, contexts: list[str], action: str) -> Json:
    """What is special about a repository_ruleset event."""
    checks = [{"context": context} for context in contexts]
    parameters = {"required_status_checks": checks, "strict_required_status_checks_policy": False}
    shown: Json = {
        "id": repo.id,
        "name": branch,
        "target": "branch",
        "source_type": "Repository",
        "source": repo.full_name,
        "enforcement": "active",
        "conditions": {"ref_name": {"include": [f"refs/heads/{branch}"], "exclude": []}},
        "rules": [{"type": "required_status_checks", "parameters": parameters}] if contexts else [],
        "created_at": stamp(repo.created_at),
        "updated_at": stamp(repo.updated_at),
    }
    return {"action": action, "repository_ruleset": shown} | ({"changes": {}} if action == "edited" else {})
