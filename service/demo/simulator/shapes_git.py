"""How the simulated GitHub writes commits."""

from service.demo.simulator.git_store import Commit
from service.demo.simulator.shapes import Json, Site, node_id, user
from service.demo.simulator.state import Account, Repository

_UNSIGNED = {"verified": False, "reason": "unsigned", "signature": None, "payload": None, "verified_at": None}


def git_commit(site: Site, repo: Repository, commit: Commit) -> Json:
    """A commit as the git database shows it (`/git/commits/{sha}`)."""
    git, html = f"{site.api}/repos/{repo.full_name}/git", f"{site.url}/{repo.full_name}/commit"
    person = {"name": commit.name, "email": commit.email, "date": commit.date}
    return {
        "sha": commit.sha,
        "node_id": node_id("Commit", int(commit.sha[:12], 16)),
        "url": f"{git}/commits/{commit.sha}",
        "html_url": f"{html}/{commit.sha}",
        "author": person,
        "committer": person,
        "tree": {"sha": commit.tree, "url": f"{git}/trees/{commit.tree}"},
        "message": commit.message,
        "parents": [{"sha": sha, "url": f"{git}/commits/{sha}", "html_url": f"{html}/{sha}"} for sha in commit.parents],
        "verification": _UNSIGNED,
    }


def commit(site: Site, repo: Repository, one: Commit, author: Account | None) -> Json:
    """A commit as `/commits/{ref}` shows it."""
    url = f"{site.api}/repos/{repo.full_name}/commits"
    inner = git_commit(site, repo, one)
    person = None if author is None else user(site, author)
    return {
        "sha": one.sha,
        "node_id": inner["node_id"],
        "commit": {key: inner[key] for key in ("author", "committer", "message", "tree", "verification")}
        | {"url": inner["url"], "comment_count": 0},
        "url": f"{url}/{one.sha}",
        "html_url": inner["html_url"],
        "comments_url": f"{url}/{one.sha}/comments",
        "author": person,
        "committer": person,
        "parents": [
            {"sha": parent["sha"], "url": f"{url}/{parent['sha']}", "html_url": parent["html_url"]}
            for parent in inner["parents"]
        ],
    }


def pushed_commit(site: Site, repo: Repository, one: Commit, files: dict[str, list[str]]) -> Json:
    """A commit as a push payload carries it."""
    person = {"name": one.name, "email": one.email, "username": one.name}
    return {
        "id": one.sha,
        "tree_id": one.tree,
        "distinct": True,
        "message": one.message,
        "timestamp": one.date,
        "url": f"{site.url}/{repo.full_name}/commit/{one.sha}",
        "author": person,
        "committer": person,
        "added": files.get("added", []),
        "removed": files.get("removed", []),
        "modified": files.get("modified", []) + files.get("changed", []),
    }
