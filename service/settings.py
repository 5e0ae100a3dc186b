"""The server's settings: the only reader of its environment. Secrets never appear in a repr."""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from service.domain import pulling, source_hosts, webhooks

_TEN_YEARS = 10 * 365 * 86_400.0


class BadSetting(ValueError):
    """A setting that cannot be used; the text names the variable and what to write instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the processes need to know, read once at their start."""

    data: Path
    port: int = 5080
    public_url: str = ""
    apps_domain: str = "localhost"
    review_domain: str = "localhost"
    database_url: str = field(default="", repr=False)
    redis_url: str = field(default="", repr=False)
    platform: str = "process"
    github_url: str = "https://github.com"
    github_api_url: str = "https://api.github.com"
    github_app_id: str = ""
    github_private_key_file: Path | None = None
    github_webhook_secret: str = field(default="", repr=False)
    github_token: str = field(default="", repr=False)
    github_pull: str = ""
    secret_key_file: Path | None = None
    lease_seconds: float = 20.0
    due_seconds: float = 2.0
    observe_seconds: float = 30.0
    audit_seconds: float = 300.0
    pull_seconds: float = pulling.OFTEN
    boot_seconds: float = 60.0
    unlocked_build_seconds: float = 86_400.0
    allow_weak_isolation: bool = False
    log_format: str = "console"
    api_requests_per_hour: int = 36_000
    push_limit_mb: int = 512
    other_source_hosts: tuple[str, ...] | None = None
    webhook_hosts: str = ""

    @property
    def run_dir(self) -> Path:
        """The runner's own things and pid files; short, because a unix socket path holds 108 bytes."""
        return self.data / "run"

    @property
    def services_dir(self) -> Path:
        """Where web, worker and Redis tell that they are there."""
        return self.run_dir / "services"

    @property
    def web_socket(self) -> Path:
        """Where the router finds the web process."""
        return self.services_dir / "web.sock"

    @property
    def runner_socket(self) -> Path:
        """Where the runner takes commands."""
        return self.run_dir / "runner.sock"

    @property
    def redis_socket(self) -> Path:
        """The embedded Redis."""
        return self.services_dir / "redis.sock"

    @property
    def redis_dir(self) -> Path:
        """What the embedded Redis keeps."""
        return self.data / "redis"

    @property
    def worker_ready(self) -> Path:
        """Holds the pid of the worker that is ready."""
        return self.services_dir / "worker.ready"

    @property
    def source_hosts(self) -> tuple[str, ...]:
        """The hosts that packed sources may be fetched from: those that were named, or those of GitHub's archives."""
        if self.other_source_hosts is not None:
            return self.other_source_hosts
        web, api = (urlsplit(url).hostname or "" for url in (self.github_url, self.github_api_url))
        return tuple(dict.fromkeys((web, api, f"codeload.{web}")))

    @property
    def sources_dir(self) -> Path:
        """Packed sources that were sent to us: web takes them, workers build them."""
        return self.data / "sources"

    @property
    def work_dir(self) -> Path:
        """What workers keep: mirrors, slugs, caches, builds, runtimes. One directory: much is moved by renaming."""
        return self.data / "work"

    @property
    def pushes_dir(self) -> Path:
        """The repositories of apps that are pushed to: the web process fills them, workers build from them."""
        return self.data / "pushes"

    @property
    def database_dir(self) -> Path:
        """The embedded database, alone: SQLite makes files beside it."""
        return self.data / "database"

    @property
    def url(self) -> str:
        """Where people reach Towpath itself, without a trailing slash."""
        return (self.public_url or f"http://localhost:{self.port}").rstrip("/")

    @property
    def why_pull(self) -> str:
        """Why GitHub's deliveries are pulled from its API; empty when they are awaited."""
        return pulling.why_pull(asked=self.github_pull, url=self.url, api_url=self.github_api_url)

    @property
    def webhook_reach(self) -> webhooks.Reach:
        """Where outbound webhooks may lead."""
        return webhooks.reach(self.webhook_hosts, local=webhooks.is_local(urlsplit(self.url).hostname or ""))

    @property
    def sqlalchemy_url(self) -> str:
        """The database, embedded SQLite unless one is given."""
        return self.database_url or f"sqlite:///{self.database_dir / 'towpath.db'}"

    @property
    def redis(self) -> str:
        """The Redis to ring, the embedded one unless one is given."""
        return self.redis_url or f"unix://{self.redis_socket}"

    @property
    def keys_file(self) -> Path:
        """The keys that encrypt secrets in the database."""
        return self.secret_key_file or self.data / "secret.keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    """Reads single variables; each method raises `BadSetting` naming the one that cannot be used."""

    env: Mapping[str, str]

    def seconds(self, name: str, default: float) -> float:
        text = self.env.get(name, "")
        try:
            seconds = float(text) if text else default
        except ValueError:
            seconds = math.nan
        if not 0 <= seconds <= _TEN_YEARS:
            raise BadSetting(f"{name}={text!r} is not a number of seconds from 0 to ten years")
        return seconds

    def number(self, name: str, default: int) -> int:
        text = self.env.get(name, "")
        if text and not re.fullmatch(r"[0-9]{1,9}", text):
            raise BadSetting(f"{name}={text!r} is not a whole number from 0 to 999999999")
        return int(text) if text else default

    def path(self, name: str) -> Path | None:
        return Path(self.env[name]).expanduser().absolute() if self.env.get(name) else None

    def url(self, name: str, default: str) -> str:
        text = self.env.get(name, "") or default
        try:
            parts = urlsplit(text)
            usable = not text or (parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0)
        except ValueError:  # half an IPv6 address, a port that is none
            usable = False
        if not usable:
            raise BadSetting(f"{name} is not an address such as https://towpath.example.com")
        return text.rstrip("/")

    def hosts(self, name: str) -> tuple[str, ...] | None:
        try:
            return source_hosts.parse(self.env[name]) if self.env.get(name, "").strip() else None
        except ValueError as error:
            raise BadSetting(
                f"{name}: {error} is no name of a host; write them like: files.example.com, *.example.net (or none)"
            ) from None

    def reach(self, name: str) -> str:
        text = self.env.get(name, "")
        try:
            webhooks.reach(text, local=False)
        except ValueError:
            raise BadSetting(f"{name} is not a list such as hooks.example.com,10.0.0.0/8") from None
        return text

    def choice(self, name: str, pattern: str, example: str) -> str:
        text = self.env.get(name, "")
        if text and not re.match(pattern, text):
            raise BadSetting(f"{name} is not {example}")  # what it is may hold a password
        return text


def from_environment(environ: Mapping[str, str] | None = None) -> Settings:
    """Read `TOWPATH_*`; raises `BadSetting` naming the variable that cannot be used."""
    env = os.environ if environ is None else environ
    read = _Reader(env=env)
    home = Path(env.get("HOME") or "/")
    port = env.get("TOWPATH_PORT", "") or "5080"
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise BadSetting(f"TOWPATH_PORT={port!r} is not a port between 1 and 65535")
    pull = env.get("TOWPATH_GITHUB_PULL", "").lower()
    if pull not in pulling.PULL_WORDS:
        raise BadSetting(f"TOWPATH_GITHUB_PULL={pull!r} is not on, off or auto")
    public_url = read.url("TOWPATH_PUBLIC_URL", "")
    _check_apart(env)
    return Settings(
        # Without links: services see what is mounted for them at a path, and a link is no place to mount anything.
        data=(read.path("TOWPATH_DATA") or home / ".local/share/towpath").resolve(),
        port=int(port),
        public_url=public_url,
        apps_domain=env.get("TOWPATH_APPS_DOMAIN", "") or "localhost",
        review_domain=env.get("TOWPATH_REVIEW_DOMAIN", "") or "localhost",
        database_url=env.get("TOWPATH_DATABASE_URL", ""),
        redis_url=read.choice("TOWPATH_REDIS_URL", "(rediss?|unix)://", "a Redis: redis://host:port/0 or unix:///path"),
        platform=read.choice("TOWPATH_PLATFORM", "process$", "process, the one platform there is") or "process",
        github_url=read.url("TOWPATH_GITHUB_URL", "https://github.com"),
        github_api_url=read.url("TOWPATH_GITHUB_API_URL", "https://api.github.com"),
        github_app_id=env.get("TOWPATH_GITHUB_APP_ID", ""),
        github_private_key_file=read.path("TOWPATH_GITHUB_PRIVATE_KEY_FILE"),
        github_webhook_secret=env.get("TOWPATH_GITHUB_WEBHOOK_SECRET", ""),
        github_pull=pull,
        secret_key_file=read.path("TOWPATH_SECRET_KEY_FILE"),
        lease_seconds=read.seconds("TOWPATH_LEASE_SECONDS", 20.0),
        due_seconds=read.seconds("TOWPATH_DUE_SECONDS", 2.0),
        observe_seconds=read.seconds("TOWPATH_OBSERVE_SECONDS", 30.0),
        audit_seconds=read.seconds("TOWPATH_AUDIT_SECONDS", 300.0),
        pull_seconds=read.seconds("TOWPATH_PULL_SECONDS", pulling.OFTEN),
        boot_seconds=read.seconds("TOWPATH_BOOT_SECONDS", 60.0),
        unlocked_build_seconds=read.seconds("TOWPATH_UNLOCKED_BUILD_SECONDS", 86_400.0),
        api_requests_per_hour=read.number("TOWPATH_API_REQUESTS_PER_HOUR", 36_000),
        push_limit_mb=read.number("TOWPATH_PUSH_LIMIT_MB", 512),
        other_source_hosts=read.hosts("TOWPATH_SOURCE_HOSTS"),
        webhook_hosts=read.reach("TOWPATH_WEBHOOK_HOSTS"),
        github_token=env.get("TOWPATH_GITHUB_TOKEN", ""),
        allow_weak_isolation=env.get("TOWPATH_ALLOW_WEAK_ISOLATION", "") == "1",
        log_format=read.choice("TOWPATH_LOG_FORMAT", "(console|json)$", "console or json") or "console",
    )


def _check_apart(env: Mapping[str, str]) -> None:
    """A review app runs what a pull request says: it must not share cookies with the dashboard or with production."""
    review = _host("TOWPATH_REVIEW_DOMAIN", env)
    for name in ("TOWPATH_APPS_DOMAIN", "TOWPATH_PUBLIC_URL"):
        if same_site(review, _host(name, env)):
            raise BadSetting(
                f"TOWPATH_REVIEW_DOMAIN={review} shares cookies with {name}: use a domain that is registered by "
                "itself, like example-review.com beside example.com"
            )


def _host(name: str, env: Mapping[str, str]) -> str:
    text = env.get(name, "")
    try:
        return (urlsplit(text if "//" in text else f"//{text}").hostname or "localhost").rstrip(".")
    except ValueError:
        raise BadSetting(f"{name}={text!r} is no name of a host") from None


def same_site(one: str, other: str) -> bool:
    """Whether browsers may let two hosts set cookies for one another: they share a domain that can be registered.

    Without a list of all suffixes: what is like `co.uk` counts as one. Never said of localhost and of addresses.
    """
    mine, others = one.lower().split("."), other.lower().split(".")
    if "localhost" in {mine[-1], others[-1]} or mine[-1].isdigit() or others[-1].isdigit():
        return False
    shared = 0
    while shared < min(len(mine), len(others)) and mine[-1 - shared] == others[-1 - shared]:
        shared += 1
    suffix = 2 if len(mine) > 1 and len(mine[-1]) == 2 and len(mine[-2]) <= 3 else 1
    return shared > suffix or mine == others
