"""What our GitHub App is to be: its permissions and events, each with the reason people are told; and its manifest.

GitHub's form is filled in from the manifest, so nobody has to tick boxes. GitHub refuses a manifest with an event that
its permissions do not cover, and with `installation`, which every App is sent anyway. All of it is pure.
"""

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from service.domain.pulling import is_own, reaches

PARKED: Final = "https://towpath.invalid/github/webhooks"
"""GitHub refuses an App with a webhook to `localhost`. To this name it fails to send, and keeps what it would have."""
SIGN_IN_BACK: Final = "/dashboard/github/callback"
"""Where GitHub leads a browser back to that signs in; the App names it as its callback URL."""
LONGEST_NAME: Final = 34
"""GitHub takes no longer name of an App."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """A permission by GitHub's name, and by the label that its pages show."""

    name: str
    level: str
    label: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A webhook event by GitHub's name and by its label, and the permission that GitHub wants asked for with it."""

    name: str
    label: str
    needs: str
    why: str


PERMISSIONS: Final = (
    Permission(
        name="contents", level="read", label="Contents", why="fetch the commits that are built; nothing is ever pushed"
    ),
    Permission(name="metadata", level="read", label="Metadata", why="see names, branches and collaborators"),
    Permission(
        name="pull_requests", level="write", label="Pull requests",
        why="see which are open; keep one comment with the addresses",
    ),
    Permission(
        name="checks", level="write", label="Checks", why="show each deploy as a check; know when CI has passed"
    ),
    Permission(
        name="statuses", level="write", label="Commit statuses", why="see what CI reports, and report the same way"
    ),
    Permission(
        name="deployments", level="write", label="Deployments", why="show what runs where, with a link to each app"
    ),
    Permission(
        name="merge_queues", level="read", label="Merge queues", why="answer a merge queue, so that it never waits"
    ),
    Permission(name="issues", level="read", label="Issues", why="be sent the comments on pull requests, like /approve"),
)  # fmt: skip
EVENTS: Final = (
    Event(name="push", label="Pushes", needs="contents", why="a branch moved"),
    Event(
        name="pull_request",
        label="Pull requests",
        needs="pull_requests",
        why="a pull request was opened, changed or closed",
    ),
    Event(name="status", label="Statuses", needs="statuses", why="CI reported"),
    Event(
        name="check_run", label="Check runs", needs="checks", why="CI reported, or a button of our check was pressed"
    ),
    Event(name="check_suite", label="Check suites", needs="checks", why="CI began or ended"),
    Event(name="merge_group", label="Merge groups", needs="merge_queues", why="a merge queue asks"),
    Event(name="issue_comment", label="Issue comments", needs="issues", why="somebody commented on a pull request"),
    Event(name="repository", label="Repositories", needs="metadata", why="a repository was renamed, moved or archived"),
)
HOOK_EVENTS: Final = tuple(event for event in EVENTS if event.name != "merge_group")
"""What the webhook of a single repository is to send. Of merge groups only Apps are told: it sends their branch."""
_OF_TOKENS: Final = frozenset({"contents", "metadata", "pull_requests", "statuses", "deployments"})
TOKEN_PERMISSIONS: Final = (
    *(permission for permission in PERMISSIONS if permission.name in _OF_TOKENS),
    Permission(
        name="repository_hooks", level="read", label="Webhooks", why="fetch what it could not deliver, and check it"
    ),
)
"""The least of a fine-grained token. GitHub has no permission for checks to give to one."""


def manifest(*, url: str, name: str, hook_url: str) -> dict[str, Any]:
    """The App for the installation of Towpath at `url`, as GitHub wants to be told of it."""
    return {
        "name": name,
        "url": url,
        "description": "Review apps for pull requests, staging and production.",
        "hook_attributes": {"url": hook_url, "active": True},
        "redirect_url": f"{url}/github/setup/created",
        "callback_urls": [f"{url}{SIGN_IN_BACK}"],
        "setup_url": f"{url}/github/setup/installed",
        "setup_on_update": True,
        "public": False,
        "default_permissions": {permission.name: permission.level for permission in PERMISSIONS},
        "default_events": [event.name for event in EVENTS],
    }


def app_name(*, url: str, organization: str) -> str:
    """A name that is probably free: all Apps of GitHub share one list of names."""
    of_whom = organization or (urlsplit(url).hostname or "").removeprefix("www.").removeprefix("towpath.")
    return f"towpath-{of_whom}"[:LONGEST_NAME].rstrip("-.")


def form_url(*, github_url: str, organization: str) -> str:
    """Where a browser posts the manifest to."""
    owner = f"/organizations/{organization}" if organization else ""
    return f"{github_url}{owner}/settings/apps/new"


def hook_url(*, url: str, github_url: str) -> str:
    """Where the App's webhooks go; where GitHub cannot reach, to nowhere, and they are fetched from its log of them."""
    return PARKED if cannot_reach(url=url, github_url=github_url) else f"{url}/github/webhooks"


def cannot_reach(*, url: str, github_url: str) -> str:
    """Why GitHub cannot send webhooks to `url`, as a sentence; empty if, as far as the names tell, it can."""
    if reaches(url=url, github_url=github_url):
        return ""
    if is_own(url):
        return f"{url} is this machine's own address, which means itself to GitHub"
    return f"{url} is an address of a private network, and {urlsplit(github_url).hostname} is outside of it"
