"""Which server and token the command line uses: its environment, else what the running `towpath up` wrote down."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from service.cli.errors import Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A server and what lets us in."""

    url: str
    token: str = field(repr=False)
    apps_url: str = ""

    @property
    def host(self) -> str:
        """The server's host and port, as they stand in git remotes."""
        return urlsplit(self.url).netloc.rpartition("@")[2]


def data_dir(environ: Mapping[str, str]) -> Path:
    """Where a server of this machine keeps its data."""
    given = environ.get("TOWPATH_DATA")
    return Path(given).expanduser() if given else Path(environ.get("HOME") or "/") / ".local/share/towpath"


def load(environ: Mapping[str, str] | None = None) -> Profile:
    """Find the server; stops with what to do when there is none."""
    env = os.environ if environ is None else environ
    url, token = env.get("TOWPATH_URL", "").rstrip("/"), env.get("TOWPATH_TOKEN", "").strip()
    if url and token:
        return _checked(Profile(url=url, token=token))
    ready = _ready(data_dir(env) / "ready.json")
    if ready is None:
        missing = "TOWPATH_TOKEN is not set" if url else "No Towpath server is known here"
        raise Stop(f"{missing}: start one with `towpath up`, or set TOWPATH_URL and TOWPATH_TOKEN.")
    if url and url != ready.url:
        raise Stop(f"TOWPATH_URL is {url}, but the token at hand is for {ready.url}: set TOWPATH_TOKEN too.")
    return _checked(Profile(url=ready.url, token=token or ready.token, apps_url=ready.apps_url))


def running_port(data: Path) -> int | None:
    """The port of the `towpath up` that runs with that data, if one does."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        url = json.loads((data / "ready.json").read_text(encoding="utf-8"))["url"]
        return urlsplit(url).port if urlsplit(url).hostname == "localhost" else None
    return None


def _ready(path: Path) -> Profile | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Profile(
            url=found["url"].rstrip("/"), token=found["api_token"], apps_url=str(found.get("apps_url") or "")
        )
    except FileNotFoundError:
        return None
    except PermissionError:
        raise Stop(f"{path} belongs to another user: run as that user, or set TOWPATH_URL and TOWPATH_TOKEN.") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise Stop(f"{path} cannot be read: start the server again with `towpath up`.") from None


def _checked(profile: Profile) -> Profile:
    try:
        parts = urlsplit(profile.url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # half an IPv6 address, a port that is none
        usable = False
    if not usable:
        raise Stop(f"TOWPATH_URL={profile.url!r} is not a URL such as https://towpath.example.com")
    if not (profile.token.isascii() and profile.token.isprintable()):
        raise Stop("TOWPATH_TOKEN holds characters that no token has: set it again.")
    return profile
