"""What decides about a promotion that is all or nothing, and about undoing one: its targets and their fate."""

from sqlalchemy import Connection, RowMapping, and_, or_, select

from service.domain.decisions import ReleaseSlug
from service.domain.deploys import BUILDS
from service.domain.model import AppState, Release, ReleaseState, RequestState
from service.domain.promotion import TargetView
from service.store import promotions, rows
from service.store.releases import as_release
from service.store.tables import apps, promotion_targets, releases, requests

_BROUGHT = (*BUILDS, ReleaseSlug.__name__)
"""What brings code and, when it fails, leaves nothing behind."""


def together(conn: Connection, request_id: str) -> list[TargetView]:
    """The targets of the promotion that a request serves, if that is all or nothing; else none."""
    target = promotions.target_of_request(conn, request_id)
    whole = target is not None and promotions.is_whole(conn, target.promotion_id)
    return of_promotion(conn, target.promotion_id) if whole and target is not None else []


def of_promotion(conn: Connection, promotion_id: str) -> list[TargetView]:
    """A promotion's targets, by the names of their apps."""
    back = requests.alias("back")
    query = (
        select(
            promotion_targets,
            apps.c.name.label("app_name"),
            apps.c.state.label("app_state"),
            requests.c.state.label("request_state"),
            requests.c.outcome,
            back.c.state.label("back_state"),
            back.c.outcome.label("back_outcome"),
            releases.c.version,
        )
        .join(apps, apps.c.id == promotion_targets.c.app_id)
        .join(requests, requests.c.id == promotion_targets.c.request_id)
        .outerjoin(back, back.c.id == promotion_targets.c.back_request_id)
        .outerjoin(releases, releases.c.request_id == promotion_targets.c.request_id)
        .where(promotion_targets.c.promotion_id == promotion_id)
        .order_by(apps.c.name)
    )
    return [_view(conn, row) for row in conn.execute(query).mappings().all()]


def _view(conn: Connection, row: RowMapping) -> TargetView:
    state, version = RequestState(row["request_state"]), row["version"]
    # Where it did not go live, nobody asks what was there before and since.
    is_live = state is RequestState.SUCCEEDED and version is not None
    return TargetView(
        target=promotions.as_target(row),
        app_name=row["app_name"],
        gone=row["app_state"] in {AppState.GONE, AppState.DESTROYING},
        request=state,
        outcome=row["outcome"],
        version=version,
        former=_former(conn, row["app_id"], version) if is_live else None,
        later=_later(conn, row["app_id"], version) if is_live else None,
        back=None if row["back_state"] is None else RequestState(row["back_state"]),
        back_outcome=row["back_outcome"] or "",
    )


def _former(conn: Connection, app_id: str, version: int) -> Release | None:
    """What the app ran before that number, even if it has expired."""
    once = and_(releases.c.state == ReleaseState.EXPIRED, releases.c.error == "")
    ran = or_(releases.c.state == ReleaseState.SUCCEEDED, once)
    query = select(releases).where(releases.c.app_id == app_id, releases.c.version < version, ran)
    row = rows.one(conn, query.order_by(releases.c.version.desc()).limit(1))
    return as_release(row) if row else None


def _later(conn: Connection, app_id: str, version: int) -> Release | None:
    """The newest that the app was given after that number; code that did not come up does not count."""
    in_vain = and_(releases.c.state == ReleaseState.FAILED, requests.c.kind.in_(_BROUGHT))
    query = (
        select(releases)
        .join(requests, requests.c.id == releases.c.request_id)
        .where(releases.c.app_id == app_id, releases.c.version > version, ~in_vain)
    )
    row = rows.one(conn, query.order_by(releases.c.version.desc()).limit(1))
    return as_release(row) if row else None
