"""What was done to an app: releases, builds, config changes and the rest of its queue, and the way back."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from aiohttp import web
from sqlalchemy import Connection

from service.domain import overview
from service.domain.deploys import BUILDS
from service.domain.errors import Refused
from service.domain.model import Release, ReleaseState, RequestState
from service.domain.overview import Said
from service.store import app_pages, apps, releases
from service.store.app_pages import Happened
from service.web import rights
from service.web.api.finding import find_release
from service.web.keys import CONTEXT, VISITOR
from service.web.pages.app_head import ONE, RELEASES, SEEN, Head, app_page, found, head_of, path_of, to
from service.web.pages.signed_in import form_of

_EACH: Final = 30
_DIGITS: Final = 18
"""No number with more of them is in the database, nor fits into it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Something that was asked of the app, as it is told; paths are empty where there is nothing to go to."""

    title: str
    state: Said
    version: int | None
    runs: bool
    who: str
    why: str
    outcome: str
    commit: str
    at: datetime
    build_path: str
    release_path: str
    rollback_path: str


async def activity(request: web.Request) -> web.Response:
    """GET /dashboard/apps/APP: newest first, from before `?before=` on."""
    before = request.query.get("before", "")
    start = int(before) if before.isascii() and before.isdecimal() and len(before) <= _DIGITS else None

    def read(conn: Connection) -> tuple[Head, list[Happened]]:
        head = head_of(conn, request)
        return head, app_pages.happened(conn, head.app.id, before=start, most=_EACH + 1)

    head, listed = await request.app[CONTEXT].db.read(read)
    return app_page(
        "activity.html",
        request,
        head,
        tab="activity",
        lines=[line_of(head, each) for each in listed[:_EACH]],
        more=listed[_EACH - 1].seq if len(listed) > _EACH else None,
        is_first=start is None,
    )


def line_of(head: Head, it: Happened) -> Line:
    """How something is told to whoever sees the head."""
    release, title = it.release, title_of(it)
    # What is about to be built can be looked at, too: its page goes on by itself.
    is_built = it.has_build or (it.kind in BUILDS and it.state in {RequestState.QUEUED, RequestState.RUNNING})
    return Line(
        title=title,
        state=overview.became(it.state, it.step),
        version=release.version if release else None,
        runs=release is not None and release.id == head.app.current_release_id,
        who=it.actor.removeprefix("user:"),
        why=it.reason if it.reason.casefold() not in {title.casefold(), it.kind.casefold(), ""} else "",
        outcome="" if it.state is RequestState.SUCCEEDED else it.outcome or (release.error if release else ""),
        commit=(it.sha or (release.commit if release else None) or "")[:7],
        at=it.at,
        build_path=f"{head.path}/builds/{it.id}" if is_built else "",
        release_path=f"{head.path}/releases/v{release.version}" if release and it.speaks else "",
        rollback_path=_way_back(head, release),
    )


def title_of(it: Happened) -> str:
    """What was done, in a few words."""
    if it.formation:
        return "Scale " + ", ".join(f"{each} to {number}" for each, number in sorted(it.formation.items()))
    said = (it.release.description if it.release else "") or it.reason or overview.work_in_words(it.kind)
    return said[:1].upper() + said[1:]


def _is_good(release: Release) -> bool:
    return release.state is ReleaseState.SUCCEEDED and release.slug_id is not None


def _way_back(head: Head, release: Release | None) -> str:
    """Where one rolls back to a release, if there is a way back to it and the person may go it."""
    if release is None or not head.does(*RELEASES) or release.id == head.app.current_release_id:
        return ""
    return f"{head.path}/releases/v{release.version}/rollback" if _is_good(release) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """The names of the config vars that a rollback brings back, takes away, and gives their former value."""

    back: list[str]
    away: list[str]
    former: list[str]


async def confirm(request: web.Request) -> web.Response:
    """GET /dashboard/apps/APP/releases/RELEASE/rollback: what it would change."""
    vault = request.app[CONTEXT].vault

    def read(conn: Connection) -> tuple[Head, Release, Changes]:
        head = head_of(conn, request)
        release = find_release(conn, head.app, request.match_info["release"])
        then, now = releases.config(conn, vault, release.id), apps.config(conn, vault, head.app.id)
        return head, release, _changes(then, now)

    head, release, changes = await request.app[CONTEXT].db.read(read)
    if not _is_good(release):
        text = "it did not succeed, has no slug, or its slug is no longer kept"
        raise Refused(f"There is no way back to v{release.version} of {head.app.name}: {text}.")
    return app_page("rollback.html", request, head, tab="activity", release=release, changes=changes)


def _changes(then: dict[str, str], now: dict[str, str]) -> Changes:
    return Changes(
        back=sorted(then.keys() - now.keys()),
        away=sorted(now.keys() - then.keys()),
        former=sorted(key for key in then.keys() & now.keys() if then[key] != now[key]),
    )


async def roll_back(request: web.Request) -> web.Response:
    """POST /dashboard/apps/APP/releases/RELEASE/rollback: a new release with that one's code and config."""
    context, form, app = request.app[CONTEXT], await form_of(request), await found(request)
    release = await context.db.read(lambda conn: find_release(conn, app, request.match_info["release"]))
    await context.enactor.rollback(
        app_id=app.id,
        release_id=release.id,
        keep_config=form.get("keep_config") == "on",
        actor=request[VISITOR].actor,
    )
    return to(path_of(app))


_RELEASE: Final = f"{ONE}/releases/{{release}}"
ROUTES = [
    rights.get(ONE, activity, SEEN),
    rights.get(f"{_RELEASE}/rollback", confirm, rights.page(rights.app(*RELEASES))),
    rights.post(f"{_RELEASE}/rollback", roll_back, rights.page(rights.app(*RELEASES))),
]
