"""Outbound webhooks: what they can hear of, where they may lead, and when a delivery is tried again."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum, unique
from typing import Final, NewType
from urllib.parse import urlsplit

from service.domain.addresses import is_public
from service.domain.errors import Refused

WebhookId = NewType("WebhookId", str)
EventId = NewType("EventId", str)
OutboundId = NewType("OutboundId", str)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MOST: Final = 30
"""Webhooks of one app or pipeline."""
KEPT_FOR: Final = timedelta(days=7)
"""How long events and deliveries can be looked at and delivered again."""
PATIENCE: Final = timedelta(hours=72)
"""How long `sync` goes on trying one delivery."""
_FIRST_WAIT: Final = timedelta(seconds=10)
_LONGEST_WAIT: Final = timedelta(hours=1)


@unique
class Include(StrEnum):
    """What a webhook can hear of."""

    APP = "api:app"
    BUILD = "api:build"
    DYNO = "api:dyno"
    FORMATION = "api:formation"
    RELEASE = "api:release"
    PROMOTION = "api:promotion"
    REVIEW_APP = "api:review-app"

    @property
    def resource(self) -> str:
        """The entity's own name."""
        return self.value.removeprefix("api:")


OF_PIPELINE: Final = frozenset({Include.PROMOTION, Include.REVIEW_APP})
"""What no single app's webhook hears of."""


@unique
class Level(StrEnum):
    """How much a delivery is worth."""

    NOTIFY = "notify"  # one attempt
    SYNC = "sync"  # again and again, and in order: what comes after it waits


@unique
class OutboundState(StrEnum):
    """A delivery's life; the last two are final until somebody asks for it again."""

    PENDING = "pending"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


OPEN: Final = (OutboundState.PENDING, OutboundState.RETRYING)


@unique
class Action(StrEnum):
    """What happened to a thing."""

    CREATE = "create"
    UPDATE = "update"
    DESTROY = "destroy"


def check_include(names: Iterable[str], *, of_pipeline: bool) -> frozenset[Include]:
    """What these are; refuses what there is nothing to hear of, naming what there is."""
    known = [each for each in Include if of_pipeline or each not in OF_PIPELINE]
    offered = {each.value: each for each in known}
    asked = sorted(set(names))
    if not asked:
        raise Refused(f"include: name at least one of {', '.join(offered)}")
    for name in asked:
        if name not in offered:
            only = " is heard by a pipeline's webhook (-p PIPELINE);" if name in set(OF_PIPELINE) else " is not known;"
            raise Refused(f"include: {name}{only} there are {', '.join(offered)}")
    return frozenset(offered[name] for name in asked)


def next_attempt(level: Level, *, since: datetime, now: datetime) -> datetime | None:
    """When to try again what has failed since then; None when it is given up."""
    if level is Level.NOTIFY or now - since >= PATIENCE:
        return None
    # As long again as it has been in vain: after 10 s, 20 s, 40 s ... and then every hour.
    wait = min(max(_FIRST_WAIT, now - since), _LONGEST_WAIT)
    return min(now + wait, since + PATIENCE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Where webhooks may lead: the public internet by https, and what the installation's owner allows beside it.

    `local` is an installation that is reached on its own machine only: there, what listens on the loopback may hear.
    """

    names: frozenset[str]
    networks: tuple[Network, ...]
    local: bool

    def check(self, url: str) -> None:
        """Refuse an address that cannot be delivered to; what a name stands for is judged when it is connected to."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise Refused("url: is not an address such as https://example.com/hooks") from None
        if parts.scheme not in {"http", "https"} or not host or port == 0:
            raise Refused("url: is not an address such as https://example.com/hooks")
        if parts.username is not None or parts.password is not None:
            raise Refused("url: holds a password, which all who see the webhook would see: send it as authorization")
        if parts.scheme == "http" and not (self.local and is_local(host)):
            raise Refused("url: only https leads out of this machine")
        address = "127.0.0.1" if is_local(host) else str(_address(host) or "")
        if address and not self.allows(host, address):
            raise Refused(f"url: {host} is not in the public internet; TOWPATH_WEBHOOK_HOSTS can allow it")

    def allows(self, host: str, address: str) -> bool:
        """Whether this address may be connected to for a host of that name."""
        if host.rstrip(".").lower() in self.names or is_public(address):
            return True
        ip = _address(address)
        assert ip is not None
        return (self.local and ip.is_loopback) or any(ip in each for each in self.networks)


def reach(allowed: str, *, local: bool) -> Reach:
    """Read names and networks, parted by commas; raises `ValueError` on what is neither."""
    names, networks = set(), []
    for word in filter(None, (each.strip().lower() for each in allowed.split(","))):
        if "/" in word or _address(word) is not None:
            networks.append(ipaddress.ip_network(word))
        elif word.replace("-", "").replace(".", "").isalnum() and word.isascii():
            names.add(word.rstrip("."))
        else:
            raise ValueError(word)
    return Reach(names=frozenset(names), networks=tuple(networks), local=local)


def is_local(host: str) -> bool:
    """Whether a host is the machine itself; an installation of such a name is for its own machine only."""
    name = host.rstrip(".").lower()
    ip = _address(name)
    return ip.is_loopback if ip is not None else name == "localhost" or name.endswith(".localhost")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        ip = ipaddress.ip_address(text.partition("%")[0].strip("[]"))
    except ValueError:
        return None
    return (ip.ipv4_mapped or ip) if isinstance(ip, ipaddress.IPv6Address) else ip
