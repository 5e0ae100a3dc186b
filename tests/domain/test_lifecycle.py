"""Every state with every signal: what follows, or that nothing can."""

from itertools import product
from typing import Any

import pytest

from service.domain.lifecycle import ImpossibleTransition, Signal, advance, can, is_final, limit, signal_to
from service.domain.model import AppState, BuildState, ReleaseState, RequestState, ReviewState, TargetState

TABLES: dict[Any, dict[str, str]] = {
    ReviewState: {
        "waiting": "hold>waiting start>creating skip>skipped",
        "creating": "start>creating supersede>creating succeed>live fail>failed cancel>failed suspend>suspended "
        "destroy>destroying vanish>destroyed",
        "live": "start>live supersede>live succeed>live fail>live cancel>live suspend>suspended "
        "destroy>destroying vanish>destroyed",
        "failed": "start>creating succeed>live fail>failed cancel>failed suspend>suspended destroy>destroying "
        "vanish>destroyed",
        "suspended": "start>suspended supersede>suspended resume>live succeed>live fail>suspended cancel>suspended "
        "destroy>destroying vanish>destroyed",
        "destroying": "hold>destroying destroy>destroying vanish>destroyed",
        "destroyed": "hold>destroyed",
        "skipped": "hold>skipped",
    },
    AppState: {
        "active": "suspend>suspended destroy>destroying",
        "suspended": "resume>active destroy>destroying",
        "destroying": "destroy>destroying vanish>gone",
        "gone": "",
    },
    RequestState: {
        "queued": "start>running fail>failed cancel>cancelled supersede>superseded",
        "running": "hand_back>queued start>running succeed>succeeded fail>failed cancel>cancelled supersede>superseded",
        "succeeded": "",
        "failed": "",
        "superseded": "",
        "cancelled": "",
    },
    BuildState: {
        "pending": "succeed>succeeded fail>failed cancel>cancelled",
        "succeeded": "",
        "failed": "",
        "cancelled": "",
    },
    ReleaseState: {
        "pending": "succeed>succeeded fail>failed cancel>failed",
        "succeeded": "expire>expired",
        "failed": "expire>expired",
        "expired": "",
    },
    TargetState: {
        "pending": "succeed>succeeded fail>failed cancel>failed",
        "succeeded": "",
        "failed": "",
    },
}
EVERY_STATE = [state for kind in TABLES for state in kind]
UNFINISHED = [
    ReviewState.WAITING,
    ReviewState.CREATING,
    ReviewState.DESTROYING,
    AppState.DESTROYING,
    RequestState.QUEUED,
    RequestState.RUNNING,
    BuildState.PENDING,
    ReleaseState.PENDING,
    TargetState.PENDING,
]


def named(value: Any) -> str:
    return f"{type(value).__name__}.{value.name}"


def after(state: Any, signal: Signal) -> str | None:
    return dict(pair.split(">") for pair in TABLES[type(state)][state.value].split()).get(signal.value)


@pytest.mark.parametrize(("state", "signal"), list(product(EVERY_STATE, Signal)), ids=named)
def test_every_state_with_every_signal(state: Any, signal: Signal) -> None:
    want = after(state, signal)
    assert can(state, signal) is (want is not None)
    if want is None:
        with pytest.raises(ImpossibleTransition, match=f"{state.value} cannot {signal.value}"):
            advance(state, signal)
    else:
        assert advance(state, signal) is type(state)(want)


@pytest.mark.parametrize("state", EVERY_STATE, ids=named)
def test_what_has_to_go_on_has_a_limit_and_an_exit(state: Any) -> None:
    bound = limit(state)
    assert (bound is not None) is any(state is each for each in UNFINISHED)
    if bound is not None:
        assert can(state, bound.signal)
        assert not is_final(state)


@pytest.mark.parametrize("state", UNFINISHED, ids=named)
def test_from_what_has_to_go_on_an_end_can_be_reached(state: Any) -> None:
    reached, todo = {state}, [state]
    while todo:
        here = todo.pop()
        new = {advance(here, signal) for signal in Signal if can(here, signal)} - reached
        reached |= new
        todo += new
    assert any(is_final(each) for each in reached)


def test_two_machines_with_one_word_stay_apart() -> None:
    assert advance(AppState.DESTROYING, Signal.VANISH) is AppState.GONE
    assert advance(ReviewState.DESTROYING, Signal.VANISH) is ReviewState.DESTROYED


@pytest.mark.parametrize(
    ("state", "wanted", "signal"),
    [
        (ReviewState.WAITING, ReviewState.SKIPPED, Signal.SKIP),
        (ReviewState.WAITING, ReviewState.WAITING, Signal.HOLD),
        (ReviewState.LIVE, ReviewState.DESTROYED, Signal.VANISH),
        (ReviewState.DESTROYING, ReviewState.DESTROYING, Signal.HOLD),
        (ReviewState.DESTROYED, ReviewState.DESTROYED, Signal.HOLD),
    ],
    ids=["skip", "another reason", "went on its own", "closed while leaving", "closed when gone"],
)
def test_the_signal_that_leads_to_a_wanted_state(state: ReviewState, wanted: ReviewState, signal: Signal) -> None:
    assert signal_to(state, wanted) is signal


def test_no_signal_leads_back_from_the_end() -> None:
    with pytest.raises(ImpossibleTransition, match="destroyed cannot become live"):
        signal_to(ReviewState.DESTROYED, ReviewState.LIVE)
