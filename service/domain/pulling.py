"""When GitHub's deliveries are fetched instead of awaited, and how much GitHub may be asked for that. Pure."""

import ipaddress
from typing import Final
from urllib.parse import urlsplit

LONGEST_BACK_OFF: Final = 300.0
"""Seconds between two tries when GitHub goes on refusing; the audit has the same pace."""
OFTEN: Final = 10.0
SELDOM: Final = 60.0
"""Seconds between two polls of a repository whose deliveries arrive: a hook that was switched off does not say so."""
ASKED_PER_ROUND: Final = 50
"""Requests of one round of polling. GitHub allows 900 points a minute, and a request without news costs one."""
LOGS_PER_ROUND: Final = 50
"""Repositories whose own log of deliveries is read in a round of OFTEN, at two requests each; one without news costs
one."""
_MOST_LOGS: Final = 300
_SPARED: Final = 0.2
_HOUR: Final = 3600.0
_ON: Final = frozenset({"on", "1"})
_OFF: Final = frozenset({"off", "0"})
PULL_WORDS: Final = frozenset({"", "auto", *_ON, *_OFF})
_INSIDE: Final = (
    *(".local", ".localdomain", ".lan", ".home", ".home.arpa"),
    *(".internal", ".intranet", ".corp", ".test"),
)


def why_pull(*, asked: str, url: str, api_url: str) -> str:
    """Why deliveries are pulled: it was asked for, or GitHub cannot reach us at `url`. Empty when they are awaited."""
    if asked in _ON:
        return "TOWPATH_GITHUB_PULL is on"
    if asked in _OFF or reaches(url=url, github_url=api_url):
        return ""
    return f"GitHub cannot reach {url}"


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""


def reaches(*, url: str, github_url: str) -> bool:
    """Whether a GitHub there can send to `url`: nobody reaches another's loopback, github.com no private network.

    `github_url` is that of its pages or of its API.
    """
    github, ours = _host(github_url), _host(url)
    if _is_loopback(ours):
        return _is_loopback(github)
    return not _is_inside(ours) or _is_inside(github) or not _is_public_github(github)


def is_own(url: str) -> bool:
    """Whether it is an address that means itself to every machine."""
    return _is_loopback(_host(url))


def _is_public_github(host: str) -> bool:
    return host == "github.com" or host.endswith((".github.com", ".ghe.com"))


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return address.is_loopback if address else host == "localhost" or host.endswith(".localhost")


def _is_inside(host: str) -> bool:
    """Whether it is an address or name of a private network, loopback included."""
    address = _address(host)
    if address:
        return not address.is_global
    return _is_loopback(host) or "." not in host or host.endswith(_INSIDE)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def back_off(attempts: int, asked: float | None = None) -> float:
    """How many seconds to wait after so many failures in a row, or what GitHub asked for if that is more."""
    return max(asked or 0.0, min(OFTEN * float(2 ** min(attempts, 10)), LONGEST_BACK_OFF))


def logs_per_round(seconds: float) -> int:
    """How many repositories' own logs are read in a round that comes so often."""
    return min(round(LOGS_PER_ROUND * max(seconds / OFTEN, 1.0)), _MOST_LOGS)


def affordable(*, limit: int, remaining: int, resets_in: float) -> bool:
    """Whether polling may spend more of the hour's requests: no faster than the hour passes, and never the last fifth.

    A fifth may be spent ahead of time, so that a morning's burst is taken at once.
    """
    left = remaining / max(limit, 1)
    hour = min(max(resets_in / _HOUR, 0.0), 1.0)
    return left >= max(_SPARED, hour - _SPARED)
