"""How things are named in a path or a body: by id or by name; what is missing answers 404, and what is foreign too.

Nothing is found but for somebody: each look-up takes who is asking, and with `needed` what they want to do with it.
"""

import re
from dataclasses import dataclass

from aiohttp import web
from sqlalchemy import Connection

from service.domain.access import Owner, Permission, Permissions, Person, TeamRole, for_new_code
from service.domain.errors import Refused
from service.domain.model import App, Coupling, Pipeline, Promotion, Release, ReviewApp
from service.domain.review_rules import OVER
from service.store import apps, deploy_locks, pipelines, promotions, releases, requests, reviews, sight, teams, users
from service.web.api import bodies
from service.web.errors import not_found
from service.web.keys import CALLER

_VERSION = re.compile(r"v?(\d{1,9})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What somebody calls a thing: an id or a name."""

    by: Person
    name: str


def in_path(request: web.Request, part: str) -> Asked:
    """What the path says there."""
    return Asked(by=request[CALLER].person, name=request.match_info[part])


def app_in_path(request: web.Request) -> Asked:
    """Read the app's id or name from the path."""
    return in_path(request, "app")


def pipeline_in_path(request: web.Request) -> Asked:
    """Read the pipeline's id or name from the path."""
    return in_path(request, "pipeline")


def in_body(request: web.Request, reference: bodies.Identity) -> Asked:
    """What a body says."""
    return Asked(by=request[CALLER].person, name=bodies.identity(reference))


def check_may(may: Permissions, *any_of: Permission) -> None:
    """Refuse whoever has none of these, if any is asked for."""
    if any_of and not may & frozenset(any_of):
        wanted = " or ".join(each.value for each in Permission if each in any_of)
        raise Refused(f"You do not have the permission for this; it takes {wanted}.", code="forbidden")


def find_app(conn: Connection, asked: Asked, *needed: Permission) -> App:
    """Find an app by id or name; refuses who has none of `needed` there."""
    app = apps.find(conn, asked.name)
    if app is None or Permission.VIEW not in (may := sight.to_app(asked.by, app)):
        raise not_found("app")
    check_may(may, *needed)
    return app


def find_app_for_code(conn: Connection, asked: Asked) -> App:
    """Find an app by id or name; refuses who may not bring new code to it where it stands."""
    app = find_app(conn, asked)
    for needed in for_new_code(sight.stage_of(conn, app)):
        check_may(sight.to_app(asked.by, app), needed)
    return app


def find_pipeline(conn: Connection, asked: Asked, *needed: Permission) -> Pipeline:
    """Find a pipeline by id or name; names are not unique, so an ambiguous one is refused."""
    named = pipelines.find(conn, asked.name)
    may = sight.to_pipelines(conn, asked.by, named)
    match [pipeline for pipeline in named if Permission.VIEW in may[pipeline.id]]:
        case []:
            raise not_found("pipeline")
        case [pipeline]:
            check_may(may[pipeline.id], *needed)
            return pipeline
        case found:
            ids = ", ".join(pipeline.id for pipeline in found)
            raise Refused(f"{len(found)} pipelines are named {asked.name}; use the id of one: {ids}")


def may_in_pipeline(conn: Connection, by: Person, pipeline_id: str) -> Permissions:
    """What somebody may do in the pipeline of an id; nothing where there is none."""
    pipeline = pipelines.get(conn, pipeline_id)
    return frozenset() if pipeline is None else sight.to_pipeline(conn, by, pipeline)


def may_with_coupling(conn: Connection, by: Person, coupling: Coupling) -> Permissions:
    """What somebody may do with an app's place in a pipeline: whoever manages either may change it."""
    app = apps.get(conn, coupling.app_id)
    on_app = sight.to_app(by, app) if app else frozenset()
    return may_in_pipeline(conn, by, coupling.pipeline_id) | (on_app & {Permission.MANAGE})


def find_coupling(conn: Connection, asked: Asked) -> Coupling:
    """Find a coupling by id."""
    coupling = pipelines.coupling(conn, asked.name)
    if coupling is None or Permission.VIEW not in may_in_pipeline(conn, asked.by, coupling.pipeline_id):
        raise not_found("pipeline coupling")
    return coupling


def find_release(conn: Connection, app: App, identity: str) -> Release:
    """Find one of the app's releases by id, number (`3`, `v3`) or `current`."""
    release = None
    if identity == "current":
        release = releases.get(conn, app.current_release_id) if app.current_release_id else None
    elif version := _VERSION.fullmatch(identity):
        release = releases.by_version(conn, app.id, int(version[1]))
    else:
        release = releases.get(conn, identity)
    if release is None or release.app_id != app.id:
        raise not_found("release")
    return release


def find_review(conn: Connection, asked: Asked) -> ReviewApp:
    """Find a review app by id."""
    review = reviews.get(conn, asked.name)
    if review is None or Permission.VIEW not in may_in_pipeline(conn, asked.by, review.pipeline_id):
        raise not_found("review app")
    return review


def find_review_of(conn: Connection, asked: Asked) -> ReviewApp:
    """Find the review app that an app is, by the app's id or name; there is none once it is over."""
    review = reviews.of_app(conn, find_app(conn, asked).id)
    if review is None or review.state in OVER:
        raise not_found("review app")
    return review


def find_promotion(conn: Connection, asked: Asked) -> Promotion:
    """Find a promotion by id."""
    promotion = promotions.get(conn, asked.name)
    if promotion is None or Permission.VIEW not in may_in_pipeline(conn, asked.by, promotion.pipeline_id):
        raise not_found("pipeline promotion")
    return promotion


def find_request_app(conn: Connection, asked: Asked) -> App:
    """Find the app that a request was made of, by the request's id."""
    request = requests.get(conn, asked.name)
    app = apps.get(conn, request.app_id) if request else None
    if app is None or Permission.VIEW not in sight.to_app(asked.by, app):
        raise not_found("request")
    return app


def may_with_lock(conn: Connection, asked: Asked) -> Permissions:
    """What somebody may do with a deploy lock, by its id: what they may do to what it locks."""
    lock = deploy_locks.get(conn, asked.name)
    may: Permissions = frozenset()
    if lock is not None and lock.app_id is not None:
        app = apps.get(conn, lock.app_id)
        may = sight.to_app(asked.by, app) if app else may
    elif lock is not None and lock.pipeline_id is not None:
        may = may_in_pipeline(conn, asked.by, lock.pipeline_id)
    if Permission.VIEW not in may:
        raise not_found("deploy lock")
    return may


def find_team(conn: Connection, asked: Asked) -> teams.Team:
    """Find a team by id or name."""
    team = teams.find(conn, asked.name)
    if team is None or asked.by.role(team.id) is None:
        raise not_found("team")
    return team


def find_user(conn: Connection, asked: Asked) -> users.User:
    """Find a user by id or address, oneself by `~`: one sees those of one's teams, an administrator all."""
    user = users.find(conn, asked.by.id if asked.name == "~" else asked.name)
    if user is None or not (asked.by.is_admin or user.id == asked.by.id or _together(conn, asked.by, user)):
        raise not_found("account")
    return user


def owner_to_be(conn: Connection, by: Person, team: Asked | None) -> Owner:
    """Whose a new app or pipeline is to be: the person's, or a team's of which they are more than a guest."""
    if team is None:
        return Owner(type="user", id=by.id)
    found = find_team(conn, team)
    if by.role(found.id) not in {TeamRole.ADMIN, TeamRole.MEMBER}:
        raise Refused(
            f"It takes to be admin or member in the team {found.name} to make something its.", code="forbidden"
        )
    return Owner(type="team", id=found.id)


def _together(conn: Connection, by: Person, user: users.User) -> bool:
    return not by.teams.keys().isdisjoint(teams.of_user(conn, user.id))
