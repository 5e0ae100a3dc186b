"""How things are named in a path or a body: by id or by name; what is missing answers 404."""

import re

from aiohttp import web
from sqlalchemy import Connection

from service.domain.errors import Refused
from service.domain.model import App, Coupling, Pipeline, Release, ReviewApp
from service.store import apps, pipelines, releases, reviews
from service.web.errors import not_found

_VERSION = re.compile(r"v?(\d{1,9})")


def app_in_path(request: web.Request) -> str:
    """Read the app's id or name from the path."""
    return request.match_info["app"]


def pipeline_in_path(request: web.Request) -> str:
    """Read the pipeline's id or name from the path."""
    return request.match_info["pipeline"]


def find_app(conn: Connection, identity: str) -> App:
    """Find an app by id or name."""
    app = apps.find(conn, identity)
    if app is None:
        raise not_found("app")
    return app


def find_pipeline(conn: Connection, identity: str) -> Pipeline:
    """Find a pipeline by id or name; names are not unique, so an ambiguous one is refused."""
    found = pipelines.find(conn, identity)
    match found:
        case []:
            raise not_found("pipeline")
        case [pipeline]:
            return pipeline
        case _:
            ids = ", ".join(pipeline.id for pipeline in found)
            raise Refused(f"{len(found)} pipelines are named {identity}; use the id of one: {ids}")


def find_coupling(conn: Connection, coupling_id: str) -> Coupling:
    """Find a coupling by id."""
    coupling = pipelines.coupling(conn, coupling_id)
    if coupling is None:
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


def find_review(conn: Connection, review_id: str) -> ReviewApp:
    """Find a review app by id."""
    review = reviews.get(conn, review_id)
    if review is None:
        raise not_found("review app")
    return review
