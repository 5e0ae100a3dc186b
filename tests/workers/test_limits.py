"""No limit ends what another limit allows: a thing may last as long as everything it consists of."""

from dataclasses import fields
from datetime import timedelta

import pytest

from service.domain.lifecycle import AnyState, limit
from service.domain.model import BuildState, ReleaseState, RequestState, ReviewState, TargetState
from workers.builds.builder import Order
from workers.builds.source import Source
from workers.jobs.release import COMMAND_SECONDS
from workers.jobs.work import LONGEST_REST, MAX_ATTEMPTS
from workers.main import JOB_SECONDS


def default(of: type, name: str) -> timedelta:
    (field,) = (each for each in fields(of) if each.name == name)
    return timedelta(seconds=field.default)


def age(state: AnyState) -> timedelta:
    bound = limit(state)
    assert bound is not None
    return bound.age


FETCH = 2 * default(Source, "fetch_seconds")  # the repository's own and a buildpack's
BUILD = default(Order, "seconds")
COMMAND = timedelta(seconds=COMMAND_SECONDS)
TROUBLE = timedelta(seconds=MAX_ATTEMPTS * LONGEST_REST)
DEPLOY = FETCH + BUILD + 2 * COMMAND + TROUBLE


@pytest.mark.parametrize(
    ("whole", "parts"),
    [
        pytest.param(age(BuildState.PENDING), FETCH + BUILD + TROUBLE, id="a build fetches, builds and is tried again"),
        pytest.param(age(RequestState.RUNNING), DEPLOY, id="a request runs a build and two scripts of an hour each"),
        pytest.param(
            age(RequestState.RUNNING), age(BuildState.PENDING) + 2 * COMMAND, id="a request outlasts its build"
        ),
        pytest.param(age(ReviewState.CREATING), age(RequestState.RUNNING), id="a review app is made by a request"),
        pytest.param(
            age(ReleaseState.PENDING),
            age(RequestState.QUEUED) + age(RequestState.RUNNING),
            id="a release waits with its request and runs with it",
        ),
        pytest.param(
            age(TargetState.PENDING),
            age(RequestState.QUEUED) + age(RequestState.RUNNING),
            id="a promotion's target waits with its request and runs with it",
        ),
        pytest.param(
            timedelta(seconds=JOB_SECONDS), age(RequestState.RUNNING), id="a job of the queue works a request"
        ),
    ],
)
def test_what_something_consists_of_fits_into_its_limit(whole: timedelta, parts: timedelta) -> None:
    assert whole >= parts
