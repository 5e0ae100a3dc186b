"""What promotions accept."""

from pydantic import Field, StrictBool

from service.web.api.bodies import Body, Identity


class PromotionSource(Body):
    """The app whose code is promoted, and which of its releases when not the current one."""

    app: Identity
    release: Identity | None = None


class PromotionTarget(Body):
    """An app to promote to."""

    app: Identity


class Promote(Body):
    """POST /pipeline-promotions. Without targets: every app of the next stage. The last two are Towpath's own."""

    pipeline: Identity
    source: PromotionSource
    targets: list[PromotionTarget] | None = Field(default=None, min_length=1, max_length=100)
    all_or_nothing: StrictBool = False
    override_lock: StrictBool = False


class Undo(Body):
    """POST /pipeline-promotions/PROMOTION/actions/undo. Without targets: all of them."""

    targets: list[PromotionTarget] | None = Field(default=None, min_length=1, max_length=100)
