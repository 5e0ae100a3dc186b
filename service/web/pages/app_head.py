"""What the pages of one app have in common: how it stands, where it belongs, and the tabs that one may open."""

from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web
from sqlalchemy import Connection

from service.domain import overview
from service.domain.access import Permission, Permissions
from service.domain.model import App, AppState
from service.domain.overview import Said
from service.shown import web_url
from service.store import app_pages
from service.store.app_pages import Place
from service.store.sight import to_app
from service.web import rights
from service.web.api.finding import Asked, find_app
from service.web.api.logs import MAY_READ
from service.web.keys import CONTEXT, VISITOR
from service.web.pages.rendering import page
from service.web.pages.signed_in import PATH

ONE: Final = f"{PATH}/apps/{{app}}"
RELEASES: Final = (Permission.DEPLOY, Permission.OPERATE)
"""What it takes to roll back and to see and change config vars."""
_TABS: Final = (
    ("activity", "Activity", "", ()),
    ("logs", "Logs", "/logs", MAY_READ),
    ("resources", "Resources", "/resources", ()),
    ("deploy", "Deploy", "/deploy", (Permission.DEPLOY,)),
    ("access", "Access", "/access", ()),
    ("settings", "Settings", "/settings", ()),
)
SEEN: Final = rights.page(rights.app())


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """An app as its pages begin, for one person."""

    app: App
    may: Permissions
    place: Place
    state: Said
    doing: tuple[Said, ...]
    url: str

    @property
    def path(self) -> str:
        """Where its pages are."""
        return path_of(self.app)

    def does(self, *any_of: Permission) -> bool:
        """Whether the person may do that to it now; once it is going, nobody does anything."""
        return self.app.state is not AppState.DESTROYING and not self.may.isdisjoint(any_of)

    @property
    def tabs(self) -> list[tuple[str, str, str]]:
        """Key, title and address of each page that the person may open."""
        return [(key, title, self.path + end) for key, title, end, takes in _TABS if not takes or self.may & {*takes}]


def path_of(app: App) -> str:
    """Where the pages of an app are."""
    return f"{PATH}/apps/{app.name}"


def asked_in(request: web.Request) -> Asked:
    """The app that the path names, for whoever looks."""
    return Asked(by=request[VISITOR].person, name=request.match_info["app"])


def head_of(conn: Connection, request: web.Request) -> Head:
    """Read how the app stands that the path names."""
    asked, settings = asked_in(request), request.app[CONTEXT].settings
    app = find_app(conn, asked)
    it = app_pages.place(conn, app)
    return Head(
        app=app,
        may=to_app(asked.by, app),
        place=it,
        state=overview.standing(app, it.engine_state, it.release),
        doing=tuple(overview.doing(queued, step) for queued, step in it.queue),
        url=web_url(settings, app.name, review=app.is_review) if it.release and app.state is AppState.ACTIVE else "",
    )


async def found(request: web.Request) -> App:
    """The app that the path names."""
    asked = asked_in(request)
    return await request.app[CONTEXT].db.read(lambda conn: find_app(conn, asked))


def app_page(
    template: str, request: web.Request, head: Head, *, tab: str, status: int = 200, **values: Any
) -> web.Response:
    """One of the app's pages."""
    return page(
        f"dashboard/app/{template}",
        status=status,
        visitor=request[VISITOR],
        head=head,
        app=head.app,
        tab=tab,
        now=request.app[CONTEXT].db.now(),
        **values,
    )


def to(path: str) -> web.Response:
    """Lead the browser to what a form has led to."""
    return web.Response(status=303, headers={"Location": path})
