"""Where a branch is: pushes that are told late, twice and in any order, and answers from before them."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise, permutations

import pytest

from service.domain.model import NO_SHA
from service.domain.whereabouts import DOUBTED_FOR, Whereabouts, shown, told
from tests.domain.things import NOW

A, B, C, D = (letter * 40 for letter in "abcd")
SECOND = timedelta(seconds=1)
Push = tuple[str, str]


def after(pushes: Sequence[Push], at: str = A, first: Whereabouts | None = None) -> Whereabouts:
    """What is known after a branch that was at a commit was told to move, once a second, or to go on moving later."""
    known = first or shown(Whereabouts(), at, now=NOW)
    for count, (before, then) in enumerate(pushes, start=5 if first else 0):
        time = NOW + count * SECOND
        known = told(known, before=before, after=then, told_at=time, now=time)
    return known


def trusts(known: Whereabouts, where: str) -> bool:
    """Whether it is believed that the branch is there, once GitHub says so."""
    return not shown(known, where, now=NOW + 10 * SECOND).doubted(NOW + 10 * SECOND)


@pytest.mark.parametrize(
    ("pushes", "trusted"),
    [
        pytest.param([(A, B)], B, id="a push"),
        pytest.param([(A, B), (B, C)], C, id="two"),
        pytest.param([("", B)], None, id="one that does not say from where"),
        pytest.param([(C, D)], None, id="one that does not go on from what is shown"),
        pytest.param([(A, B), (A, B)], B, id="told twice"),
        pytest.param([(A, B), (B, C), (A, B)], C, id="the first told again"),
        pytest.param([(A, B), (B, C), (A, B), (B, C)], C, id="both told again"),
        pytest.param([(A, B), (C, D), (B, C)], None, id="the other way round"),
        pytest.param([(A, B), (B, C), (C, D), (A, B), (B, C)], D, id="two of three told again"),
        pytest.param([(A, B), (B, A)], A, id="set back"),
        pytest.param([(A, B), (B, A), (A, B)], B, id="and on again"),
        pytest.param([(A, NO_SHA)], NO_SHA, id="deleted"),
        pytest.param([(A, NO_SHA), (NO_SHA, A)], A, id="deleted and made again"),
        pytest.param([(A, B), (B, NO_SHA), (A, B)], NO_SHA, id="told again after it was deleted"),
        pytest.param([(A, NO_SHA), (NO_SHA, B), (A, NO_SHA)], None, id="its end is told again"),
        pytest.param([(A, B), (C, D)], None, id="one between is missing"),
        pytest.param([(A, B), ("", C)], None, id="the second does not say from where"),
    ],
)
def test_what_pushes_tell_is_trusted_where_their_order_is_known_and_nothing_else_is(
    pushes: list[Push], trusted: str | None
) -> None:
    known = after(pushes)
    assert [where for where in (A, B, C, D, NO_SHA) if trusts(known, where)] == ([trusted] if trusted else [])


def test_a_branch_that_is_made_is_where_it_is_told_to_be() -> None:
    assert trusts(after([(NO_SHA, B), (B, C)], at=NO_SHA), C)


@pytest.mark.parametrize("order", [*permutations([(A, B), (B, C), (C, D)])])
def test_whatever_the_order_in_which_pushes_are_heard_of_only_the_last_is_trusted(order: Sequence[Push]) -> None:
    known = after(order)
    assert not any(trusts(known, where) for where in (A, B, C))


def test_pushes_that_are_heard_of_backwards_leave_the_last_one_trusted() -> None:
    assert trusts(after([(C, D), (B, C), (A, B)], first=Whereabouts()), D)


def test_one_that_is_told_twice_while_github_shows_what_was_before_all_is_not_trusted() -> None:
    known = after([(C, D), (A, B)])
    known = shown(known, A, now=NOW + 3 * SECOND)
    assert not trusts(after([(A, B)], first=known), B)


def test_from_there_and_back_the_times_say_which_is_later() -> None:
    known = told(after([(A, B), (B, A)]), before=A, after=B, told_at=NOW, now=NOW + 2 * SECOND)
    assert not trusts(known, B)
    assert not trusts(known, A)


def test_pushes_that_go_on_after_one_was_missed_are_doubted_no_longer_for_it() -> None:
    known = shown(after([(A, B), (C, D)]), D, now=NOW + 2 * SECOND)
    assert after([(D, "e" * 40)], first=known).doubted_until == NOW + DOUBTED_FOR


def test_a_push_from_an_answer_from_before_is_not_trusted() -> None:
    known = shown(shown(after([(A, B)]), C, now=NOW + SECOND), A, now=NOW + 2 * SECOND)
    assert not trusts(after([(A, B)], first=known), B)
    late = shown(known, A, now=NOW + 2 * SECOND + DOUBTED_FOR)
    time = NOW + 3 * SECOND + DOUBTED_FOR
    late = told(late, before=A, after=B, told_at=time, now=time)
    assert not shown(late, B, now=time).doubted(time)


@pytest.mark.parametrize("where", [A, B])
def test_every_commit_that_a_push_told_to_be_left_has_returned_when_it_is_shown(where: str) -> None:
    known = after([(A, B), (B, C)])
    assert shown(known, where, now=NOW + SECOND).returned
    assert not shown(known, C, now=NOW + SECOND).returned
    assert not shown(after([(C, where)], first=known), where, now=NOW + 4 * SECOND).returned


def test_a_branch_that_goes_on_moving_untold_is_doubted_from_its_first_move_on() -> None:
    known = after([])
    for count, where in enumerate((B, C, D)):
        known = shown(known, where, now=NOW + count * 30 * SECOND)
    assert known.doubted_until == NOW + DOUBTED_FOR


@pytest.mark.parametrize("again", [A, B], ids=["before the doubt", "within it"])
def test_what_is_shown_once_more_is_doubted_anew(again: str) -> None:
    known = shown(shown(after([]), B, now=NOW), C, now=NOW + 60 * SECOND)
    assert shown(known, again, now=NOW + 110 * SECOND).doubted_until == NOW + 110 * SECOND + DOUBTED_FOR


def test_what_was_announced_is_doubted_anew_after_something_untold() -> None:
    known = shown(after([(A, B)]), C, now=NOW + 60 * SECOND)
    assert shown(known, B, now=NOW + 110 * SECOND).doubted_until == NOW + 110 * SECOND + DOUBTED_FOR


def test_no_more_is_remembered_than_what_may_come_again() -> None:
    commits = [f"{number:040x}" for number in range(1, 50)]
    known = after(list(pairwise(commits)), at=commits[0])
    assert len(known.was_at) == 16
    assert set(commits[-15:-1]) < set(known.was_at)
