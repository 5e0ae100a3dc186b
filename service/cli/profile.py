"""Which server and token the command line uses: its environment, a login, or what the running `up` wrote down."""

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from service.cli import logins
from service.cli.errors import ExitCode, Stop
from service.cli.logins import Login, Logins
from service.cli.output import note

DEFAULT: Final = "default"
"""The profile that is meant when none is named."""
LOCAL: Final = "local"
"""What the `towpath up` of this machine is called where profiles are named."""
_OF_ENVIRONMENT: Final = ("TOWPATH_URL", "TOWPATH_TOKEN")
_chosen: ContextVar[str | None] = ContextVar("chosen", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A server and what lets us in. `name` is that of the login profile it comes from; `plain`: http was accepted."""

    url: str
    token: str = field(repr=False)
    apps_url: str = ""
    name: str = ""
    plain: bool = False

    @property
    def host(self) -> str:
        """The server's host and port, as they stand in git remotes."""
        return urlsplit(self.url).netloc.rpartition("@")[2]


def choose(name: str | None) -> None:
    """Use the profile of `--profile` for the rest of this command; None for what is used otherwise."""
    if name is not None and not name.strip():
        raise Stop("--profile is empty: say --profile NAME.", code=ExitCode.USAGE)
    _chosen.set(name)


def data_dir(environ: Mapping[str, str]) -> Path:
    """Where a server of this machine keeps its data."""
    given = environ.get("TOWPATH_DATA")
    return Path(given).expanduser() if given else Path(environ.get("HOME") or "/") / ".local/share/towpath"


def logins_file(environ: Mapping[str, str] | None = None) -> Path:
    """Where login profiles are kept."""
    env = os.environ if environ is None else environ
    given = env.get("XDG_CONFIG_HOME", "")
    # What is not absolute counts as not given: so the rule of these directories says.
    home = Path(given) if given and Path(given).is_absolute() else Path(env.get("HOME") or "/") / ".config"
    return home / "towpath" / "profiles.json"


def wanted(environ: Mapping[str, str] | None = None) -> str | None:
    """The profile that `--profile` or TOWPATH_PROFILE names."""
    env = os.environ if environ is None else environ
    return _chosen.get() or env.get("TOWPATH_PROFILE", "").strip() or None


def from_environment(environ: Mapping[str, str] | None = None) -> str:
    """What of the environment goes before profiles, as words with their verb; empty when nothing does."""
    env = os.environ if environ is None else environ
    names = [name for name in _OF_ENVIRONMENT if env.get(name, "").strip()]
    return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} set" if names else ""


def load(environ: Mapping[str, str] | None = None, *, quiet: bool = False) -> Profile:
    """Find the server; stops with what to do when there is none. Warns of an unencrypted way to it unless `quiet`."""
    env = os.environ if environ is None else environ
    found = _load(env)
    if is_plain(found.url) and not found.plain and not quiet:
        note(f" !    {found.url} is not encrypted: others on the way can read your token. Use https://.")
    return found


def load_for(fits: Callable[[Profile], bool]) -> Profile | None:
    """Find the server that is asked about, as `load` does; None when it is another one.

    A clone names its `--profile` for good, while the environment is of this moment: for the server that it is about it
    goes first, as everywhere, and for others it is not meant.
    """
    env, name = dict(os.environ), _chosen.get()
    if name is not None and from_environment(env):
        choose(None)
        with suppress(Stop):
            found = load(env)
            if fits(found):
                return found
        choose(name)
        env = {key: value for key, value in env.items() if key not in _OF_ENVIRONMENT}
    found = load(env)
    return found if fits(found) else None


def _load(env: Mapping[str, str]) -> Profile:
    url, token = env.get("TOWPATH_URL", "").strip().rstrip("/"), env.get("TOWPATH_TOKEN", "").strip()
    if (asked := _chosen.get()) is not None and (first := from_environment(env)):
        told = f"{first}, which goes before --profile {asked}: unset that, or leave --profile out."
        raise Stop(told, code=ExitCode.USAGE)
    if url and token:
        return check(Profile(url=url, token=token))
    name = wanted(env)
    kept = logins.read(logins_file(env)) if name != LOCAL else {}
    if name is None:
        name = _only(kept, url)
    if name is not None and name != LOCAL:
        login = find(kept, name)
        found = Profile(url=login.url.rstrip("/"), token=login.token, name=name, plain=login.plain)
    else:
        found = _running(env, url=url, named=name == LOCAL)
    if url and url != found.url:
        raise Stop(f"TOWPATH_URL is {url}, but the token at hand is for {found.url}: set TOWPATH_TOKEN too.")
    return check(replace(found, token=token, name="") if token else found)


def find(kept: Logins, name: str) -> Login:
    """The login of a profile's name; stops with those there are."""
    if name not in kept:
        there = f"there are: {', '.join(sorted(kept))}, {LOCAL}" if kept else "there is none yet"
        told = f"There is no profile {name}; {there}. Make it: towpath login URL --profile {name}"
        raise Stop(told, code=ExitCode.USAGE)
    return kept[name]


def _only(kept: Logins, url: str) -> str | None:
    """The profile that is meant although none is named: that of the URL, `default`, or the only one."""
    if url:
        return next((name for name, it in sorted(kept.items()) if it.url.rstrip("/") == url), None)
    if DEFAULT in kept or not kept:
        return DEFAULT if kept else None
    if len(kept) == 1:
        return next(iter(kept))
    names = ", ".join(sorted(kept))
    told = f"Which server? There are profiles: {names}. Say --profile NAME, or set TOWPATH_PROFILE."
    raise Stop(told, code=ExitCode.USAGE)


def _running(env: Mapping[str, str], *, url: str, named: bool) -> Profile:
    """The server that `towpath up` runs on this machine."""
    path = data_dir(env) / "ready.json"
    found = _ready(path)
    if found is not None:
        return found
    if named:
        raise Stop(
            f"No `towpath up` runs here: {path} is not there. Start it, or set TOWPATH_DATA to where its data is."
        )
    if url:
        raise Stop(
            f"TOWPATH_TOKEN is not set: set it too, or log in with `towpath login {url}`. Here start a server with "
            "`towpath up`."
        )
    raise Stop(
        "No Towpath server is known here: start one with `towpath up`, log in to one with `towpath login URL`, or set "
        "TOWPATH_URL and TOWPATH_TOKEN."
    )


def running_port(data: Path) -> int | None:
    """The port of the `towpath up` that runs with that data, if one does."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        url = json.loads((data / "ready.json").read_text(encoding="utf-8"))["url"]
        return urlsplit(url).port if urlsplit(url).hostname == "localhost" else None
    return None


def running_url(environ: Mapping[str, str] | None = None) -> str | None:
    """The address of the `towpath up` of this machine, as far as it can be read."""
    env = os.environ if environ is None else environ
    with suppress(Stop):
        found = _ready(data_dir(env) / "ready.json")
        return found.url if found else None
    return None


def _ready(path: Path) -> Profile | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Profile(
            url=found["url"].rstrip("/"),
            token=found["api_token"],
            apps_url=str(found.get("apps_url") or ""),
            plain=True,  # of this machine, by whatever name it is known outside
        )
    except FileNotFoundError:
        return None
    except PermissionError:
        raise logins.somebody_elses(path) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise Stop(f"{path} cannot be read: start the server again with `towpath up`.") from None


def is_loopback(host: str) -> bool:
    """Whether what is sent to a host stays on this machine."""
    return host in {"localhost", "::1"} or host.endswith(".localhost") or host.startswith("127.")


def reached_at(host: str) -> str:
    """Where a host is connected to: resolvers need not know names under localhost, and Python's does not."""
    return "127.0.0.1" if host == "localhost" or host.endswith(".localhost") else host


def is_plain(url: str) -> bool:
    """Whether others can read on the way what is sent to an address."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def check_url(url: str, shown: str, source: str, *, code: ExitCode = ExitCode.REFUSED) -> None:
    """Stop unless a server can be at that address: `shown` says it, `source` names it where it must not be seen."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # half an IPv6 address, a port that is none
        usable = False
    if not usable:
        raise Stop(f"{shown} is not a URL such as https://towpath.example.com", code=code)
    if "@" in urlsplit(url).netloc:
        told = f"{source} holds a user or password: the token alone lets us in. Take out what stands before @."
        raise Stop(told, code=code)


def check(profile: Profile) -> Profile:
    """A profile that can be used; stops with what is wrong in its address or token, which is not shown."""
    source = f"the url of profile {profile.name}" if profile.name else "TOWPATH_URL"
    check_url(profile.url, f"{source}={profile.url!r}", source)
    if not (profile.token.isascii() and profile.token.isprintable()):
        raise Stop("TOWPATH_TOKEN holds characters that no token has: set it again.")
    return profile
