"""How states change: `advance` is the only function that yields one.

Every state that is not final has an age limit and a signal that ends it when the limit has passed, so that nothing
waits for ever on something that was lost.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum, unique
from typing import Any, Final, TypeVar

from service.domain.model import AppState, BuildState, ReleaseState, RequestState, ReviewState, TargetState
from service.domain.one_offs import LONGEST, OneOffState

State = TypeVar("State", ReviewState, AppState, RequestState, BuildState, ReleaseState, TargetState, OneOffState)
AnyState = ReviewState | AppState | RequestState | BuildState | ReleaseState | TargetState | OneOffState


@unique
class Signal(StrEnum):
    """What happened to something that has a state."""

    START = "start"  # work on it has begun
    HOLD = "hold"  # it waits for something else than before
    SUCCEED = "succeed"
    FAIL = "fail"
    CANCEL = "cancel"  # a person or a destroy ended it
    SUPERSEDE = "supersede"  # a newer commit took its place
    SUSPEND = "suspend"
    RESUME = "resume"
    DESTROY = "destroy"
    VANISH = "vanish"  # everything of it is verified gone
    SKIP = "skip"  # it ended before there was anything to take away
    EXPIRE = "expire"  # the slug is no longer kept
    HAND_BACK = "hand_back"  # the worker stops or died: somebody else takes it


class ImpossibleTransition(Exception):
    """A bug: the caller believed in a state that the thing is not in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How long a state may last, and the signal that ends it then."""

    age: timedelta
    signal: Signal


_R, _A, _Q = ReviewState, AppState, RequestState
_B, _L, _T, _O = BuildState, ReleaseState, TargetState, OneOffState
_S = Signal

_REVIEW: Final[Mapping[ReviewState, Mapping[Signal, ReviewState]]] = {
    _R.WAITING: {_S.HOLD: _R.WAITING, _S.START: _R.CREATING, _S.SKIP: _R.SKIPPED},
    _R.CREATING: {
        _S.START: _R.CREATING,
        _S.SUPERSEDE: _R.CREATING,
        _S.SUCCEED: _R.LIVE,
        _S.FAIL: _R.FAILED,
        _S.CANCEL: _R.FAILED,
        _S.SUSPEND: _R.SUSPENDED,
        _S.DESTROY: _R.DESTROYING,
        _S.VANISH: _R.DESTROYED,
    },
    _R.LIVE: {
        _S.START: _R.LIVE,
        _S.SUPERSEDE: _R.LIVE,
        _S.SUCCEED: _R.LIVE,
        _S.FAIL: _R.LIVE,  # the former release goes on serving
        _S.CANCEL: _R.LIVE,
        _S.SUSPEND: _R.SUSPENDED,
        _S.DESTROY: _R.DESTROYING,
        _S.VANISH: _R.DESTROYED,
    },
    _R.FAILED: {
        _S.START: _R.CREATING,
        _S.SUCCEED: _R.LIVE,
        _S.FAIL: _R.FAILED,
        _S.CANCEL: _R.FAILED,
        _S.SUSPEND: _R.SUSPENDED,
        _S.DESTROY: _R.DESTROYING,
        _S.VANISH: _R.DESTROYED,
    },
    _R.SUSPENDED: {
        _S.START: _R.SUSPENDED,
        _S.SUPERSEDE: _R.SUSPENDED,
        _S.RESUME: _R.LIVE,
        _S.SUCCEED: _R.LIVE,
        _S.FAIL: _R.SUSPENDED,
        _S.CANCEL: _R.SUSPENDED,
        _S.DESTROY: _R.DESTROYING,
        _S.VANISH: _R.DESTROYED,
    },
    _R.DESTROYING: {_S.HOLD: _R.DESTROYING, _S.DESTROY: _R.DESTROYING, _S.VANISH: _R.DESTROYED},
    _R.DESTROYED: {_S.HOLD: _R.DESTROYED},  # only its reason changes: closed after it was taken away
    _R.SKIPPED: {_S.HOLD: _R.SKIPPED},
}
_APP: Final[Mapping[AppState, Mapping[Signal, AppState]]] = {
    _A.ACTIVE: {_S.SUSPEND: _A.SUSPENDED, _S.DESTROY: _A.DESTROYING},
    _A.SUSPENDED: {_S.RESUME: _A.ACTIVE, _S.DESTROY: _A.DESTROYING},
    _A.DESTROYING: {_S.DESTROY: _A.DESTROYING, _S.VANISH: _A.GONE},
    _A.GONE: {},
}
_REQUEST: Final[Mapping[RequestState, Mapping[Signal, RequestState]]] = {
    _Q.QUEUED: {
        _S.START: _Q.RUNNING,
        _S.FAIL: _Q.FAILED,
        _S.CANCEL: _Q.CANCELLED,
        _S.SUPERSEDE: _Q.SUPERSEDED,
    },
    _Q.RUNNING: {
        _S.HAND_BACK: _Q.QUEUED,
        _S.START: _Q.RUNNING,  # a successor goes on where the former worker stopped
        _S.SUCCEED: _Q.SUCCEEDED,
        _S.FAIL: _Q.FAILED,
        _S.CANCEL: _Q.CANCELLED,
        _S.SUPERSEDE: _Q.SUPERSEDED,
    },
    _Q.SUCCEEDED: {},
    _Q.FAILED: {},
    _Q.SUPERSEDED: {},
    _Q.CANCELLED: {},
}
_BUILD_STATES: Final[Mapping[BuildState, Mapping[Signal, BuildState]]] = {
    _B.PENDING: {_S.SUCCEED: _B.SUCCEEDED, _S.FAIL: _B.FAILED, _S.CANCEL: _B.CANCELLED},
    _B.SUCCEEDED: {},
    _B.FAILED: {},
    _B.CANCELLED: {},
}
_RELEASE: Final[Mapping[ReleaseState, Mapping[Signal, ReleaseState]]] = {
    _L.PENDING: {_S.SUCCEED: _L.SUCCEEDED, _S.FAIL: _L.FAILED, _S.CANCEL: _L.FAILED},
    _L.SUCCEEDED: {_S.EXPIRE: _L.EXPIRED},
    _L.FAILED: {_S.EXPIRE: _L.EXPIRED},
    _L.EXPIRED: {},
}
_TARGET: Final[Mapping[TargetState, Mapping[Signal, TargetState]]] = {
    _T.PENDING: {_S.SUCCEED: _T.SUCCEEDED, _S.FAIL: _T.FAILED, _S.CANCEL: _T.FAILED},
    _T.SUCCEEDED: {},
    _T.FAILED: {},
}
_ONE_OFF: Final[Mapping[OneOffState, Mapping[Signal, OneOffState]]] = {
    _O.STARTING: {_S.START: _O.UP, _S.SUCCEED: _O.ENDED, _S.FAIL: _O.FAILED},
    _O.UP: {_S.SUCCEED: _O.ENDED, _S.FAIL: _O.FAILED},
    _O.ENDED: {},
    _O.FAILED: {},
}

LONGEST_COMMAND: Final = timedelta(hours=1)
"""A release or postdeploy script that takes longer is ended."""
# One deploy after the other: fetch, build, release script, postdeploy script; and an engine, a GitHub or a key that is
# in trouble meanwhile, and is waited for.
_FETCH: Final = timedelta(minutes=30)
_BUILD: Final = timedelta(minutes=15)
_TROUBLE: Final = timedelta(hours=2)
_BUILDS: Final = _FETCH + _BUILD + _TROUBLE
_RUNS: Final = _BUILDS + 2 * LONGEST_COMMAND
_WAITS: Final = timedelta(days=1)
_LIMITS: Final[Mapping[type[AnyState], Mapping[str, Limit]]] = {
    ReviewState: {
        _R.WAITING: Limit(age=timedelta(days=90), signal=_S.SKIP),
        _R.CREATING: Limit(age=_RUNS, signal=_S.FAIL),
        _R.DESTROYING: Limit(age=timedelta(hours=1), signal=_S.DESTROY),  # tried again: nothing may be stranded
    },
    AppState: {_A.DESTROYING: Limit(age=timedelta(hours=1), signal=_S.DESTROY)},
    RequestState: {
        _Q.QUEUED: Limit(age=_WAITS, signal=_S.FAIL),
        _Q.RUNNING: Limit(age=_RUNS, signal=_S.FAIL),
    },
    BuildState: {_B.PENDING: Limit(age=_BUILDS, signal=_S.FAIL)},
    # From when they are asked for: as long as their request may wait and then run.
    ReleaseState: {_L.PENDING: Limit(age=_WAITS + _RUNS, signal=_S.FAIL)},
    TargetState: {_T.PENDING: Limit(age=_WAITS + _RUNS, signal=_S.FAIL)},
    # The engine ends what has run its time; a worker that was away for long is given a while to read how.
    OneOffState: {
        _O.STARTING: Limit(age=timedelta(minutes=10), signal=_S.FAIL),
        _O.UP: Limit(age=timedelta(seconds=LONGEST) + _TROUBLE, signal=_S.FAIL),
    },
}
# By type first: members of two StrEnums with one text are equal, and `destroying` is a state of two machines.
_MACHINES: Final[Mapping[type[AnyState], Mapping[Any, Mapping[Signal, Any]]]] = {
    ReviewState: _REVIEW,
    AppState: _APP,
    RequestState: _REQUEST,
    BuildState: _BUILD_STATES,
    ReleaseState: _RELEASE,
    TargetState: _TARGET,
    OneOffState: _ONE_OFF,
}


def advance(state: State, signal: Signal) -> State:
    """The state after `signal`; what cannot happen is a bug and is raised."""
    after: State | None = _MACHINES[type(state)][state].get(signal)
    if after is None:
        raise ImpossibleTransition(f"{type(state).__name__} {state.value} cannot {signal.value}")
    return after


def can(state: AnyState, signal: Signal) -> bool:
    """Whether `advance` would yield a state."""
    return signal in _MACHINES[type(state)][state]


def signal_to(state: State, wanted: State) -> Signal:
    """The signal that leads from one state to another, for a decision that names the state it wants."""
    for signal, after in _MACHINES[type(state)][state].items():
        if after == wanted:
            return signal
    raise ImpossibleTransition(f"{type(state).__name__} {state.value} cannot become {wanted.value}")


def limit(state: AnyState) -> Limit | None:
    """How long the state may last; None for one in which a thing may rest."""
    return _LIMITS[type(state)].get(state)


def is_final(state: AnyState) -> bool:
    """Whether nothing can come after it but a new reason."""
    return all(after == state for after in _MACHINES[type(state)][state].values())
