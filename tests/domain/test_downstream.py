"""How an app stands to those downstream of it, from what is known of their commits."""

from typing import Any

import pytest

from service.domain.downstream import KeysApart, Relation, Running, differ, keys_apart, question
from service.domain.facts import CommitsApart, Fact, FactKind, commits_between
from service.domain.model import RepositoryId
from tests.domain.things import REPO, A, B, ago, app, release

APART = CommitsApart(ahead=2, behind=0, ahead_commits=(), behind_commits=(), related=True)


def running(name: str, **changes: Any) -> Running:
    return Running(app=app(name), release=None if changes.get("none") else release(**changes))


STAGING, SHOP = running("shop-staging", commit=A, version=7), running("shop", commit=B, version=3)


def known(value: CommitsApart | None = None, error: str = "") -> Fact[CommitsApart]:
    return Fact(key=commits_between(REPO, B, A), value=value, error=error, stale=False, looked_at=ago(5))


def apart(ahead: int, behind: int, *, related: bool = True) -> Fact[CommitsApart]:
    return known(CommitsApart(ahead=ahead, behind=behind, ahead_commits=(), behind_commits=(), related=related))


ROWS = [
    ("the same commit", STAGING, running("shop", commit=A), None, Relation.SAME, ""),
    ("commits that were not compared yet", STAGING, SHOP, None, Relation.PENDING, "the commits are being compared; ask again in a moment"),
    ("commits that are asked for", STAGING, SHOP, known(), Relation.PENDING, "the commits are being compared; ask again in a moment"),
    ("newer ones", STAGING, SHOP, apart(2, 0), Relation.AHEAD, ""),
    ("older ones", STAGING, SHOP, apart(0, 2), Relation.BEHIND, ""),
    ("both", STAGING, SHOP, apart(1, 2), Relation.DIVERGED, ""),
    ("other commits of the same history", STAGING, SHOP, apart(0, 0), Relation.SAME, ""),
    ("histories without a common commit", STAGING, SHOP, apart(5, 2, related=False), Relation.UNRELATED, ""),
    ("a commit that is unknown", STAGING, SHOP, known(error="commit bbbbbbb is unknown"), Relation.UNKNOWN, "commit bbbbbbb is unknown"),
    ("what was known before GitHub was away", STAGING, SHOP, known(APART, error="GitHub is away"), Relation.AHEAD, ""),
    ("an app without a release", STAGING, running("shop", none=True), None, Relation.UNKNOWN, "shop has no release yet"),
    ("a source without a release", running("shop-staging", none=True), SHOP, None, Relation.UNKNOWN, "shop-staging has no release yet"),
    ("a release without a commit", STAGING, running("shop", commit=None, version=3), None, Relation.UNKNOWN, "v3 of shop was not built from a commit"),
    ("another repository", STAGING, running("shop", commit=B, repository_id=RepositoryId(8)), None, Relation.UNKNOWN, "shop-staging and shop were not built from one connected repository"),
    ("no repository", running("shop-staging", commit=A, repository_id=None), SHOP, None, Relation.UNKNOWN, "shop-staging and shop were not built from one connected repository"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "target", "fact", "relation", "reason"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_the_relation_is_told_with_its_reason(
    source: Running, target: Running, fact: Fact[CommitsApart] | None, relation: Relation, reason: str
) -> None:
    found = differ(source, target, fact)
    assert (found.relation, found.reason) == (relation, reason)
    assert (found.apart is not None) is (fact is not None and fact.value is not None)


def test_commits_are_asked_for_only_where_that_tells_something() -> None:
    asked = question(STAGING, SHOP)
    assert asked is not None
    assert (asked.kind, asked.key) == (FactKind.COMMITS, f"{B}...{A}")
    assert question(STAGING, running("shop", commit=A)) is None
    assert question(STAGING, running("shop", none=True)) is None
    assert question(STAGING, running("shop", commit=B, repository_id=RepositoryId(8))) is None


def test_config_vars_are_compared_by_name_and_no_value_is_told() -> None:
    found = keys_apart({"A": "1", "B": "1", "C": "1"}, {"B": "2", "C": "1", "D": "1"})
    assert found == KeysApart(missing=("A",), extra=("D",), different=("B",))
