"""When deliveries are pulled, and how much polling may ask."""

import pytest

from service.domain.pulling import (
    LOGS_PER_ROUND,
    LONGEST_BACK_OFF,
    OFTEN,
    affordable,
    back_off,
    logs_per_round,
    why_pull,
)

CLOUD = "https://api.github.com"
REACH = [
    ("a laptop has no public address", "", "http://localhost:5080", CLOUD, True),
    ("a loopback address is like localhost", "", "http://127.0.0.1:5080", CLOUD, True),
    ("a name below localhost is loopback", "", "http://towpath.localhost:5080", CLOUD, True),
    ("an office's private address", "", "http://192.168.1.7:5080", CLOUD, True),
    ("an office's private IPv6 address", "", "http://[fd00::7]:5080", CLOUD, True),
    ("a name without a dot", "", "http://build-box", CLOUD, True),
    ("a name of the local network", "", "https://towpath.lan", CLOUD, True),
    ("a data-resident GitHub is in the cloud too", "", "https://towpath.lan", "https://api.acme.ghe.com", True),
    ("a public name is reached", "", "https://towpath.example.com", CLOUD, False),
    ("a public address is reached", "", "https://8.8.8.8", CLOUD, False),
    ("a GitHub on this machine reaches it", "", "http://localhost:5080", "http://127.0.0.1:5090/api/v3", False),
    ("an Enterprise Server reaches the office", "", "http://10.0.0.5", "https://github.acme.com/api/v3", False),
    ("an Enterprise Server reaches nobody's loopback", "", "http://localhost:5080", "https://ghe.acme.com", True),
    ("asked for, a public name does not matter", "on", "https://towpath.example.com", CLOUD, True),
    ("asked for by a digit", "1", "https://towpath.example.com", CLOUD, True),
    ("switched off, a laptop waits", "off", "http://localhost:5080", CLOUD, False),
    ("switched off by a digit", "0", "http://localhost:5080", CLOUD, False),
    ("what cannot be read is no public name", "", "http://[", CLOUD, True),
]


@pytest.mark.parametrize(("asked", "url", "api_url", "pulled"), [row[1:] for row in REACH], ids=[r[0] for r in REACH])
def test_deliveries_are_pulled_where_github_cannot_send_them(asked: str, url: str, api_url: str, pulled: bool) -> None:
    why = why_pull(asked=asked, url=url, api_url=api_url)
    assert bool(why) is pulled
    assert not pulled or asked or url in why


SPENDING = [
    ("a full hour", 5000, 3600, True),
    ("a fifth may be spent ahead", 4001, 3600, True),
    ("more than a fifth ahead waits for the hour", 3999, 3600, False),
    ("half an hour, half spent", 2500, 1800, True),
    ("half an hour, far too much spent", 1400, 1800, False),
    ("the last fifth is for reports", 999, 10, False),
    ("just above the last fifth", 1001, 10, True),
    ("a reset in the past", 5000, -5, True),
]


@pytest.mark.parametrize(("left", "resets", "allowed"), [row[1:] for row in SPENDING], ids=[r[0] for r in SPENDING])
def test_polling_spends_no_faster_than_the_hour_passes(left: int, resets: float, allowed: bool) -> None:
    assert affordable(limit=5000, remaining=left, resets_in=resets) is allowed


def test_a_refusal_is_asked_about_less_and_less_often_but_never_sooner_than_github_says() -> None:
    waits = [back_off(attempts) for attempts in range(50)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (10.0, LONGEST_BACK_OFF)
    assert back_off(0, asked=900.0) == 900.0
    assert back_off(9, asked=1.0) == LONGEST_BACK_OFF


def test_a_round_that_comes_seldom_reads_more_logs_but_not_without_end() -> None:
    rounds = (OFTEN / 2, OFTEN, 2 * OFTEN, 300.0)
    assert [logs_per_round(each) for each in rounds] == [LOGS_PER_ROUND, LOGS_PER_ROUND, 2 * LOGS_PER_ROUND, 300]
