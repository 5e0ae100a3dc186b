"""The dashboard's first page: apps that stand alone, and pipelines with their apps, which are not listed again."""

from dataclasses import dataclass

from aiohttp import web

from service.domain import overview
from service.domain.model import App, Pipeline, Stage
from service.domain.overview import Said
from service.store import homes
from service.store.homes import Home
from service.web import rights
from service.web.keys import CONTEXT, VISITOR
from service.web.pages.cards import COLUMNS
from service.web.pages.rendering import page
from service.web.pages.signed_in import PATH


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """An app in one line."""

    name: str
    state: Said
    version: int | None
    commit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A pipeline with its apps by stage; of review apps only how many there are. `note` says how stages differ."""

    id: str
    name: str
    repository: str
    stages: list[tuple[str, list[Line]]]
    review_apps: int
    note: str


def _line(home: Home, app: App) -> Line:
    release = home.releases.get(app.id)
    return Line(
        name=app.name,
        state=overview.standing(app, home.engine_states.get(app.id, ""), release),
        version=release.version if release else None,
        commit=(release.commit or "")[:7] if release else "",
    )


def _entry(home: Home, pipeline: Pipeline, inside: list[tuple[App, Stage]]) -> Entry:
    by_stage = [
        (title, [_line(home, app) for app, its in inside if its is stage])
        for stage, title in COLUMNS.items()
        if stage is not Stage.REVIEW
    ]
    return Entry(
        id=pipeline.id,
        name=pipeline.name,
        repository=home.repositories.get(pipeline.repository_id or 0, ""),
        stages=[(title, lines) for title, lines in by_stage if lines],
        review_apps=sum(stage is Stage.REVIEW for _, stage in inside),
        note=_note(home, inside),
    )


def _note(home: Home, inside: list[tuple[App, Stage]]) -> str:
    """Whether production runs what staging does, where both run a commit."""

    def commits(wanted: Stage) -> set[str]:
        found = [home.releases[app.id].commit for app, stage in inside if stage is wanted and app.id in home.releases]
        return {each for each in found if each}

    staging, production = commits(Stage.STAGING), commits(Stage.PRODUCTION)
    if not staging or not production:
        return ""
    return "" if staging == production else "production runs other code than staging"


def entries(home: Home) -> tuple[list[Line], list[Entry]]:
    """The apps that stand alone, and the pipelines."""
    inside: dict[str, list[tuple[App, Stage]]] = {}
    alone = []
    for app in home.apps:
        coupling = home.couplings.get(app.id)
        if coupling is not None:
            inside.setdefault(coupling.pipeline_id, []).append((app, coupling.stage))
        elif not app.is_review:
            alone.append(_line(home, app))
    return alone, [_entry(home, each, inside.get(each.id, [])) for each in home.pipelines]


async def home(request: web.Request) -> web.Response:
    """GET /dashboard."""
    context, visitor = request.app[CONTEXT], request[VISITOR]
    found = await context.db.read(lambda conn: homes.load(conn, visitor.person))
    alone, listed = entries(found)
    return page("dashboard/home.html", visitor=visitor, apps=alone, pipelines=listed)


ROUTES = [rights.get(PATH, home, rights.page(rights.CALLER))]
