"""The server's settings, as they are written by hand."""

import pytest

from service.settings import BadSetting, from_environment


def test_how_long_unlocked_builds_are_reused_is_a_setting() -> None:
    assert from_environment({}).unlocked_build_seconds == 86_400
    assert from_environment({"TOWPATH_UNLOCKED_BUILD_SECONDS": "0"}).unlocked_build_seconds == 0


def test_how_often_a_token_may_ask_is_a_setting() -> None:
    assert from_environment({}).api_requests_per_hour == 36_000
    assert from_environment({"TOWPATH_API_REQUESTS_PER_HOUR": "0"}).api_requests_per_hour == 0


def test_how_much_a_push_may_bring_is_a_setting() -> None:
    assert from_environment({}).push_limit_mb == 512
    assert from_environment({"TOWPATH_PUSH_LIMIT_MB": "2048"}).push_limit_mb == 2048


def test_where_webhooks_may_lead_is_a_setting() -> None:
    reach = from_environment({"TOWPATH_WEBHOOK_HOSTS": "hooks.internal,10.0.0.0/8"}).webhook_reach
    assert reach.allows("hooks.internal", "192.168.1.1")
    assert reach.allows("example.com", "10.1.2.3")
    with pytest.raises(BadSetting, match="TOWPATH_WEBHOOK_HOSTS is not a list such as"):
        from_environment({"TOWPATH_WEBHOOK_HOSTS": "https://hooks.internal/"})


@pytest.mark.parametrize("text", ["many", "-1", "1.5", "1" * 10])
def test_numbers_that_are_none_are_refused_by_name(text: str) -> None:
    with pytest.raises(BadSetting, match=r"TOWPATH_API_REQUESTS_PER_HOUR=.* is not a whole number"):
        from_environment({"TOWPATH_API_REQUESTS_PER_HOUR": text})


def test_sources_are_fetched_from_the_hosts_of_githubs_archives_or_those_that_are_named() -> None:
    assert from_environment({}).source_hosts == ("github.com", "api.github.com", "codeload.github.com")
    enterprise = {
        "TOWPATH_GITHUB_URL": "https://git.acme.example",
        "TOWPATH_GITHUB_API_URL": "https://git.acme.example/api/v3",
    }
    assert from_environment(enterprise).source_hosts == ("git.acme.example", "codeload.git.acme.example")
    named = {"TOWPATH_SOURCE_HOSTS": "files.example.com, *.example.net"}
    assert from_environment(named).source_hosts == ("files.example.com", "*.example.net")
    assert from_environment({"TOWPATH_SOURCE_HOSTS": "none"}).source_hosts == ()
    with pytest.raises(BadSetting, match=r"TOWPATH_SOURCE_HOSTS: https://x is no name of a host"):
        from_environment({"TOWPATH_SOURCE_HOSTS": "https://x"})


@pytest.mark.parametrize("text", ["a day", "-1", "nan", "inf", "1e12"])
def test_seconds_that_are_none_are_refused_by_name(text: str) -> None:
    with pytest.raises(BadSetting, match=r"TOWPATH_UNLOCKED_BUILD_SECONDS=.* is not a number of seconds"):
        from_environment({"TOWPATH_UNLOCKED_BUILD_SECONDS": text})
