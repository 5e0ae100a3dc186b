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
    RequestState,
    Stage,
    TargetId,
    TargetState,
)
from service.domain.promotion import (
    Finish,
    Member,
    PromotionRequest,
    PromotionStatus,
    PutBack,
    TargetView,
    awaited,
    called_off,
    describe,
    downstream,
    resolve,
    settle,
    status,
    undo,
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
        "a source whose builds hold its config vars",
        wish(members=(Member(app=app("shop-staging", promotable=False), stage=Stage.STAGING), PROD, PROD_EU)),
        (
            "shop-staging is not promotable: its builds hold its own config vars, so its slug is good for no other app. "
            "Deploy from git instead: towpath deploy -a shop and towpath deploy -a shop-eu"
        ),
    ),
    (
        "a target whose builds hold its config vars",
        wish(members=(STAGING, PROD, Member(app=app("shop-eu", promotable=False), stage=Stage.PRODUCTION))),
        (
            "shop-eu is not promotable: its builds hold its own config vars, so no slug of another app is good for it. "
            "Deploy it from git instead: towpath deploy -a shop-eu"
        ),
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


def test_a_target_that_is_not_promotable_hinders_no_promotion_to_others() -> None:
    members = (STAGING, PROD, Member(app=app("shop-eu", promotable=False), stage=Stage.PRODUCTION))
    assert names(wish(members=members, to=("shop",))) == ["shop"]


# All or nothing, and the way back

S, F, Q, R, C = (RequestState(each) for each in ("succeeded", "failed", "queued", "running", "cancelled"))
OVER = {S: TargetState.PENDING, F: TargetState.FAILED, C: TargetState.FAILED}
FORMER = release(version=4)


def seen(name: str, request: RequestState = S, **changes: Any) -> TargetView:
    """A target of a promotion to v5 of an app that ran v4."""
    of_target = {each: changes.pop(each) for each in ("state", "prepared") if each in changes}
    own = replace(target(OVER.get(request, TargetState.PENDING)), id=TargetId(f"to {name}"), **of_target)
    whole = TargetView(
        target=own,
        app_name=name,
        gone=False,
        request=request,
        outcome="the release command failed" if request is F else "",
        version=5,
        former=FORMER,
        later=None,
    )
    return replace(whole, **changes)


FAILED_ON_EU = "the promotion failed on shop-eu"
EU_FAILED = seen("shop-eu", F)
TOGETHER: list[tuple[str, list[TargetView], list[tuple[str, str]]]] = [
    ("both are on their way", [seen("shop", Q), seen("shop-eu", R)], []),
    ("one is live, the other on its way", [seen("shop"), seen("shop-eu", R)], []),
    ("both are live", [seen("shop"), seen("shop-eu")], [("shop", "succeeded: "), ("shop-eu", "succeeded: ")]),
    ("all is over", [seen("shop", state=TargetState.SUCCEEDED), seen("shop-eu", state=TargetState.SUCCEEDED)], []),
    ("one failed, the other is live", [seen("shop"), EU_FAILED], [("shop", f"back to v4: {FAILED_ON_EU}")]),
    ("one failed, the other is on its way", [seen("shop", R), EU_FAILED], []),
    ("one was cancelled with its app", [seen("shop"), seen("shop-eu", C)], [("shop", f"back to v4: {FAILED_ON_EU}")]),
    ("both failed", [seen("shop", F), EU_FAILED], []),
    ("it is going back", [seen("shop", back=R), EU_FAILED], []),
    ("it went back", [seen("shop", back=S), EU_FAILED], [("shop", f"failed: put back to v4: {FAILED_ON_EU}")]),
    (
        "it could not go back",
        [seen("shop", back=F, back_outcome="nobody answers"), EU_FAILED],
        [("shop", f"failed: could not be put back to v4 (nobody answers) and still runs v5: {FAILED_ON_EU}")],
    ),
    ("it went back and that is noted", [seen("shop", back=S, state=TargetState.FAILED), EU_FAILED], []),
    (
        "something was released since",
        [seen("shop", later=release(version=6, description="Set A")), EU_FAILED],
        [("shop", f"failed: stays at v5 although {FAILED_ON_EU}: v6 came after it (Set A)")],
    ),
    (
        "it ran nothing before",
        [seen("shop", former=None), EU_FAILED],
        [("shop", f"failed: stays at v5 although {FAILED_ON_EU}: it ran nothing before")],
    ),
    (
        "what it ran before is expired",
        [seen("shop", former=release(version=4, state=ReleaseState.EXPIRED)), EU_FAILED],
        [("shop", f"failed: stays at v5 although {FAILED_ON_EU}: v4, which it ran before, is expired")],
    ),
    (
        "it is gone",
        [seen("shop", gone=True), EU_FAILED],
        [("shop", f"failed: stays at v5 although {FAILED_ON_EU}: it is gone")],
    ),
    (
        "two failed",
        [seen("shop"), EU_FAILED, seen("shop-us", F)],
        [("shop", "back to v4: the promotion failed on shop-eu and shop-us")],
    ),
    (
        "it failed and nobody noted it",
        [seen("shop"), seen("shop-eu", F, state=TargetState.PENDING)],
        [("shop", f"back to v4: {FAILED_ON_EU}"), ("shop-eu", "failed: the release command failed")],
    ),
]


def told(step: PutBack | Finish) -> tuple[str, str]:
    name = step.target.id.removeprefix("to ")
    match step:
        case PutBack(to=to, reason=reason):
            return name, f"back to v{to.version}: {reason.removeprefix(f'Rollback to v{to.version}: ')}"
        case Finish(state=state, error=error):
            return name, f"{state.value}: {error}"


@pytest.mark.parametrize(("views", "steps"), [row[1:] for row in TOGETHER], ids=[row[0] for row in TOGETHER])
def test_all_or_nothing_is_decided_from_what_became_of_each(
    views: list[TargetView], steps: list[tuple[str, str]]
) -> None:
    assert [told(step) for step in settle(views)] == steps
    assert sorted(told(step) for step in settle(views[::-1])) == sorted(
        (name, text.replace("shop-eu and shop-us", "shop-us and shop-eu")) for name, text in steps
    )


def test_nobody_goes_live_before_all_can_nor_after_one_has_failed() -> None:
    shop, other = seen("shop", R, prepared=True), seen("shop-eu", R)
    assert awaited([shop, other]) == ("shop-eu",)
    assert awaited([shop, seen("shop-eu", Q)]) == ("shop-eu",)
    assert awaited([shop, seen("shop-eu", R, prepared=True)]) == ()
    assert awaited([shop, seen("shop-eu")]) == ()
    assert called_off([shop, other], shop.target) == ""
    assert called_off([shop, EU_FAILED], EU_FAILED.target) == ""
    assert called_off([shop, EU_FAILED], shop.target) == (f"not released: {FAILED_ON_EU}, and it is all or nothing")


DONE = TargetState.SUCCEEDED
UNDOING = [
    ("promoted", seen("shop", state=DONE), 4, ""),
    ("still under way", seen("shop", R), None, "the promotion is still under way there"),
    ("failed there", EU_FAILED, None, "the promotion failed there, so there is nothing to undo"),
    ("given something since", seen("shop", state=DONE, later=release(version=6, description="Deploy b")), None, "v6 came after it (Deploy b)"),
    ("ran nothing before", seen("shop", state=DONE, former=None), None, "it ran nothing before"),
    ("had no code before", seen("shop", state=DONE, former=release(slug_id=None)), None, "it ran nothing before"),
    ("expired", seen("shop", state=DONE, former=release(version=4, state=ReleaseState.EXPIRED)), None, "v4, which it ran before, is expired"),
    ("gone", seen("shop", state=DONE, gone=True), None, "it is gone"),
]  # fmt: skip


@pytest.mark.parametrize(("view", "version", "why"), [row[1:] for row in UNDOING], ids=[row[0] for row in UNDOING])
def test_undoing_goes_back_to_what_ran_before_unless_anything_came_since(
    view: TargetView, version: int | None, why: str
) -> None:
    (way,) = undo([view])
    assert (way.to.version if way.to else None, way.why) == (version, why)
    assert way.is_refused is (version is None and view.target.state is not TargetState.FAILED)
