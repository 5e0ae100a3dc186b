"""What a deploy lock keeps out, for how long, and what people read about it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from service.domain.decisions import (
    ChangeConfig,
    Deploy,
    DeployArchive,
    Destroy,
    ReleaseSlug,
    Restart,
    Rollback,
    Scale,
    Suspend,
    Work,
)
from service.domain.deploy_lock import (
    check_lockable,
    check_owner,
    check_terms,
    in_the_way,
    lifted_at,
    refusal,
    waits_for,
)
from service.domain.errors import Refused
from service.domain.model import ReleaseId, SlugId, Trust
from tests.domain.things import NOW, OF_PIPELINE, REPO, A, ago, app, lock

DEPLOY = Deploy(repository_id=REPO, sha=A, trust=Trust.OWN, branch="main")
ARCHIVE = DeployArchive(source_id="s", shown="the source that was sent")
PROMOTION = ReleaseSlug(slug_id=SlugId("s"), commit=A, repository_id=REPO, description="Promote")


KEPT_OUT: list[tuple[str, Work, bool]] = [
    ("a deploy is kept out", DEPLOY, True),
    ("a packed source is kept out", ARCHIVE, True),
    ("a promotion is kept out", PROMOTION, True),
    ("a rollback is let in: it is the way out of an incident", Rollback(release_id=ReleaseId("r"), version=3), False),
    ("a change of config is let in", ChangeConfig(set_keys=("A",), unset_keys=()), False),
    ("scaling is let in", Scale(formation={"web": 2}), False),
    ("a restart is let in", Restart(), False),
    ("a suspension is let in", Suspend(reason="idle"), False),
    ("a destroy is let in", Destroy(ordered=True, reason="by a person"), False),
    ("a deploy past this lock is let in", replace(DEPLOY, past_locks=("of-app",)), False),
    ("a packed source past this lock is let in", replace(ARCHIVE, past_locks=("of-app",)), False),
    ("a promotion past this lock is let in", replace(PROMOTION, past_locks=("of-app",)), False),
    ("a deploy past another lock is kept out", replace(DEPLOY, past_locks=("former",)), True),
]


@pytest.mark.parametrize(("work", "kept"), [row[1:] for row in KEPT_OUT], ids=[row[0] for row in KEPT_OUT])
def test_what_a_lock_keeps_out(work: Work, kept: bool) -> None:
    assert bool(in_the_way(work, [lock()], now=NOW)) is kept


@pytest.mark.parametrize(
    ("expires_at", "kept"),
    [
        pytest.param(None, True, id="without a time it stays"),
        pytest.param(NOW + timedelta(microseconds=1), True, id="until its time it keeps out"),
        pytest.param(NOW, False, id="at its very time it is over"),
        pytest.param(ago(60), False, id="after its time it is over"),
    ],
)
def test_when_a_lock_is_over(expires_at: datetime | None, kept: bool) -> None:
    assert bool(in_the_way(DEPLOY, [lock(expires_at=expires_at)], now=NOW)) is kept


def test_each_of_two_locks_keeps_out_and_the_first_to_lift_is_waited_for() -> None:
    both = [OF_PIPELINE, lock()]
    past_one = replace(DEPLOY, past_locks=("of-app",))
    assert in_the_way(DEPLOY, both, now=NOW) == tuple(both)
    assert in_the_way(past_one, both, now=NOW) == (OF_PIPELINE,)
    assert lifted_at(both) == NOW + timedelta(hours=1)
    assert lifted_at([OF_PIPELINE]) is None


def test_a_lock_says_who_until_when_and_why() -> None:
    assert waits_for([lock(), OF_PIPELINE]) == (
        "locked by ada@acme.example until 2026-03-01 13:00 UTC: sale; locked by ada@acme.example: sale"
    )


def test_a_refusal_names_every_way_on() -> None:
    assert refusal("shop-prod", [OF_PIPELINE]) == (
        "shop-prod is locked by ada@acme.example: sale. Take the lock off (towpath unlock -p shop), or go past it, "
        "which is put on record: --override-lock"
    )
    assert "(towpath unlock -p shop and towpath unlock -a shop-prod)" in refusal("shop-prod", [OF_PIPELINE, lock()])


@pytest.mark.parametrize(
    ("reason", "expires_at", "message"),
    [
        pytest.param(" \n ", None, "reason: say why", id="no reason"),
        pytest.param("sale\x1b[2J", None, "cannot be shown", id="a reason that steers a terminal"),
        pytest.param("x" * 201, None, "reason: 201 characters are too many, 200 are read", id="too long a reason"),
        pytest.param(
            "sale",
            ago(60),
            r"expires_at: 2026-03-01T11:59:00\+00:00 is over already, it is 2026-03-01 12:00 UTC",
            id="a time that is over",
        ),
        pytest.param("sale", NOW, "is over already", id="now"),
        pytest.param("sale", NOW + timedelta(days=367), "366 days at most", id="in more than a year"),
        pytest.param(
            "sale",
            datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
            "is over already",
            id="a time that no clock of ours can say",
        ),
        pytest.param(
            "sale",
            datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-14))),
            "366 days at most",
            id="the end of time",
        ),
    ],
)
def test_terms_that_make_no_lock_are_refused(reason: str, expires_at: datetime | None, message: str) -> None:
    with pytest.raises(Refused, match=message):
        check_terms(reason=reason, expires_at=expires_at, now=NOW)


def test_a_reason_is_kept_as_one_line() -> None:
    assert check_terms(reason=" big\n sale\t", expires_at=datetime(2026, 3, 2, tzinfo=UTC), now=NOW) == "big sale"


def test_only_its_owner_changes_a_lock() -> None:
    check_owner(lock(), "user:ada@acme.example")
    with pytest.raises(Refused, match=r"locked by ada.*towpath unlock -a shop-prod --force") as refused:
        check_owner(lock(), "user:bob@acme.example")
    assert refused.value.code == "conflict"


def test_a_review_app_cannot_be_locked() -> None:
    check_lockable(app())
    with pytest.raises(Refused, match="follows its pull request"):
        check_lockable(app(is_review=True))
