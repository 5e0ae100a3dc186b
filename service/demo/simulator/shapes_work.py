"""How the simulated GitHub writes pull requests, statuses, checks, deployments and comments."""

from typing import Any

from service.demo.simulator.shapes import Json, Site, app, node_id, repository, user
from service.demo.simulator.state import (
    Account,
    App,
    Comment,
    Deployment,
    DeploymentStatus,
    Pull,
    Repository,
    stamp,
)


def label(site: Site, repo: Repository, name: str) -> Json:
    """A label."""
    number = sum(name.encode()) + 1
    return {
        "id": number,
        "node_id": node_id("Label", number),
        "url": f"{site.api}/repos/{repo.full_name}/labels/{name}",
        "name": name,
        "description": "",
        "color": "ededed",
        "default": False,
    }


def _links(site: Site, repo: Repository, pull: Pull) -> dict[str, str]:
    api = f"{site.api}/repos/{repo.full_name}"
    url, issue = f"{api}/pulls/{pull.number}", f"{api}/issues/{pull.number}"
    return {
        "self": url,
        "html": f"{site.url}/{repo.full_name}/pull/{pull.number}",
        "issue": issue,
        "comments": f"{issue}/comments",
        "review_comments": f"{url}/comments",
        "review_comment": f"{api}/pulls/comments{{/number}}",
        "commits": f"{url}/commits",
        "statuses": f"{api}/statuses/{pull.head_sha}",
    }


def _side(site: Site, owner: Account, ref: str, sha: str, repo: Repository | None) -> Json:
    """Head or base. `repo` is null once the fork is deleted, against the description: taskcluster-github#105."""
    return {
        "label": f"{owner.login}:{ref}",
        "ref": ref,
        "sha": sha,
        "user": user(site, owner),
        "repo": None if repo is None else repository(site, repo),
    }


def pull_simple(site: Site, repo: Repository, pull: Pull) -> Json:
    """A pull request as lists show it."""
    names, links = {"self": "url", "issue": "issue_url", "html": "html_url"}, _links(site, repo, pull)
    return {
        **{names.get(key, f"{key}_url"): value for key, value in links.items()},
        "_links": {key: {"href": value} for key, value in links.items()},
        "id": pull.id,
        "node_id": node_id("PullRequest", pull.id),
        "diff_url": f"{links['html']}.diff",
        "patch_url": f"{links['html']}.patch",
        "number": pull.number,
        "state": pull.state,
        "locked": False,
        "active_lock_reason": None,
        "title": pull.title,
        "user": user(site, pull.user),
        "body": pull.body,
        "labels": [label(site, repo, name) for name in pull.labels],
        "milestone": None,
        "created_at": stamp(pull.created_at),
        "updated_at": stamp(pull.updated_at),
        "closed_at": stamp(pull.closed_at),
        "merged_at": stamp(pull.merged_at),
        "merge_commit_sha": pull.merge_commit_sha,
        "assignee": None,
        "assignees": [],
        "requested_reviewers": [],
        "requested_teams": [],
        "draft": pull.draft,
        "head": _side(site, pull.head_owner, pull.head_ref, pull.head_sha, pull.head_repository),
        "base": _side(site, repo.owner, pull.base_ref, pull.base_sha, repo),
        "author_association": "OWNER" if pull.user.id == repo.owner.id else "CONTRIBUTOR",
        "auto_merge": None,
    }


def pull_request(site: Site, repo: Repository, pull: Pull) -> Json:
    """A whole pull request, as in payloads and in `GET /pulls/{number}`."""
    states = {True: "clean", False: "dirty", None: "unknown"}
    return pull_simple(site, repo, pull) | {
        "merged": pull.merged_at is not None,
        "mergeable": pull.mergeable if pull.state == "open" else None,
        "rebaseable": pull.mergeable if pull.state == "open" else None,
        "mergeable_state": states[pull.mergeable] if pull.state == "open" else "unknown",
        "merged_by": None if pull.merged_by is None else user(site, pull.merged_by),
        "comments": sum(comment.number == pull.number for comment in repo.comments.values()),
        "review_comments": 0,
        "maintainer_can_modify": False,
        "commits": pull.commits,
        "additions": pull.additions,
        "deletions": pull.deletions,
        "changed_files": pull.changed_files,
    }


def deployment(site: Site, repo: Repository, one: Deployment) -> Json:
    """GitHub's deployment."""
    api = f"{site.api}/repos/{repo.full_name}"
    return {
        "url": f"{api}/deployments/{one.id}",
        "id": one.id,
        "node_id": node_id("Deployment", one.id),
        "sha": one.sha,
        "ref": one.ref,
        "task": one.task,
        "payload": one.payload,
        "original_environment": one.environment,
        "environment": one.environment,
        "description": one.description,
        "creator": user(site, one.creator),
        "created_at": stamp(one.created_at),
        "updated_at": stamp(one.statuses[-1].created_at if one.statuses else one.created_at),
        "statuses_url": f"{api}/deployments/{one.id}/statuses",
        "repository_url": api,
        "transient_environment": one.transient,
        "production_environment": one.production,
    } | _performed(site, one.by_app)


def deployment_status(site: Site, repo: Repository, parent: Deployment, one: DeploymentStatus) -> Json:
    """One state of GitHub's deployment."""
    api = f"{site.api}/repos/{repo.full_name}"
    return {
        "url": f"{api}/deployments/{parent.id}/statuses/{one.id}",
        "id": one.id,
        "node_id": node_id("DeploymentStatus", one.id),
        "state": one.state,
        "creator": user(site, one.creator),
        "description": one.description,
        "environment": one.environment,
        "target_url": one.log_url,
        "log_url": one.log_url,
        "environment_url": one.environment_url,
        "created_at": stamp(one.created_at),
        "updated_at": stamp(one.created_at),
        "deployment_url": f"{api}/deployments/{parent.id}",
        "repository_url": api,
    } | _performed(site, parent.by_app)


def comment(site: Site, repo: Repository, one: Comment) -> Json:
    """A comment on a pull request."""
    api = f"{site.api}/repos/{repo.full_name}/issues"
    marks = ("+1", "-1", "laugh", "confused", "heart", "hooray", "eyes", "rocket")
    counts: dict[str, Any] = {mark: sum(kind == mark for _, _, kind in one.reactions) for mark in marks}
    return {
        "id": one.id,
        "node_id": node_id("IssueComment", one.id),
        "url": f"{api}/comments/{one.id}",
        "html_url": f"{site.url}/{repo.full_name}/pull/{one.number}#issuecomment-{one.id}",
        "issue_url": f"{api}/{one.number}",
        "body": one.body,
        "user": user(site, one.user),
        "created_at": stamp(one.created_at),
        "updated_at": stamp(one.updated_at),
        "author_association": _association(repo, one),
        "performed_via_github_app": None if one.by_app is None else app(site, one.by_app),
        "reactions": counts | {"url": f"{api}/comments/{one.id}/reactions", "total_count": len(one.reactions)},
    }


def _association(repo: Repository, one: Comment) -> str:
    if one.by_app is not None:
        return "NONE"
    if one.user.id == repo.owner.id:
        return "OWNER"
    return "COLLABORATOR" if one.user.login in repo.collaborators else "CONTRIBUTOR"


def _performed(site: Site, by: App | None) -> Json:
    return {} if by is None else {"performed_via_github_app": app(site, by)}
