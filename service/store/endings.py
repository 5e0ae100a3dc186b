"""What ends with a request: its build, its release and its promotion's target, in the same transaction."""

from datetime import datetime

from sqlalchemy import Connection, select

from service.domain.model import BuildState, Release, ReleaseState, RequestState, TargetState
from service.store import builds, promotions, releases, routes
from service.store.tables import requests


def end_with_request(
    conn: Connection, request_id: str, *, state: RequestState, outcome: str, now: datetime
) -> Release | None:
    """Bring what is still pending to what the request's end means for it; returns the release, if there is one."""
    succeeded = state is RequestState.SUCCEEDED
    if not succeeded:
        app_id = conn.execute(select(requests.c.app_id).where(requests.c.id == request_id)).scalar_one()
        routes.withdraw(conn, app_id=app_id)
    error = "" if succeeded else outcome
    build = builds.of_request(conn, request_id)
    if build is not None and build.state is BuildState.PENDING:
        ended = BuildState.FAILED if state is RequestState.FAILED else BuildState.CANCELLED
        builds.finish(conn, build_id=build.id, state=ended, slug_id=None, error=error, now=now)
    release = releases.of_request(conn, request_id)
    if release is not None and release.state is ReleaseState.PENDING:
        final = ReleaseState.SUCCEEDED if succeeded else ReleaseState.FAILED
        releases.finish(conn, release_id=release.id, state=final, error=error, now=now)
    target = promotions.target_of_request(conn, request_id)
    if target is not None and target.state is TargetState.PENDING:
        if succeeded and promotions.is_whole(conn, target.promotion_id):
            return release  # it ends with the others: one that fails puts this one back
        promotions.finish_target(
            conn,
            target_id=target.id,
            state=TargetState.SUCCEEDED if succeeded else TargetState.FAILED,
            error=error,
            now=now,
        )
    return release
