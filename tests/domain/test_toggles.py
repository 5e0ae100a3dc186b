"""A pipeline's switches."""

from dataclasses import fields, replace
from typing import Any

import pytest

from service.domain.errors import Refused
from service.domain.model import CiCounts, IdleAction, Toggles
from service.domain.toggles import DESCRIPTIONS, change, from_json, root_directory, to_json


def test_every_switch_is_described_and_can_be_changed() -> None:
    names = {field.name for field in fields(Toggles)}
    assert set(DESCRIPTIONS) == names
    assert all(text.endswith(".") for text in DESCRIPTIONS.values())
    assert change(Toggles(), to_json(Toggles())) == Toggles()


def test_a_change_leaves_the_rest() -> None:
    changed = change(
        Toggles(drafts=False),
        {"review_apps": True, "stale_days": 30, "base_name": "acme", "required_contexts": [" build ", "build", "lint"]},
    )
    assert changed == Toggles(
        drafts=False,
        review_apps=True,
        stale_days=30,
        base_name="acme",
        ci_counts=CiCounts.REQUIRED,
        required_contexts=("build", "lint"),
    )


def test_naming_contexts_makes_those_count_and_naming_none_makes_all_count_again() -> None:
    named = change(Toggles(), {"required_contexts": ["build"]})
    assert named.ci_counts is CiCounts.REQUIRED
    assert change(named, {"required_contexts": []}).ci_counts is CiCounts.ALL
    assert change(named, {"ci_counts": "all"}) == replace(named, ci_counts=CiCounts.ALL)
    protected = change(named, {"ci_counts": "protected"})
    assert change(protected, {"required_contexts": ["lint"]}).ci_counts is CiCounts.PROTECTED


def test_contexts_that_were_named_before_there_was_a_choice_count_as_before() -> None:
    assert from_json({"required_contexts": ["build"]}).ci_counts is CiCounts.REQUIRED
    assert from_json({"required_contexts": []}).ci_counts is CiCounts.ALL
    assert from_json({"required_contexts": ["build"], "ci_counts": "all"}).ci_counts is CiCounts.ALL


def test_whole_seconds_and_no_base_name_are_fine() -> None:
    assert change(Toggles(), {"settle_seconds": 5, "base_name": None}) == Toggles(settle_seconds=5.0)
    assert change(Toggles(health_path="/up"), {"health_path": None}) == Toggles()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"review_apps": "yes"}, "review_apps: expected true or false"),
        ({"wait_for_ci": 1}, "wait_for_ci: expected true or false"),
        ({"stale_days": 0}, "stale_days: expected a whole number from 1 to 30"),
        ({"stale_days": 31}, "stale_days: expected a whole number from 1 to 30"),
        ({"stale_days": True}, "stale_days: expected a whole number from 1 to 30"),
        ({"stale_days": "5"}, "stale_days: expected a whole number from 1 to 30"),
        ({"max_review_apps": -1}, "max_review_apps: expected a whole number from 0 to 1000"),
        ({"settle_seconds": "30"}, "settle_seconds: expected seconds from 0 to 3600"),
        ({"gate_seconds": float("nan")}, "gate_seconds: expected seconds from 0 to 86400"),
        ({"gate_seconds": 10}, "settle_seconds: cannot be longer than gate_seconds"),
        ({"base_name": 5}, "base_name: expected text"),
        ({"base_name": "Acme"}, "base_name: must be at most 30 characters"),
        ({"required_contexts": "build"}, "required_contexts: expected a list of names"),
        ({"ignored_contexts": ["a", ""]}, "ignored_contexts: expected a list of names"),
        ({"ignored_contexts": ["a"] * 101}, "ignored_contexts: expected at most 100 names"),
        ({"required_contexts": ["a"], "ignored_contexts": ["a"]}, "ignored_contexts: a is required as well"),
        ({"required_contexts": ["Lint"], "ignored_contexts": ["lint"]}, "ignored_contexts: Lint is required as well"),
        ({"idle_action": "sleep"}, "idle_action: expected destroy or suspend"),
        ({"labels": "preview"}, "labels: expected a list of names"),
        ({"base_branches": ["release**"]}, "base_branches: release**: ** stands alone between slashes"),
        ({"paths": ["api/**", "../other"]}, "paths: ../other: a pattern has no empty part, no . and no .."),
        ({"paths": ["/"]}, "paths: expected patterns of 1 to 255 characters"),
        ({"ci_counts": "some"}, "ci_counts: expected one of all, required, protected"),
        ({"ci_counts": "required"}, "ci_counts: required needs required_contexts, which names them"),
        ({"health_path": "healthz"}, "health_path: expected a path such as /healthz, of at most 200 characters"),
        ({"health_path": "/a b"}, "health_path: expected a path"),
        ({"health_path": "/a\r\nHost: x"}, "health_path: expected a path"),
        ({"health_path": 5}, "health_path: expected a path"),
        ({"stale_day": 5}, "stale_day: there is no such setting; there are review_apps, "),
    ],
    ids=str,
)
def test_a_mistake_names_its_field(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(Refused) as refused:
        change(Toggles(), changes)
    assert refused.value.message.startswith(text)


def test_patterns_are_kept_without_what_does_not_count() -> None:
    changed = change(Toggles(), {"paths": ["/api/", "./api", "!docs"], "labels": ["demo"], "idle_action": "suspend"})
    assert changed == Toggles(paths=("api", "!docs"), labels=("demo",), idle_action=IdleAction.SUSPEND)


@pytest.mark.parametrize(
    ("given", "kept"), [("", ""), (None, ""), ("/services/api/", "services/api"), ("./api", "api"), (" a//b ", "a/b")]
)
def test_a_root_directory_is_kept_without_slashes_around_it(given: str | None, kept: str) -> None:
    assert root_directory(given) == kept


@pytest.mark.parametrize("given", [5, "a/../..", "..", "a\x00b", "a\nb", "a" * 256])
def test_a_root_directory_outside_of_the_repository_is_refused(given: Any) -> None:
    with pytest.raises(Refused, match=r"^root_directory: "):
        root_directory(given)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(Refused) as refused:
        change(Toggles(), {"drafts": 0, "stale_days": 99, "nonsense": 1})
    assert len(refused.value.message.splitlines()) == 3


def test_what_was_kept_comes_back_and_what_is_no_longer_known_is_left_out() -> None:
    toggles = Toggles(review_apps=True, ignored_contexts=("slow",), base_name="acme")
    assert from_json(to_json(toggles)) == toggles
    assert from_json({"review_apps": True, "from_a_later_version": 1}) == Toggles(review_apps=True)
    assert to_json(toggles)["ignored_contexts"] == ["slow"]
