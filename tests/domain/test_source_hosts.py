"""From where packed sources may be fetched."""

import pytest

from service.domain.errors import Refused
from service.domain.source_hosts import check_address, is_listed, parse

HOSTS = ("github.com", "*.example.net")


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("github.com", ("github.com",)),
        (
            "GitHub.com, *.example.net files.example.com,github.com",
            ("github.com", "*.example.net", "files.example.com"),
        ),
        ("none", ()),
        ("", ()),
    ],
)
def test_hosts_are_written_in_a_list(text: str, hosts: tuple[str, ...]) -> None:
    assert parse(text) == hosts


@pytest.mark.parametrize(
    "text", ["https://github.com", "*", "a.*.b", "github.com:443", "user@host", "none,github.com x_y"]
)
def test_what_is_no_host_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)


@pytest.mark.parametrize(
    ("host", "listed"),
    [
        ("github.com", True),
        ("GITHUB.com.", True),
        ("a.example.net", True),
        ("a.b.example.net", True),
        ("example.net", False),
        ("badexample.net", False),
        ("github.com.evil.example", False),
        ("api.github.com", False),
    ],
)
def test_a_host_is_listed_by_its_whole_name(host: str, listed: bool) -> None:
    assert is_listed(host, HOSTS) is listed


BAD = {
    "no https": ("http://github.com/x.tgz", "https alone"),
    "a file": ("file:///etc/passwd", "https alone"),
    "no host": ("https:///x.tgz", "https alone"),
    "another host": ("https://evil.example/x.tgz?key=hidden", "evil.example is not a host"),
    "a host before an at sign": ("https://github.com@evil.example/x", "no user"),
    "a password": ("https://u:p@github.com/x", "no user and no password"),
    "another port": ("https://github.com:8443/x", "port 443 alone"),
    "half an address": ("https://[::1/x", "cannot be read"),
    "a port that is none": ("https://github.com:port/x", "cannot be read"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_may_not_be_fetched_is_said_without_what_may_be_secret(case: str) -> None:
    url, words = BAD[case]
    with pytest.raises(Refused, match=words) as refused:
        check_address(url, HOSTS)
    assert "hidden" not in refused.value.message


def test_without_hosts_nothing_is_fetched() -> None:
    with pytest.raises(Refused, match="from nowhere"):
        check_address("https://github.com/x", ())


def test_an_address_of_a_listed_host_is_taken_apart() -> None:
    assert check_address("https://github.com:443/org/x.tgz?a=b", HOSTS).path == "/org/x.tgz"
