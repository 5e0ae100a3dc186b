"""Which apps a promotion goes to, and the words that say why it cannot."""

from dataclasses import replace
from typing import Any

import pytest

from service.domain.errors import Refused
from service.domain.model import (
    AppId,
    PromotionId,
    PromotionTarget,
    ReleaseState,
    RequestId,
    Stage,
    TargetId,
    TargetState,
)
from service.domain.promotion import (
    Member,
    PromotionRequest,
    PromotionStatus,
    describe,
    downstream,
    resolve,
    status,
)
from tests.domain.things import app, pipeline, release


def member(name: str, stage: Stage) -> Member:
    return Member(app=app(name), stage=stage)


DEV = member("shop-dev", Stage.DEVELOPMENT)
STAGING = member("shop-staging", Stage.STAGING)
PROD, PROD_EU = member("shop", Stage.PRODUCTION), member("shop-eu", Stage.PRODUCTION)
REVIEW = member("shop-pr-5", Stage.REVIEW)


def wish(**changes: Any) -> PromotionRequest:
    whole = PromotionRequest(
        pipeline=pipeline(),
        members=(DEV, STAGING, PROD, PROD_EU, REVIEW),
        source="shop-staging",
        to=None,
        release=release(),
    )
    return replace(whole, **changes)


def names(request: PromotionRequest) -> list[str]:
    return [target.name for target in resolve(request).targets]


@pytest.mark.parametrize(
    ("stage", "after"),
    [
        (Stage.DEVELOPMENT, Stage.STAGING),
        (Stage.STAGING, Stage.PRODUCTION),
        (Stage.PRODUCTION, None),
        (Stage.REVIEW, None),
        (Stage.TEST, None),
    ],
)
def test_downstream_is_the_next_stage_by_name(stage: Stage, after: Stage | None) -> None:
    assert downstream(stage) is after


def test_all_apps_of_the_next_stage_are_the_targets() -> None:
    assert names(wish()) == ["shop", "shop-eu"]


def test_the_source_may_be_named_by_id() -> None:
    assert names(wish(source=STAGING.app.id)) == ["shop", "shop-eu"]


def test_any_other_app_of_the_pipeline_may_be_named_even_backwards() -> None:
    assert names(wish(to=(" shop-dev ", "", PROD.app.id, "shop"))) == ["shop-dev", "shop"]


def test_a_review_app_may_be_promoted_to_a_named_app() -> None:
    request = wish(source="shop-pr-5", to=("shop-staging",), release=release(app_id=REVIEW.app.id))
    assert names(request) == ["shop-staging"]


def test_the_release_is_pinned_and_told() -> None:
    resolved = resolve(wish())
    assert resolved.release == release()
    assert describe(resolved) == "Promote shop-staging v12 aaaaaaaa"
    assert describe(replace(resolved, release=release(commit=None))) == "Promote shop-staging v12"


REFUSALS = [
    ("production has nothing after it", wish(source="shop"), "Cannot promote shop from 'production' stage"),
    ("review has nothing after it", wish(source="shop-pr-5"), "Cannot promote shop-pr-5 from 'review' stage"),
    (
        "the next stage is empty: it is not jumped over",
        wish(source="shop-dev", members=(DEV, PROD)),
        "Cannot promote from shop-dev as there are no downstream apps in staging stage",
    ),
    ("the source is not in the pipeline", wish(source="other"), "Cannot find app other"),
    ("a target is not in the pipeline", wish(to=("shop", "other")), "Cannot find app other"),
    ("to itself by name", wish(to=("shop-staging",)), "Cannot promote shop-staging to itself"),
    ("to itself by id", wish(to=(STAGING.app.id,)), "Cannot promote shop-staging to itself"),
    ("to nothing", wish(to=(" ", "")), "Name at least one app to promote to."),
    ("never released", wish(release=None), "shop-staging has nothing to promote: it has no release yet"),
    ("a release there is not", wish(release=None, release_asked="v99"), "shop-staging has no release v99"),
    (
        "a release of another app",
        wish(release=release(app_id=AppId("x")), release_asked="v12"),
        "shop-staging has no release v12",
    ),
    (
        "an expired release",
        wish(release=release(state=ReleaseState.EXPIRED)),
        "Release v12 of shop-staging is expired and cannot be promoted",
    ),
    (
        "a release whose slug was cleared away",
        wish(slug_kept=False),
        "Release v12 of shop-staging is expired and cannot be promoted",
    ),
    (
        "a failed release",
        wish(release=release(state=ReleaseState.FAILED)),
        "Release v12 of shop-staging is failed: only a release that succeeded can be promoted",
    ),
    (
        "a release that is not done",
        wish(release=release(state=ReleaseState.PENDING)),
        "Release v12 of shop-staging is pending: only a release that succeeded can be promoted",
    ),
    (
        "a release without code",
        wish(release=release(slug_id=None)),
        "Release v12 of shop-staging has no slug: deploy to it first",
    ),
]


@pytest.mark.parametrize(("request_", "text"), [(r, t) for _, r, t in REFUSALS], ids=[s for s, _, _ in REFUSALS])
def test_refused(request_: PromotionRequest, text: str) -> None:
    with pytest.raises(Refused) as refused:
        resolve(request_)
    assert refused.value.message == text


def target(state: TargetState) -> PromotionTarget:
    return PromotionTarget(
        id=TargetId("t"),
        promotion_id=PromotionId("p"),
        app_id=PROD.app.id,
        request_id=RequestId("r"),
        release_id=None,
        state=state,
        error="",
    )


@pytest.mark.parametrize(
    ("states", "want", "heroku"),
    [
        (["pending", "pending"], PromotionStatus.PENDING, "pending"),
        (["pending", "failed"], PromotionStatus.PENDING, "pending"),
        (["succeeded", "succeeded"], PromotionStatus.COMPLETED, "completed"),
        (["succeeded", "failed"], PromotionStatus.PARTIAL, "completed"),
        (["failed", "failed"], PromotionStatus.FAILED, "completed"),
    ],
    ids=["none is done", "one is not done", "all went well", "some failed", "all failed"],
)
def test_the_whole_is_told_from_its_targets(states: list[str], want: PromotionStatus, heroku: str) -> None:
    whole = status([target(TargetState(state)) for state in states])
    assert whole is want
    assert whole.for_heroku == heroku
