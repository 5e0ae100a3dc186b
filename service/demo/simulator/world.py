"""The ground of the simulated GitHub: accounts, repositories, the App, the clock, and how events leave."""

import asyncio
import secrets
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.demo.simulator import payloads, shapes
from service.demo.simulator.chaos import Chaos
from service.demo.simulator.deliveries import Sender
from service.demo.simulator.delivery import Delivery
from service.demo.simulator.git_store import GitStore
from service.demo.simulator.shapes import Site
from service.demo.simulator.state import Account, App, Installation, Pull, Repository
from service.demo.simulator.tokens import Keys

if TYPE_CHECKING:
    from service.demo.simulator.app_actions import Issued

RepositoryName = Repository | str
# What Towpath asks for when it makes an App of its own: what works here works with what users are asked for.
PERMISSIONS = {
    "checks": "write",
    "contents": "read",
    "deployments": "write",
    # GitHub gives `issue_comment` to no App without it, although comments on pull requests are read without.
    "issues": "read",
    "merge_queues": "read",
    "metadata": "read",
    "pull_requests": "write",
    "statuses": "write",
}
EVENTS = [
    "check_run", "check_suite", "issue_comment", "merge_group", "pull_request", "push", "repository", "status",
]  # fmt: skip

FOR_APPS = {"merge_group"}
"""Of these GitHub tells Apps alone ("Availability", GitHub docs, Webhook events and payloads)."""


class Unknown(LookupError):
    """Nothing of that name or number exists here."""


class World:
    """State shared by all actions. Names of the public parts are the contract of tests and the demo."""

    def __init__(self, data: Path, *, app_id: int = 4711, seed: int = 1, keep_key: bool = False) -> None:
        self.data = data
        self.site = Site()
        self.chaos = Chaos(seed)
        self.git = GitStore(data / "repositories")
        self.git.root.mkdir(parents=True, exist_ok=True)
        self.keys = Keys.create(app_id, kept=data / "app.pem" if keep_key else None)
        self.repositories: dict[int, Repository] = {}
        self.former_names: dict[str, int] = {}
        self.accounts: dict[str, Account] = {}
        self.memberships: dict[str, dict[str, str]] = defaultdict(dict)
        self.installations: dict[int, Installation] = {}
        self.rate_limit = 5000
        # GitHub's secondary limits, off unless a test sets them: content made a minute and an hour (80 and 500 there),
        # points a minute (900), of which a read takes one and a write five (GitHub docs, rate limits for the REST API).
        self.content_limit: int | None = None
        self.hourly_content_limit: int | None = None
        self.points_limit: int | None = None
        self.visitor = "octocat"
        self.refuses = False
        self.client_secret = secrets.token_hex(20)
        self.manifest_codes: dict[str, Issued] = {}
        self.taken_names: set[str] = set()
        self.install_requests: dict[str, set[int] | None] = {}
        self._ahead = timedelta()
        self._ids = 1000
        self._locks: dict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        bot = self.account("towpath[bot]", "Bot")
        self.app = App(
            id=app_id, slug="towpath", name="Towpath", owner=self.account("towpath-maker"), bot=bot,
            created_at=self.now(), permissions=dict(PERMISSIONS), events=list(EVENTS),
        )  # fmt: skip
        self.apps: dict[str, App] = {"towpath": self.app}
        self.sender = Sender(app_id=app_id, secret=secrets.token_hex(20), chaos=self.chaos, now=self.now)

    # What Towpath must be told -------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The web and git root."""
        return self.site.url

    @property
    def api_url(self) -> str:
        """The REST root."""
        return self.site.api

    @property
    def app_id(self) -> int:
        """Our App's id."""
        return self.app.id

    @property
    def private_key_pem(self) -> str:
        """Our App's private key."""
        return self.keys.private_key_pem

    @property
    def admin_token(self) -> str:
        """The control door's key; also a git password with every right."""
        return self.keys.admin_token

    @property
    def webhook_secret(self) -> str:
        """What deliveries are signed with."""
        return self.sender.secret

    @property
    def webhook_url(self) -> str:
        """Where deliveries go; empty means nowhere."""
        return self.sender.url

    @webhook_url.setter
    def webhook_url(self, url: str) -> None:
        self.sender.url = url

    @property
    def deliveries(self) -> list[Delivery]:
        """The delivery log, oldest first."""
        return self.sender.log

    # The clock -----------------------------------------------------------------------------------

    def now(self) -> datetime:
        """The simulation's time."""
        return datetime.now(UTC) + self._ahead

    def advance(self, seconds: float) -> None:
        """Let the simulation's clock jump ahead: tokens expire, limits reset."""
        self._ahead += timedelta(seconds=seconds)

    # Accounts and lookups ------------------------------------------------------------------------

    def next_id(self) -> int:
        """An id that nothing else has."""
        self._ids += 1
        return self._ids

    def account(self, login: str, kind: str = "User") -> Account:
        """The account of this name, made when new. Kinds: User, Organization, Bot."""
        if login not in self.accounts:
            if kind not in {"User", "Organization", "Bot"}:
                raise ValueError(f"no such kind of account: {kind}")
            self.accounts[login] = Account(id=self.next_id(), login=login, type=kind)  # type: ignore[arg-type]
        return self.accounts[login]

    def personal_token(self, login: str) -> str:
        """A token of a person, for the mode without a GitHub App."""
        return self.keys.personal(self.account(login))

    def fine_grained_token(
        self, login: str, permissions: dict[str, str], repositories: list[RepositoryName] | None = None
    ) -> str:
        """A fine-grained token of a person: for all that its owner may see, or for the repositories chosen for it."""
        chosen = None if repositories is None else frozenset(self.repository(each).id for each in repositories)
        return self.keys.fine_grained(self.account(login), repository_ids=chosen, permissions=permissions)

    def repository(self, name: RepositoryName) -> Repository:
        """A repository by `owner/name`; raises `Unknown`."""
        if isinstance(name, Repository):
            return name
        for repo in self.repositories.values():
            if repo.full_name.lower() == name.lower():
                return repo
        raise Unknown(f"no repository {name}")

    def pull(self, repo: RepositoryName, number: int) -> Pull:
        """A pull request; raises `Unknown`."""
        try:
            return self.repository(repo).pulls[number]
        except KeyError:
            raise Unknown(f"no pull request {number}") from None

    def installation_of(self, repo: Repository) -> Installation | None:
        """The installation that covers a repository, suspended or not."""
        return next((one for one in self.installations.values() if one.covers(repo)), None)

    def other_app(self, slug: str) -> App:
        """A CI system's App, made when new."""
        if slug not in self.apps:
            self.apps[slug] = App(
                id=self.next_id(), slug=slug, name=slug, owner=self.account(f"{slug}-maker"),
                bot=self.account(f"{slug}[bot]", "Bot"), created_at=self.now(),
                permissions={"checks": "write", "metadata": "read"}, events=["push"],
            )  # fmt: skip
        return self.apps[slug]

    def lock(self, repo: Repository) -> asyncio.Lock:
        """Held while a repository's refs change."""
        return self._locks[repo.id]

    # Events --------------------------------------------------------------------------------------

    def emit(self, event: str, repo: Repository, body: dict[str, Any], by: Account) -> None:
        """Send an event about a repository, if it has a hook or our App is there, listens and is not suspended."""
        installation = self.installation_of(repo)
        hook, by_hook = repo.hook, event not in FOR_APPS
        if hook is not None and hook.active and event in hook.events and by_hook:
            payload = payloads.event(self.site, body, sender=by, repo=repo, installation=None)
            self.sender.send(event, payload, installation_id=None, repository_id=repo.id, hook=hook)
        deaf = not (repo.hooked and by_hook) if installation is None else installation.suspended_at is not None
        if deaf or event not in self.app.events:
            return
        payload = payloads.event(self.site, body, sender=by, repo=repo, installation=installation)
        if repo.owner.type == "Organization":
            payload["organization"] = self.organization(repo.owner)
        self.sender.send(
            event, payload, installation_id=None if installation is None else installation.id, repository_id=repo.id
        )

    def emit_installation(self, event: str, installation: Installation, body: dict[str, Any]) -> None:
        """Send an event about an installation; GitHub sends these whatever the App listens to."""
        payload = payloads.event(self.site, body, sender=installation.account, repo=None, installation=installation)
        self.sender.send(event, payload, installation_id=installation.id, repository_id=None)

    def ping(self) -> None:
        """Send the ping that GitHub sends when a hook is set up."""
        payload = payloads.ping(self.site, self.app, self.webhook_url)
        self.sender.send("ping", payload, installation_id=None, repository_id=None)

    async def settled(self, *, seconds: float = 30.0) -> None:
        """Wait until every delivery that was caused is answered, or given up."""
        await self.sender.settled(seconds=seconds)

    def organization(self, account: Account) -> dict[str, Any]:
        """An organization as payloads carry it."""
        url = f"{self.site.api}/orgs/{account.login}"
        paths = {"repos_url": "/repos", "events_url": "/events", "hooks_url": "/hooks", "issues_url": "/issues",
                 "members_url": "/members{/member}", "public_members_url": "/public_members{/member}"}  # fmt: skip
        return {
            "login": account.login,
            "id": account.id,
            "node_id": shapes.node_id("Organization", account.id),
            "url": url,
            "avatar_url": f"{self.site.url}/avatars/{account.id}",
            "description": None,
        } | {key: url + path for key, path in paths.items()}
