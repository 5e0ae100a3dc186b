"""What a path names, found for whoever asks and checked against what the route takes."""

from collections.abc import Callable, Mapping
from typing import Final, assert_never

from sqlalchemy import Connection

from service.domain.access import Permissions, Person
from service.domain.errors import Refused
from service.store import sight
from service.web.api import finding
from service.web.api.finding import Asked
from service.web.rights import Of, Right


def _app(conn: Connection, asked: Asked) -> Permissions:
    return sight.to_app(asked.by, finding.find_app(conn, asked))


def _request(conn: Connection, asked: Asked) -> Permissions:
    return sight.to_app(asked.by, finding.find_request_app(conn, asked))


def _lock(conn: Connection, asked: Asked) -> Permissions:
    return finding.may_with_lock(conn, asked)


def _pipeline(conn: Connection, asked: Asked) -> Permissions:
    return sight.to_pipeline(conn, asked.by, finding.find_pipeline(conn, asked))


def _coupling(conn: Connection, asked: Asked) -> Permissions:
    return finding.may_with_coupling(conn, asked.by, finding.find_coupling(conn, asked))


def _review(conn: Connection, asked: Asked) -> Permissions:
    return finding.may_in_pipeline(conn, asked.by, finding.find_review(conn, asked).pipeline_id)


def _review_of(conn: Connection, asked: Asked) -> Permissions:
    return finding.may_in_pipeline(conn, asked.by, finding.find_review_of(conn, asked).pipeline_id)


def _promotion(conn: Connection, asked: Asked) -> Permissions:
    return finding.may_in_pipeline(conn, asked.by, finding.find_promotion(conn, asked).pipeline_id)


_FOUND_BY: Final[Mapping[Of, Mapping[str, Callable[[Connection, Asked], Permissions]]]] = {
    Of.APP: {"app": _app, "request": _request, "setup": _request, "lock": _lock},
    Of.PIPELINE: {"pipeline": _pipeline, "coupling": _coupling, "review": _review, "promotion": _promotion},
    Of.REVIEW: {"review": _review, "app": _review_of},
}
"""What a part of a path names, by its name there; a route names one of these."""


def check_path(conn: Connection, by: Person, right: Right, path: Mapping[str, str]) -> None:
    """Refuse a person who may not do what the route takes; what they may not see is not there (404)."""
    match right.of:
        case Of.OPEN | Of.CALLER | Of.BODY:
            return
        case Of.ADMIN:
            if not by.is_admin:
                raise Refused("It takes an administrator of this installation.", code="forbidden")
        case Of.TEAM:
            role = by.role(finding.find_team(conn, Asked(by=by, name=path["team"])).id)
            if role not in right.roles:
                raise Refused(f"It takes to be {' or '.join(sorted(right.roles))} in the team.", code="forbidden")
        case Of.APP | Of.PIPELINE | Of.REVIEW:
            known = _FOUND_BY[right.of]
            (part,) = known.keys() & path.keys()
            may = known[part](conn, Asked(by=by, name=path[part]))
            finding.check_may(may, *right.permissions)
        case _:
            assert_never(right.of)
