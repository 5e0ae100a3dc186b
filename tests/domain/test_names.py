"""Names of apps, pipelines and review apps."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.errors import Refused
from service.domain.model import PipelineId
from service.domain.names import (
    check_app_name,
    check_base_name,
    check_pipeline_name,
    host_label,
    is_reserved,
    review_app_name,
)

PIPELINE = PipelineId("0a1b2c3d-0000-0000-0000-000000000000")
LABEL = re.compile(r"[a-z][a-z0-9-]{0,28}[a-z0-9]")


def named(ref: str, *, base: str = "", pipeline: str = "shop") -> str:
    return review_app_name(pipeline_id=PIPELINE, pipeline_name=pipeline, base_name=base, ref=ref)


@pytest.mark.parametrize("name", ["abc", "shop-staging", "a1b", "a" * 30, "shop-pr", "pr-12x"])
def test_app_names_that_are_fine(name: str) -> None:
    assert check_app_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "ab", "Shop", "1shop", "shop-", "-shop", "sh_op", "shop.a", "a" * 31, "shop\n", "shöp", "shop;rm", "../x"],
)
def test_app_names_that_are_refused(name: str) -> None:
    with pytest.raises(Refused, match="3 to 30 characters"):
        check_app_name(name)


@pytest.mark.parametrize("name", ["shop-pr-1", "shop-pr-99999", "shop-br-topic", "a-b-br-x"])
def test_names_kept_for_review_apps_are_refused(name: str) -> None:
    assert is_reserved(name)
    with pytest.raises(Refused, match="kept for review apps"):
        check_app_name(name)


@pytest.mark.parametrize("name", ["abc", "shop-", "a" * 30])
def test_pipeline_names_that_are_fine(name: str) -> None:
    assert check_pipeline_name(name) == name


@pytest.mark.parametrize("name", ["ab", "Shop", "-shop", "a" * 31])
def test_pipeline_names_that_are_refused(name: str) -> None:
    with pytest.raises(Refused, match="Pipeline name"):
        check_pipeline_name(name)


def test_a_base_name_may_be_empty_or_a_name() -> None:
    assert [check_base_name(name) for name in ("", "a", "shop")] == ["", "a", "shop"]
    with pytest.raises(Refused, match="base_name must be"):
        check_base_name("Shop-")


@pytest.mark.parametrize(
    ("given_", "name"),
    [
        ({"ref": "pr:5"}, "shop-0a1b-pr-5"),
        ({"ref": "pr:5", "base": "acme"}, "acme-pr-5"),
        ({"ref": "pr:12345", "base": "a" * 30}, "aaaaaaaaaaaaaa-73bcf3-pr-12345"),
        ({"ref": "branch:topic", "base": "acme"}, "acme-br-topic"),
        ({"ref": "branch:feature/x", "base": "acme"}, "acme-br-featu-6d57dc"),
        ({"ref": "branch:feature-x", "base": "acme"}, "acme-br-feature-x"),
        ({"ref": "branch:ünï", "base": "acme"}, "acme-br-n-f23e59"),
        ({"ref": "branch:…", "base": "acme"}, "acme-br-f1a8f2"),
    ],
    ids=[
        "after the pipeline and its id",
        "after the base name",
        "cut with a hash",
        "after the branch",
        "a changed branch carries a hash",
        "a plain branch does not",
        "letters that are none in a host",
        "nothing left of the branch",
    ],
)
def test_review_app_names(given_: dict[str, str], name: str) -> None:
    got = named(**given_)
    shape = re.sub(r"[0-9a-f]{6}(?=-pr-|$)", "H", name)
    assert re.sub(r"[0-9a-f]{6}(?=-pr-|$)", "H", got) == shape
    assert got == named(**given_)


def test_what_is_no_ref_is_refused() -> None:
    with pytest.raises(Refused, match="neither pr:NUMBER nor branch:NAME"):
        named("tag:v1")


@given(
    st.from_regex(r"[a-z][a-z0-9-]{2,29}", fullmatch=True),
    st.one_of(st.integers(1, 10**9).map("pr:{}".format), st.text(min_size=1, max_size=80).map("branch:{}".format)),
)
def test_every_review_app_has_one_reserved_host_label(pipeline: str, ref: str) -> None:
    name = named(ref, pipeline=pipeline)
    assert LABEL.fullmatch(name)
    assert is_reserved(name)


@given(st.sets(st.text(min_size=1, max_size=60), min_size=2, max_size=6), st.from_regex(r"[a-z]{3,30}", fullmatch=True))
def test_two_branches_never_share_a_name(branches: set[str], base: str) -> None:
    assert len({named(f"branch:{branch}", base=base) for branch in branches}) == len(branches)


@given(st.sets(st.from_regex(r"[a-z]{3,30}", fullmatch=True), min_size=2, max_size=6), st.integers(1, 10**6))
def test_two_bases_never_share_a_name(bases: set[str], number: int) -> None:
    assert len({named(f"pr:{number}", base=base) for base in bases}) == len(bases)


def test_the_host_is_the_name_in_the_domain() -> None:
    assert host_label("shop", domain="apps.example.com") == "shop.apps.example.com"
