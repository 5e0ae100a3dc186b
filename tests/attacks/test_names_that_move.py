"""Addresses are judged by what is then connected to: spellings, and names that change their mind.

By the sandbox's way out, and by what we fetch from and tell to where somebody said.
"""

import asyncio
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from service.domain.errors import Refused, Transient
from service.domain.webhooks import reach as may_be_told
from tests.attacks.hostile.network import SPELLINGS
from workers.builds.addresses import pinned
from workers.builds.download import Downloads
from workers.platforms.process import reach
from workers.webhooks import Letter, send

PUBLIC = reach.Policy(public=True, names=frozenset())
LOOPBACK = [
    "127.0.0.1", "localhost", "localhost.", "LOCALHOST", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1",
    "0177.0.0.1", "017700000001", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1",
]  # fmt: skip


@pytest.mark.parametrize("spelling", LOOPBACK)
def test_without_the_rule_this_spelling_leads_to_loopback(spelling: str) -> None:
    """Else it would prove nothing that it is refused."""
    named = reach.Policy(public=False, names=frozenset({spelling.rstrip(".").lower()}))
    assert {"127.0.0.1", "::1", "::ffff:127.0.0.1"} & set(reach.resolve(spelling, named))


@pytest.mark.parametrize("spelling", sorted({*LOOPBACK, *(each.strip("[]") for each in SPELLINGS)}))
def test_no_spelling_of_a_private_address_is_let_out(spelling: str) -> None:
    with pytest.raises(reach.Denied):
        reach.resolve(spelling, PUBLIC)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What the resolver says, one answer for each question."""
    planned: list[list[str]] = []

    def answer(host: object, port: object, *args: object, **kwargs: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in planned.pop(0)]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return planned


def test_a_name_is_asked_for_once_so_that_it_cannot_lead_elsewhere_in_between(
    answers: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers += [["93.184.216.34"], ["127.0.0.1"]]
    tried: list[object] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: tried.append(address))
    reach.connect("rebinding.example.com", 80, PUBLIC).close()
    assert tried == [("93.184.216.34", 80)]
    assert answers == [["127.0.0.1"]]


@pytest.mark.parametrize(
    "found", [["127.0.0.1"], ["10.0.0.1", "169.254.169.254"], ["::ffff:10.0.0.1"], ["fe80::1%eth0"]]
)
def test_a_public_name_that_leads_to_private_addresses_is_refused(found: list[str], answers: list[list[str]]) -> None:
    answers.append(found)
    with pytest.raises(reach.Denied):
        reach.resolve("inside.example.com", PUBLIC)


def test_of_a_name_with_both_only_the_public_addresses_are_connected_to(answers: list[list[str]]) -> None:
    answers.append(["127.0.0.1", "93.184.216.34", "169.254.169.254"])
    assert reach.resolve("both.example.com", PUBLIC) == ["93.184.216.34"]


# What we fetch and tell ourselves ---------------------------------------------------------------------


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were to be connected to; nothing is there."""
    seen: list[str] = []

    async def refuse(_: object, __: object, address: tuple[str, int]) -> None:
        seen.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", refuse)
    return seen


def letter(host: str) -> Letter:
    return Letter(url=f"https://{host}/hooks", body=b"{}", delivery_id="1", secret="s", authorization=None)


async def test_what_may_be_told_is_connected_to(tried: list[str]) -> None:
    """Else it would prove nothing that nobody is."""
    await send(letter("127.0.0.1"), may_be_told("127.0.0.1", local=False))
    assert tried == ["127.0.0.1"]


@pytest.mark.parametrize("host", SPELLINGS)
async def test_no_webhook_source_or_buildpack_leads_to_an_address_inside_spelled(
    host: str, tried: list[str], tmp_path: Path
) -> None:
    answered = await send(letter(host), may_be_told("", local=False))
    assert answered.code is None
    listed = Downloads(hosts=(host.strip("[]").lower().rstrip("."),))
    with pytest.raises((Refused, Transient)):
        await listed.fetch(f"https://{host}/source.tgz", tmp_path / "source")
    with suppress(ValueError), pytest.raises((Refused, Transient)):
        await pinned(f"https://{host}/buildpack.git")
    assert tried == []
