"""The App that people are asked to make: what it may do, and whether GitHub could reach it."""

import pytest

from service.domain.pulling import why_pull
from service.github.manifest import (
    EVENTS,
    LONGEST_NAME,
    PERMISSIONS,
    app_name,
    cannot_reach,
    form_url,
    hook_url,
    manifest,
)
from service.github.purposes import Purpose

GITHUB, ENTERPRISE, SIMULATED = "https://github.com", "https://github.example.com", "http://127.0.0.1:5090"
RANK = {"read": 1, "write": 2}


@pytest.mark.parametrize("purpose", list(Purpose), ids=lambda each: f"a token for {each.value}")
def test_the_app_is_granted_whatever_a_token_asks_for(purpose: Purpose) -> None:
    granted = {each.name: RANK[each.level] for each in PERMISSIONS}
    assert {name for name, level in purpose.permissions.items() if granted.get(name, 0) < RANK[level]} == set()


def test_every_event_is_covered_by_a_permission_because_github_refuses_the_form_otherwise() -> None:
    assert {event.needs for event in EVENTS} <= {each.name for each in PERMISSIONS}
    assert not {event.name for event in EVENTS} & {
        "installation",
        "installation_repositories",
        "github_app_authorization",
    }


def test_everything_that_is_asked_for_has_its_reason() -> None:
    assert all(each.why for each in (*PERMISSIONS, *EVENTS))


def test_the_manifest_leads_github_back_to_this_installation() -> None:
    url = "https://tow.example.com"
    made = manifest(url=url, name="tow", hook_url=hook_url(url=url, github_url=GITHUB))
    assert made["hook_attributes"] == {"url": "https://tow.example.com/github/webhooks", "active": True}
    assert made["redirect_url"] == "https://tow.example.com/github/setup/created"
    assert made["callback_urls"] == ["https://tow.example.com/dashboard/github/callback"]
    assert made["public"] is False


@pytest.mark.parametrize(
    ("url", "organization", "name"),
    [
        pytest.param("https://towpath.example.com", "", "towpath-example.com", id="by its host"),
        pytest.param("https://towpath.example.com", "acme", "towpath-acme", id="by its organization"),
        pytest.param("https://x.example.com", "a" * 39, "towpath-" + "a" * 26, id="cut to what GitHub takes"),
    ],
)
def test_the_apps_name_is_its_own(url: str, organization: str, name: str) -> None:
    assert app_name(url=url, organization=organization) == name
    assert len(name) <= LONGEST_NAME


def test_the_form_is_that_of_the_person_or_the_organization_on_whichever_github() -> None:
    assert form_url(github_url=GITHUB, organization="") == "https://github.com/settings/apps/new"
    assert form_url(github_url=ENTERPRISE, organization="acme") == (
        "https://github.example.com/organizations/acme/settings/apps/new"
    )


@pytest.mark.parametrize(
    ("url", "github", "reason"),
    [
        pytest.param("https://towpath.example.com", GITHUB, "", id="a public name"),
        pytest.param("http://203.0.114.9:5080", GITHUB, "", id="a public address"),
        pytest.param("http://localhost:5080", GITHUB, "this machine's own", id="localhost"),
        pytest.param("http://127.0.0.1:5080", GITHUB, "this machine's own", id="the loopback"),
        pytest.param("http://[::1]:5080", ENTERPRISE, "this machine's own", id="the loopback, from an Enterprise Server"),
        pytest.param("http://10.1.2.3:5080", GITHUB, "private network", id="a private address"),
        pytest.param("http://build-7:5080", GITHUB, "private network", id="a name without a domain"),
        pytest.param("http://tow.corp:5080", GITHUB, "private network", id="a name of an office"),
        pytest.param("http://10.1.2.3", "https://acme.ghe.com", "private network", id="GitHub's cloud for enterprises"),
        pytest.param("http://10.1.2.3:5080", ENTERPRISE, "", id="an Enterprise Server may be on the same network"),
        pytest.param("http://127.0.0.1:5080", SIMULATED, "", id="both are this machine"),
    ],
)  # fmt: skip
def test_whether_github_can_reach_an_address(url: str, github: str, reason: str) -> None:
    said = cannot_reach(url=url, github_url=github)
    assert reason in said
    assert bool(said) is bool(reason)
    parked = hook_url(url=url, github_url=github) == "https://towpath.invalid/github/webhooks"
    assert parked is bool(reason)  # GitHub takes no App that sends to where it cannot


@pytest.mark.parametrize("host", ["tow.corp", "tow.home", "tow.home.arpa", "tow.intranet", "localhost.", "tow.lan"])
def test_where_an_app_cannot_send_to_its_deliveries_are_fetched(host: str) -> None:
    """Two judgments of one address would leave people with an App that neither sends nor is asked."""
    url = f"http://{host}:5080"
    assert cannot_reach(url=url, github_url=GITHUB)
    assert why_pull(asked="", url=url, api_url="https://api.github.com")
