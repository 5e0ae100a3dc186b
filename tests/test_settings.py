"""The server's settings, as they are written by hand."""

import pytest

from service.settings import BadSetting, from_environment


def test_how_long_unlocked_builds_are_reused_is_a_setting() -> None:
    assert from_environment({}).unlocked_build_seconds == 86_400
    assert from_environment({"TOWPATH_UNLOCKED_BUILD_SECONDS": "0"}).unlocked_build_seconds == 0


def test_how_often_a_token_may_ask_is_a_setting() -> None:
    assert from_environment({}).api_requests_per_hour == 36_000
    assert from_environment({"TOWPATH_API_REQUESTS_PER_HOUR": "0"}).api_requests_per_hour == 0


@pytest.mark.parametrize("text", ["many", "-1", "1.5", "1" * 10])
def test_numbers_that_are_none_are_refused_by_name(text: str) -> None:
    with pytest.raises(BadSetting, match=r"TOWPATH_API_REQUESTS_PER_HOUR=.* is not a whole number"):
        from_environment({"TOWPATH_API_REQUESTS_PER_HOUR": text})


@pytest.mark.parametrize("text", ["a day", "-1", "nan", "inf", "1e12"])
def test_seconds_that_are_none_are_refused_by_name(text: str) -> None:
    with pytest.raises(BadSetting, match=r"TOWPATH_UNLOCKED_BUILD_SECONDS=.* is not a number of seconds"):
        from_environment({"TOWPATH_UNLOCKED_BUILD_SECONDS": text})
