"""How the simulated GitHub writes accounts, repositories and commits: shared by REST answers and payloads."""

import base64
from dataclasses import dataclass
from typing import Any

from service.demo.simulator.state import Account, App, Installation, Repository, stamp

Json = dict[str, Any]

_REPOSITORY_URLS = {
    "archive_url": "/{archive_format}{/ref}",
    "assignees_url": "/assignees{/user}",
    "blobs_url": "/git/blobs{/sha}",
    "branches_url": "/branches{/branch}",
    "collaborators_url": "/collaborators{/collaborator}",
    "comments_url": "/comments{/number}",
    "commits_url": "/commits{/sha}",
    "compare_url": "/compare/{base}...{head}",
    "contents_url": "/contents/{+path}",
    "contributors_url": "/contributors",
    "deployments_url": "/deployments",
    "downloads_url": "/downloads",
    "events_url": "/events",
    "forks_url": "/forks",
    "git_commits_url": "/git/commits{/sha}",
    "git_refs_url": "/git/refs{/sha}",
    "git_tags_url": "/git/tags{/sha}",
    "hooks_url": "/hooks",
    "issue_comment_url": "/issues/comments{/number}",
    "issue_events_url": "/issues/events{/number}",
    "issues_url": "/issues{/number}",
    "keys_url": "/keys{/key_id}",
    "labels_url": "/labels{/name}",
    "languages_url": "/languages",
    "merges_url": "/merges",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}",
    "pulls_url": "/pulls{/number}",
    "releases_url": "/releases{/id}",
    "stargazers_url": "/stargazers",
    "statuses_url": "/statuses/{sha}",
    "subscribers_url": "/subscribers",
    "subscription_url": "/subscription",
    "tags_url": "/tags",
    "teams_url": "/teams",
    "trees_url": "/git/trees{/sha}",
}
_USER_URLS = {
    "events_url": "/events{/privacy}",
    "followers_url": "/followers",
    "following_url": "/following{/other_user}",
    "gists_url": "/gists{/gist_id}",
    "organizations_url": "/orgs",
    "received_events_url": "/received_events",
    "repos_url": "/repos",
    "starred_url": "/starred{/owner}{/repo}",
    "subscriptions_url": "/subscriptions",
}


@dataclass(slots=True)
class Site:
    """Where the simulated GitHub is reached; known once its port is."""

    url: str = "http://127.0.0.1"

    @property
    def api(self) -> str:
        """The REST root, laid out as on GitHub Enterprise Server."""
        return f"{self.url}/api/v3"


def node_id(kind: str, number: int) -> str:
    """GitHub's opaque global ids."""
    return base64.b64encode(f"{kind}:{number}".encode()).decode()


def user(site: Site, account: Account) -> Json:
    """A simple user."""
    url = f"{site.api}/users/{account.login}"
    return {
        "login": account.login,
        "id": account.id,
        "node_id": node_id("User", account.id),
        "avatar_url": f"{site.url}/avatars/{account.id}",
        "gravatar_id": "",
        "url": url,
        "html_url": f"{site.url}/{account.login}",
        "type": account.type,
        "site_admin": False,
        "user_view_type": "public",
    } | {key: url + path for key, path in _USER_URLS.items()}


def public_user(site: Site, account: Account) -> Json:
    """A user with a profile, as `/user` and `/users/{username}` show it."""
    empty = dict.fromkeys(("blog", "company", "email", "hireable", "location", "bio", "name"))
    counts = dict.fromkeys(("followers", "following", "public_gists", "public_repos"), 0)
    times = {"created_at": "2020-01-01T00:00:00Z", "updated_at": "2020-01-01T00:00:00Z"}
    return user(site, account) | empty | counts | times


def repository(site: Site, repo: Repository) -> Json:
    """A whole repository, as in payloads and in `GET /repos/{owner}/{repo}`."""
    url, html = f"{site.api}/repos/{repo.full_name}", f"{site.url}/{repo.full_name}"
    opened = sum(pull.state == "open" for pull in repo.pulls.values())
    zero = ("forks", "forks_count", "size", "stargazers_count", "watchers", "watchers_count")
    off = ("has_discussions", "has_pages", "has_projects", "has_wiki", "disabled", "is_template")
    return {
        "id": repo.id,
        "node_id": node_id("Repository", repo.id),
        "name": repo.name,
        "full_name": repo.full_name,
        "private": repo.private,
        "owner": user(site, repo.owner),
        "html_url": html,
        "url": url,
        "description": repo.description,
        "fork": repo.parent is not None,
        "created_at": stamp(repo.created_at),
        "updated_at": stamp(repo.updated_at),
        "pushed_at": stamp(repo.pushed_at),
        "clone_url": f"{html}.git",
        "git_url": f"git:{html.partition(':')[2]}.git",
        "ssh_url": f"git@127.0.0.1:{repo.full_name}.git",
        "svn_url": html,
        "homepage": None,
        "language": None,
        "mirror_url": None,
        "license": None,
        "topics": [],
        "custom_properties": {},
        "visibility": "private" if repo.private else "public",
        "default_branch": repo.default_branch,
        "archived": repo.archived,
        "open_issues": opened,
        "open_issues_count": opened,
        "has_issues": True,
        "has_downloads": True,
        "allow_forking": True,
        "web_commit_signoff_required": False,
        **dict.fromkeys(zero, 0),
        **dict.fromkeys(off, False),
        **{key: url + path for key, path in _REPOSITORY_URLS.items()},
    }


def full_repository(site: Site, repo: Repository, permission: str) -> Json:
    """A repository with what the asker may do."""
    rights = {
        "admin": permission == "admin",
        "maintain": permission == "admin",
        "push": permission in {"admin", "write", "maintain"},
        "triage": permission in {"admin", "write", "maintain"},
        "pull": True,
    }
    shown = repository(site, repo) | {"permissions": rights, "network_count": 0, "subscribers_count": 0}
    if repo.parent is not None:
        shown["parent"] = shown["source"] = repository(site, repo.parent)
    return shown


def repository_name(repo: Repository) -> Json:
    """The few fields that installation payloads carry."""
    return {
        "id": repo.id,
        "node_id": node_id("Repository", repo.id),
        "name": repo.name,
        "full_name": repo.full_name,
        "private": repo.private,
    }


def app(site: Site, one: App) -> Json:
    """A GitHub App."""
    return {
        "id": one.id,
        "client_id": f"Iv23li{one.id}",
        "slug": one.slug,
        "node_id": node_id("Integration", one.id),
        "owner": user(site, one.owner),
        "name": one.name,
        "description": "",
        "external_url": f"{site.url}/apps/{one.slug}",
        "html_url": f"{site.url}/apps/{one.slug}",
        "created_at": stamp(one.created_at),
        "updated_at": stamp(one.created_at),
        "permissions": dict(one.permissions),
        "events": list(one.events),
    }


def installation(site: Site, one: Installation, our: App) -> Json:
    """An installation of our App."""
    url = f"{site.api}/app/installations/{one.id}"
    return {
        "id": one.id,
        "account": user(site, one.account),
        "repository_selection": "all" if one.repository_ids is None else "selected",
        "access_tokens_url": f"{url}/access_tokens",
        "repositories_url": f"{site.api}/installation/repositories",
        "html_url": f"{site.url}/settings/installations/{one.id}",
        "app_id": our.id,
        "client_id": f"Iv23li{our.id}",
        "app_slug": our.slug,
        "target_id": one.account.id,
        "target_type": "User" if one.account.type == "User" else "Organization",
        "permissions": dict(one.permissions),
        "events": list(our.events),
        "created_at": stamp(one.created_at),
        "updated_at": stamp(one.created_at),
        "single_file_name": None,
        "has_multiple_single_files": False,
        "single_file_paths": [],
        "suspended_by": user(site, one.account) if one.suspended_at else None,
        "suspended_at": stamp(one.suspended_at),
    }
