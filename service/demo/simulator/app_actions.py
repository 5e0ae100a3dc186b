"""How people make and configure GitHub Apps: the manifest and its rules, the code that secrets are had for, requests.

There is one App that is ours. One that is made from a manifest takes its place; the former is gone with its
installations, as if somebody had deleted it.
"""

import json
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from service.demo.simulator.installation_actions import InstallationActions
from service.demo.simulator.state import App, Installation
from service.demo.simulator.world import Unknown

# "You must complete this step of the GitHub App Manifest flow within one hour." (GitHub docs, Registering a GitHub App
# from a manifest)
CODE_LASTS = timedelta(hours=1)
LONGEST_NAME = 34
MOST_CALLBACKS = 10
# What an App may subscribe to, and the permission its form wants for it ("To subscribe to this event, a GitHub App must
# have at least read-level access for the ... permission", GitHub docs, Webhook events and payloads).
EVENT_NEEDS = {
    "branch_protection_rule": "administration",
    "check_run": "checks",
    "check_suite": "checks",
    "create": "contents",
    "delete": "contents",
    "deployment": "deployments",
    "deployment_status": "deployments",
    "issue_comment": "issues",  # also for those on pull requests (derive-to/derive#269)
    "merge_group": "merge_queues",
    "pull_request": "pull_requests",
    "push": "contents",
    "repository": "metadata",
    "repository_ruleset": "administration",
    "status": "statuses",
    "workflow_run": "actions",
}
_LEVELS = {"read", "write"}
_PERMISSIONS = {*EVENT_NEEDS.values(), "actions", "members"}


class BadManifest(Exception):
    """GitHub's words on a manifest that it does not take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """What a code is good for, and until when."""

    expires_at: datetime
    client_secret: str = field(repr=False)


class AppActions(InstallationActions):
    """Everything that `visitor`, who is signed in in every browser, may do on GitHub's pages about Apps."""

    def owns(self, login: str) -> bool:
        """Whether the visitor may manage an account; of an organization without known members everybody is owner."""
        members = self.memberships.get(login)
        return login == self.visitor or not members or members.get(self.visitor) == "admin"

    def set_visitor(self, login: str) -> None:
        """Sign somebody else in."""
        self.visitor = self.account(login).login

    def set_refusal(self, *, refuses: bool) -> None:
        """Have the visitor press Cancel where an App asks who they are, or no longer."""
        self.refuses = refuses

    def join(self, organization: str, login: str, role: str = "member") -> None:
        """Make somebody a `member` of an organization, or its owner (`admin`)."""
        self.account(organization, "Organization")
        self.memberships[organization][self.account(login).login] = role

    def create_app(self, text: str, *, owner: str, name: str = "") -> str:
        """Make our App from a manifest, with another name if the person chose one; returns the code for its secrets.

        Raises `BadManifest`.
        """
        manifest = read_manifest(text)
        name = name or str(manifest["name"])
        if len(name) > LONGEST_NAME:
            raise BadManifest(f"Name is too long (maximum is {LONGEST_NAME} characters)")
        slug = "-".join("".join(sign if sign.isalnum() else " " for sign in name.lower()).split())
        if slug in {app.slug for app in self.apps.values() if app is not self.app} | self.taken_names:
            raise BadManifest("Name is already in use")
        self._replace(slug, name, owner, manifest)
        code, self.client_secret = secrets.token_hex(20), secrets.token_hex(20)
        self.manifest_codes[code] = Issued(expires_at=self.now() + CODE_LASTS, client_secret=self.client_secret)
        return code

    def _replace(self, slug: str, name: str, owner: str, manifest: dict[str, Any]) -> None:
        for one in self.installations.values():
            self.keys.revoke_installation(one)
        self.installations.clear()
        self.apps.pop(self.app.slug, None)
        permissions = {"metadata": "read", **manifest.get("default_permissions", {})}
        self.app = App(
            id=self.next_id(), slug=slug, name=name, owner=self.account(owner), created_at=self.now(),
            bot=self.account(f"{slug}[bot]", "Bot"), permissions=permissions,
            events=sorted(manifest.get("default_events", [])), setup_url=manifest.get("setup_url", ""),
            setup_on_update=bool(manifest.get("setup_on_update")),
            callback_urls=list(manifest.get("callback_urls", [])),
        )  # fmt: skip
        self.apps[slug] = self.app
        self.keys.renew(self.app.id)
        hook = manifest.get("hook_attributes") or {}
        self.sender.belong_to(self.app.id, url=hook.get("url", "") if hook.get("active", True) else "")

    def take_code(self, code: str) -> Issued | None:
        """What a code is good for, once."""
        issued = self.manifest_codes.pop(code, None)
        return issued if issued is not None and issued.expires_at > self.now() else None

    def request_install(self, login: str, repository_ids: set[int] | None) -> None:
        """Ask an organization's owners to install our App."""
        self.install_requests[login] = repository_ids

    def approve_install(self, login: str) -> Installation:
        """An owner installs what was asked for."""
        if login not in self.install_requests:
            raise Unknown(f"nobody asked to install on {login}")
        ids = self.install_requests.pop(login)
        return self.install(login, None if ids is None else [self.repositories[each] for each in ids])


def read_manifest(text: str) -> dict[str, Any]:
    """A manifest as GitHub's form takes it; raises `BadManifest` with its words."""
    try:
        manifest = json.loads(text)
    except ValueError:
        raise BadManifest("The configuration does not appear to be a valid GitHub App manifest.") from None
    if not isinstance(manifest, dict):
        raise BadManifest("The configuration does not appear to be a valid GitHub App manifest.")
    hook = manifest.get("hook_attributes")
    if not manifest.get("url") or (hook is not None and not hook.get("url")):
        raise BadManifest('"url" wasn\'t supplied.')
    for name in ("url", "redirect_url", "setup_url"):
        if urlsplit(str(manifest.get(name, "https://x"))).scheme not in {"http", "https"}:
            raise BadManifest(f"{name} must be a valid URL")
    _check_callbacks(manifest.get("callback_urls", []))
    permissions = manifest.get("default_permissions", {})
    for name, level in permissions.items():
        if name not in _PERMISSIONS or level not in _LEVELS:
            raise BadManifest("Default permission records resource is not included in the list")
    events = manifest.get("default_events", [])
    if unknown := [event for event in events if event not in EVENT_NEEDS]:
        raise BadManifest(f"Default events unsupported: {', '.join(unknown)}")
    if bare := [event for event in events if EVENT_NEEDS[event] not in {*permissions, "metadata"}]:
        raise BadManifest(f"Default events are not supported by permissions: {', '.join(bare)}")
    return manifest


def _check_callbacks(urls: list[str]) -> None:
    """GitHub takes ten at most (docs, About the user authorization callback URL)."""
    if len(urls) > MOST_CALLBACKS or any(urlsplit(each).scheme not in {"http", "https"} for each in urls):
        raise BadManifest("Callback urls must be valid URLs")
