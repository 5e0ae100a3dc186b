"""Outbound webhooks: what can be heard, how long it is tried, and where it may lead."""

from datetime import UTC, datetime, timedelta

import pytest

from service.domain.errors import Refused
from service.domain.webhooks import Include, Level, check_include, is_local, next_attempt, reach

START = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("names", "of_pipeline", "message"),
    [
        pytest.param((), False, "include: name at least one of api:app", id="nothing"),
        pytest.param(("api:addon",), False, "include: api:addon is not known; there are api:app", id="no such entity"),
        pytest.param(("release",), True, "include: release is not known;", id="without its prefix"),
        pytest.param(("api:promotion",), False, "heard by a pipeline's webhook", id="a pipeline's for an app"),
    ],
)
def test_what_cannot_be_heard_is_refused_by_name(names: tuple[str, ...], of_pipeline: bool, message: str) -> None:
    with pytest.raises(Refused, match=message):
        check_include(names, of_pipeline=of_pipeline)


def test_a_pipeline_hears_of_its_apps_too() -> None:
    heard = check_include(["api:promotion", "api:release", "api:release"], of_pipeline=True)
    assert heard == {Include.PROMOTION, Include.RELEASE}


def test_sync_waits_as_long_again_up_to_an_hour_for_72_hours() -> None:
    now, waits = START, []
    while (following := next_attempt(Level.SYNC, since=START, now=now)) is not None:
        waits.append((following - now).total_seconds())
        now = following
    assert waits[:10] == [10, 10, 20, 40, 80, 160, 320, 640, 1280, 2560]
    assert set(waits[10:-1]) == {3600}
    assert now == START + timedelta(hours=72)


def test_notify_is_tried_once() -> None:
    assert next_attempt(Level.NOTIFY, since=START, now=START) is None


HERE, ABROAD = reach("", local=True), reach("", local=False)
ALLOWED = reach("hooks.internal, 10.1.0.0/16,192.168.7.7", local=False)


@pytest.mark.parametrize(
    ("known", "url", "message"),
    [
        pytest.param(ABROAD, "https://example.com/hooks?key=1", None, id="https"),
        pytest.param(ABROAD, "https://93.184.215.14:8443/", None, id="https to a public address"),
        pytest.param(HERE, "http://localhost:8000/", None, id="http to this machine, where that is all"),
        pytest.param(HERE, "http://hook.localhost:5080/", None, id="an app on this machine"),
        pytest.param(HERE, "http://127.0.0.1:8000/", None, id="http to the loopback"),
        pytest.param(ALLOWED, "https://10.1.2.3/", None, id="an allowed network"),
        pytest.param(HERE, "http://example.com/", "only https", id="http to elsewhere"),
        pytest.param(ABROAD, "http://localhost:8000/", "only https", id="http to this machine, where others use it"),
        pytest.param(ABROAD, "https://127.0.0.1/", "not in the public internet", id="the loopback"),
        pytest.param(ABROAD, "https://localhost/", "not in the public internet", id="the loopback by name"),
        pytest.param(
            ABROAD, "https://[::ffff:127.0.0.1]/", "not in the public internet", id="the loopback in disguise"
        ),
        pytest.param(ABROAD, "https://169.254.169.254/", "not in the public internet", id="the metadata service"),
        pytest.param(HERE, "https://10.1.2.3/", "TOWPATH_WEBHOOK_HOSTS can allow it", id="a private address"),
        pytest.param(ABROAD, "https://ada:secret@example.com/", "holds a password", id="a password"),
        pytest.param(ABROAD, "ftp://example.com/", "is not an address such as", id="another scheme"),
        pytest.param(ABROAD, "https://[::1", "is not an address such as", id="half an address"),
        pytest.param(ABROAD, "https://example.com:99999/", "is not an address such as", id="a port that is none"),
        pytest.param(ABROAD, "https:///hooks", "is not an address such as", id="no host"),
    ],
)
def test_where_a_webhook_may_lead(known, url: str, message: str | None) -> None:
    if message is None:
        known.check(url)
        return
    with pytest.raises(Refused, match=message) as refused:
        known.check(url)
    assert "secret" not in refused.value.message


@pytest.mark.parametrize(
    ("known", "host", "address", "allowed"),
    [
        pytest.param(ABROAD, "example.com", "93.184.215.14", True, id="a public address"),
        pytest.param(ABROAD, "example.com", "10.1.2.3", False, id="a name that moved inside"),
        pytest.param(ABROAD, "example.com", "::1", False, id="a name that moved to the loopback"),
        pytest.param(ALLOWED, "HOOKS.internal.", "172.16.0.9", True, id="an allowed name, wherever it lives"),
        pytest.param(ALLOWED, "example.com", "10.1.2.3", True, id="an allowed network"),
        pytest.param(ALLOWED, "example.com", "10.2.2.3", False, id="beside an allowed network"),
        pytest.param(ALLOWED, "example.com", "192.168.7.7", True, id="an allowed address"),
        pytest.param(ALLOWED, "example.com", "::ffff:10.1.2.3", True, id="an allowed network in the newer form"),
        pytest.param(HERE, "localhost", "127.0.0.1", True, id="the loopback, where that is all"),
        pytest.param(HERE, "example.com", "192.168.1.1", False, id="the network around it"),
    ],
)
def test_the_address_decides_when_it_is_connected_to(known, host: str, address: str, allowed: bool) -> None:
    assert known.allows(host, address) is allowed


@pytest.mark.parametrize("text", ["10.0.0.0/99", "a b", "hooks.example.com/x", "http://x"])
def test_what_is_no_list_of_hosts_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (its text is nobody's)
        reach(text, local=False)


@pytest.mark.parametrize(
    ("host", "local"), [("localhost", True), ("127.0.0.1", True), ("::1", True), ("towpath.example.com", False)]
)
def test_an_installation_is_local_by_its_name(host: str, local: bool) -> None:
    assert is_local(host) is local
