"""However large the installation: the same number of SQL statements, and none that reads a big table to its end."""

import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import zstandard
from aiohttp import web
from sqlalchemy import Connection

from service import store
from service.domain.decisions import Restart, Subject, SubjectKind
from service.domain.facts import FactKey, FactKind
from service.domain.model import RepositoryId, RequestState
from service.router.table import RouteTable
from service.store import facts, reports, requests, routes, subjects
from service.store.tables import deliveries
from service.web.api import add_routes
from tests.domain.things import pull_request
from tests.figures import keep
from tests.scale.conftest import Place
from tests.scale.counting import counted, scans
from tests.scale.filling import add, id_of, sha_of
from tests.store.making import NOW
from tests.web.browsing import Browser
from tests.web.pages.visiting import sign_in
from workers.jobs import loops
from workers.jobs.overdue import overdue
from workers.jobs.react import react
from workers.jobs.reconcile import reconcile

Places = tuple[Place, Place]

REVIEW_APP = id_of("app", 7)
APP, REVIEW, PIPELINE, SHA = "app-0005", "app-0007", "pipe-1", sha_of(50)
PAGES = {
    "/account": "/account",
    "/users/{user}": "/users/~",
    "/account/rate-limits": "/account/rate-limits",
    "/account/app-transfers": "/account/app-transfers",
    "/oauth/authorizations": "/oauth/authorizations",
    "/oauth/authorizations/{authorization}": "/oauth/authorizations/~",
    "/users": "/users",
    "/teams": "/teams",
    "/teams/permissions": "/teams/permissions",
    "/activity": "/activity",
    "/apps": "/apps",
    "/apps/{app}": f"/apps/{APP}",
    "/app-setups/{setup}": f"/app-setups/{id_of('request', 50)}",
    "/apps/{app}/addon-attachments": f"/apps/{APP}/addon-attachments",
    "/apps/{app}/addons": f"/apps/{APP}/addons",
    "/apps/{app}/buildpack-installations": f"/apps/{APP}/buildpack-installations",
    "/apps/{app}/features": f"/apps/{APP}/features",
    "/apps/{app}/log-drains": f"/apps/{APP}/log-drains",
    "/apps/{app}/sni-endpoints": f"/apps/{APP}/sni-endpoints",
    "/apps/{app}/build-config": f"/apps/{APP}/build-config",
    "/apps/{app}/builds": f"/apps/{APP}/builds",
    "/apps/{app}/builds/{build}": f"/apps/{APP}/builds/{id_of('request', 50)}",
    "/apps/{app}/collaborators": f"/apps/{APP}/collaborators",
    "/apps/{app}/deploy-locks": f"/apps/{APP}/deploy-locks",
    "/apps/{app}/domains": f"/apps/{APP}/domains",
    "/apps/{app}/domains/{domain}": f"/apps/{APP}/domains/{APP}.localhost",
    "/apps/{app}/dynos": f"/apps/{APP}/dynos",
    "/apps/{app}/dynos/{dyno}": f"/apps/{APP}/dynos/web.1",
    "/apps/{app}/formation": f"/apps/{APP}/formation",
    "/apps/{app}/formation/{type}": f"/apps/{APP}/formation/web",
    "/apps/{app}/github": f"/apps/{APP}/github",
    "/apps/{app}/pipeline-couplings": f"/apps/{APP}/pipeline-couplings",
    "/apps/{app}/releases": f"/apps/{APP}/releases",
    "/apps/{app}/releases/{release}": f"/apps/{APP}/releases/10",
    "/apps/{app}/config-vars": f"/apps/{APP}/config-vars",
    "/apps/{app}/webhooks": f"/apps/{APP}/webhooks",
    "/apps/{app}/webhook-events": f"/apps/{APP}/webhook-events",
    "/apps/{app}/webhook-deliveries": f"/apps/{APP}/webhook-deliveries",
    "/apps/{app}/releases/{release}/config-vars": f"/apps/{APP}/releases/10/config-vars",
    "/apps/{app}/requests": f"/apps/{APP}/requests",
    "/apps/{app}/review-app": f"/apps/{REVIEW}/review-app",
    "/apps/{app}/slugs/{slug}": f"/apps/{APP}/slugs/{id_of('slug', 5)}",
    "/deliveries": "/deliveries",
    "/deploy-locks": "/deploy-locks",
    "/delivery-sources": "/delivery-sources",
    "/orphans": "/orphans",
    "/deliveries/{guid}": f"/deliveries/{id_of('delivery', 1)}",
    "/pipeline-couplings": "/pipeline-couplings",
    "/pipeline-couplings/{coupling}": f"/pipeline-couplings/{id_of('coupling', 5)}",
    "/pipelines": "/pipelines",
    "/pipelines/{pipeline}": f"/pipelines/{PIPELINE}",
    "/pipelines/{pipeline}/deploy-locks": f"/pipelines/{PIPELINE}/deploy-locks",
    "/pipelines/{pipeline}/latest-builds": f"/pipelines/{PIPELINE}/latest-builds",
    "/pipelines/{pipeline}/latest-deployments": f"/pipelines/{PIPELINE}/latest-deployments",
    "/pipelines/{pipeline}/pipeline-stack": f"/pipelines/{PIPELINE}/pipeline-stack",
    "/pipelines/{pipeline}/test-runs": f"/pipelines/{PIPELINE}/test-runs",
    "/pipelines/{pipeline}/latest-releases": f"/pipelines/{PIPELINE}/latest-releases",
    "/pipelines/{pipeline}/pipeline-couplings": f"/pipelines/{PIPELINE}/pipeline-couplings",
    "/pipelines/{pipeline}/pipeline-promotions": f"/pipelines/{PIPELINE}/pipeline-promotions",
    "/pipelines/{pipeline}/webhooks": f"/pipelines/{PIPELINE}/webhooks",
    "/pipelines/{pipeline}/webhook-events": f"/pipelines/{PIPELINE}/webhook-events",
    "/pipelines/{pipeline}/webhook-deliveries": f"/pipelines/{PIPELINE}/webhook-deliveries",
    "/pipelines/{pipeline}/repo": f"/pipelines/{PIPELINE}/repo",
    "/pipelines/{pipeline}/repository": f"/pipelines/{PIPELINE}/repository",
    "/pipelines/{pipeline}/build-config": f"/pipelines/{PIPELINE}/build-config",
    "/pipelines/{pipeline}/settings": f"/pipelines/{PIPELINE}/settings",
    "/pipelines/{pipeline}/review-app-config": f"/pipelines/{PIPELINE}/review-app-config",
    "/pipelines/{pipeline}/review-apps": f"/pipelines/{PIPELINE}/review-apps",
    "/pipelines/{pipeline}/forks/config-vars": f"/pipelines/{PIPELINE}/forks/config-vars",
    "/pipelines/{pipeline}/stage/{stage}/config-vars": f"/pipelines/{PIPELINE}/stage/staging/config-vars",
    "/requests/{request}": f"/requests/{id_of('request', 50)}",
    "/review-apps/{review}": f"/review-apps/{id_of('review', 7)}",
    "/review-apps/{review}/approvals": f"/review-apps/{id_of('review', 7)}/approvals",
    "/regions": "/regions",
    "/regions/{region}": "/regions/common",
    "/spaces": "/spaces",
    "/stacks": "/stacks",
    "/users/{user}/apps": "/users/~/apps",
    "/users/{user}/pipeline-couplings": "/users/~/pipeline-couplings",
    "/why": f"/why?q={SHA}",
    "/why of an app": f"/why?q={APP}",
    "/why of a pull request": "/why?q=%232",
}
# They are constant, follow, ask GitHub or a worker, or show promotions, teams and what webhooks heard, of which there are none.
OTHERS = {
    "/account/features",
    "/account/features/{feature}",
    "/addon-attachments",
    "/addons",
    "/account/app-transfers/{transfer}",
    "/apps/{app}/collaborators/{collaborator}",
    "/teams/apps/{app}",
    "/teams/apps/{app}/collaborators",
    "/teams/apps/{app}/collaborators/{collaborator}",
    "/apps/{app}/features/{feature}",
    "/pipelines/{pipeline}/test-runs/{number}",
    "/stacks/{stack}",
    "/test-runs/{run}",
    "/test-runs/{run}/test-cases",
    "/test-runs/{run}/test-nodes",
    "/teams/{team}",
    "/teams/{team}/apps",
    "/teams/{team}/features",
    "/teams/{team}/invitations",
    "/teams/{team}/pipeline-couplings",
    "/enterprise-accounts/{account}/teams",
    "/teams/{team}/members",
    "/teams/{team}/members/{member}/apps",
    "/builds/{build}/output",
    "/releases/{release}/output",
    "/dyno-attachments/{key}",
    "/log-sessions/{key}",
    "/sources/{source}",
    "/pipelines/{pipeline}/repo/branches/{branch}",
    "/apps/{app}/pipeline-diffs",
    "/repos/{owner}/{name}",
    "/repos/{owner}/{name}/compare/{commits}",
    "/github/repos/{owner}/{name}/tarball/{ref}",
    "/pipeline-promotions/{promotion}",
    "/apps/{app}/webhooks/{webhook}",
    "/apps/{app}/webhook-events/{event}",
    "/apps/{app}/webhook-deliveries/{delivery}",
    "/pipelines/{pipeline}/webhooks/{pipeline_webhook}",
    "/pipelines/{pipeline}/webhook-events/{pipeline_event}",
    "/pipelines/{pipeline}/webhook-deliveries/{pipeline_delivery}",
    "/pipeline-promotions/{promotion}/promotion-targets",
}


COUNTED: dict[str, dict[str, float]] = {}
"""Statements, and milliseconds, that are needed with a thousand apps."""


@pytest.fixture(scope="module", autouse=True)
def figures() -> Iterator[None]:
    """What was counted is kept in the end."""
    yield
    keep("at-1000-apps", dict(sorted(COUNTED.items())))


def note(what: str, statements: int, seconds: float | None = None) -> None:
    COUNTED[what] = {"statements": statements} | ({} if seconds is None else {"ms": round(seconds * 1000, 1)})


async def same(places: Places, act: Callable[[Place], Awaitable[object]], what: str = "") -> None:
    """Both execute the same number of statements, more than none, and read no big table to its end."""
    few = await executed(places[0], act)
    began = time.perf_counter()
    many = await executed(places[1], act)
    if what:
        note(what, len(many), time.perf_counter() - began)
    assert len(few) > 0
    assert len(many) <= len(few), (
        f"{len(many)} instead of {len(few)}: {Counter(text for text, _ in many).most_common(2)}"
    )
    assert scans(places[1].path, many) == []


async def executed(place: Place, act: Callable[[Place], Awaitable[object]]):
    with counted() as statements:
        await act(place)
    return statements


def test_every_page_of_the_api_is_looked_at():
    app = web.Application()
    add_routes(app)
    shown = {route.resource.canonical for route in app.router.routes() if route.method == "GET"}
    assert shown == {path.partition(" ")[0] for path in PAGES} | OTHERS


async def test_what_monitoring_asks_needs_no_more_statements_with_a_thousand_apps(places: Places) -> None:
    async def ask(place: Place) -> None:
        for path in ("/readyz", "/metrics"):
            _, response = await place.server.call("GET", path)
            assert response.status == 200

    await same(places, ask)


@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)
async def test_a_page_needs_no_more_statements_with_a_thousand_apps(places: Places, path: str) -> None:
    async def ask(place: Place) -> None:
        _, response = await place.server.call("GET", path)
        assert response.status in {200, 206}

    await same(places, ask, f"GET {path}")


def _of_pipeline(place: Place) -> dict[str, tuple[str, str, Any]]:
    """What is asked for to show a pipeline, all its apps or all there is."""
    home, count = f"/pipelines/{id_of('pipeline', 1)}", 1000 if place.path.stem == "large" else 10
    every = [id_of("app", number) for number in range(count)]
    return {
        "by its name": ("GET", f"/pipelines?eq[name]={PIPELINE}", None),
        "its couplings": ("GET", f"{home}/pipeline-couplings", None),
        "its apps": ("POST", "/filters/apps", {"in": {"id": every[5:10]}}),
        "its builds": ("GET", f"{home}/latest-builds", None),
        "its releases": ("GET", f"{home}/latest-releases", None),
        "its deployments": ("GET", f"{home}/latest-deployments", None),
        "its promotions": ("GET", f"{home}/pipeline-promotions", None),
        "its review apps": ("GET", f"{home}/review-apps", None),
        "its locks": ("GET", f"{home}/deploy-locks", None),
        "all apps by their ids": ("POST", "/filters/apps", {"in": {"id": every}}),
        "all apps": ("GET", "/apps", None),
        "all pipelines": ("GET", "/pipelines", None),
        "all couplings": ("GET", "/pipeline-couplings", None),
    }


async def test_what_shows_a_pipeline_takes_little_time_and_no_more_statements_with_a_thousand_apps(
    places: Places,
) -> None:
    seconds: dict[str, list[float]] = {what: [] for what in _of_pipeline(places[0])}

    async def ask(place: Place, what: str) -> None:
        method, path, body = _of_pipeline(place)[what]
        server, headers = place.server, {"Authorization": f"Bearer {place.server.token}", "Range": "id ..; max=1000"}
        began = time.perf_counter()
        async with server.session.request(method, server.url + path, json=body, headers=headers) as response:
            assert response.status in {200, 206}
            await response.read()
        seconds[what].append(time.perf_counter() - began)

    for what, taken in seconds.items():
        await same(places, lambda place, what=what: ask(place, what), f"pipeline: {what}")
        while taken[-1] > 0.2 and len(taken) < 6:  # the machine has other things to do
            await ask(places[1], what)
        COUNTED[f"pipeline: {what}"]["ms"] = round(taken[-1] * 1000, 1)
    assert {what: taken for what, taken in seconds.items() if taken[-1] > 0.2} == {}


BOARD = f"/dashboard/pipelines/{PIPELINE}"
OF_DASHBOARD = {
    "/dashboard": "/dashboard",
    "/dashboard/pipelines/{pipeline}": BOARD,
    "/dashboard/pipelines/{pipeline}/columns": f"{BOARD}/columns",
    "/dashboard/pipelines/{pipeline}/promote": f"{BOARD}/promote?app={APP}",
    "/dashboard/pipelines/{pipeline}/add": f"{BOARD}/add",
    "/dashboard/pipelines/{pipeline}/arrivals": f"{BOARD}/arrivals",
    "/dashboard/couplings/{coupling}/move": f"/dashboard/couplings/{id_of('coupling', 5)}/move",
    "/dashboard/pipelines/{pipeline}/settings": f"{BOARD}/settings",
    "/dashboard/pipelines/{pipeline}/access": f"{BOARD}/access",
    "/dashboard/deliveries": "/dashboard/deliveries",
    "/dashboard/deliveries of a kind": "/dashboard/deliveries?state=processed",
    "/dashboard/deliveries/{guid}": f"/dashboard/deliveries/{id_of('delivery', 1)}",
    "/dashboard/why": f"/dashboard/why?q={APP}",
    "/dashboard/activity": "/dashboard/activity",
    "/dashboard/account": "/dashboard/account",
    "/dashboard/account/tokens": "/dashboard/account/tokens",
    "/dashboard/apps/{app}": f"/dashboard/apps/{APP}",
    "/dashboard/apps/{app}/builds/{build}": f"/dashboard/apps/{APP}/builds/{id_of('request', 50)}",
    "/dashboard/apps/{app}/releases/{release}": f"/dashboard/apps/{APP}/releases/10",
    "/dashboard/apps/{app}/releases/{release}/rollback": f"/dashboard/apps/{APP}/releases/10/rollback",
    "/dashboard/apps/{app}/resources": f"/dashboard/apps/{APP}/resources",
    "/dashboard/apps/{app}/deploy": f"/dashboard/apps/{APP}/deploy",
    "/dashboard/apps/{app}/hold": f"/dashboard/apps/{APP}/hold",
    "/dashboard/apps/{app}/rebuild": f"/dashboard/apps/{REVIEW}/rebuild",
    "/dashboard/apps/{app}/access": f"/dashboard/apps/{APP}/access",
    "/dashboard/apps/{app}/settings/values": f"/dashboard/apps/{APP}/settings/values?of=*",
}


@pytest.mark.parametrize("path", OF_DASHBOARD.values(), ids=OF_DASHBOARD)
async def test_a_page_of_the_dashboard_needs_no_more_statements_and_little_time_with_a_thousand_apps(
    places: Places, path: str
) -> None:
    browser, seconds = Browser(), []

    async def ask(place: Place) -> None:
        began = time.perf_counter()
        page = await browser.get(place.server.url + path)
        seconds.append(time.perf_counter() - began)
        assert page.status == 200
        assert len(page.text.encode()) < 150_000

    async def asked(place: Place):
        await sign_in(place.server, browser)
        await ask(place)  # what it lacks is asked for, once
        return await executed(place, ask)

    async with browser.session:
        few, many = [await asked(place) for place in places]
        assert 0 < len(many) <= len(few)
        assert scans(places[1].path, many) == []
        for _ in range(4):
            await ask(places[1])
        note(f"page {path}", len(many), min(seconds[-5:]))
        assert min(seconds[-5:]) < 0.2


async def due(place: Place) -> None:
    await loops.due(place.context)


async def router_table(place: Place) -> None:
    version, found = await place.db.read(lambda conn: (routes.version(conn), routes.load(conn)))
    assert found
    RouteTable(version=version)


async def due_with_work(place: Place) -> None:
    await place.db.write(lambda conn: ask(conn, REVIEW_APP))
    place.context.queue.rung.clear()
    await loops.due(place.context)
    assert place.context.queue.heard("work")


async def taken(place: Place) -> None:
    """An app's work is found and taken, kept and handed back."""
    terms = place.context.terms

    def take(conn: Connection) -> None:
        ask(conn, id_of("app", 9))
        found = requests.take(conn, terms=terms, now=NOW, cap=9, app_id=id_of("app", 9))
        assert found is not None
        assert requests.renew(conn, taken=found, terms=terms)
        requests.finish(conn, found.request.id, state=RequestState.SUCCEEDED, outcome="", now=NOW)
        requests.give_back(conn, app_id=found.request.app_id, token=found.token, holder=terms.holder)
        requests.take(conn, terms=terms, now=NOW, cap=9)

    await place.db.write(take)


def ask(conn: Connection, app_id: str) -> None:
    requests.add(conn, app_id=app_id, work=Restart(), actor="test", reason="", by_person=True, now=NOW)


async def reacted(place: Place) -> None:
    repository = {"id": 2, "full_name": "acme/shop-1", "default_branch": "main"}
    pushed = {"ref": "refs/heads/main", "repository": repository, "installation": {"id": 3}}
    guid, body = "pushed just now", zstandard.compress(json.dumps(pushed).encode())
    row = {"guid": guid, "event": "push", "body": body, "state": "received", "received_at": NOW}
    await place.db.write(lambda conn: add(conn, deliveries, [row]))
    await react(place.context, guid)
    read = await place.db.read(lambda conn: store.deliveries.get(conn, guid))
    assert read is not None
    assert read.verdict == f"rang auto_deploy {id_of('app', 5)}"


ROUNDS = {
    "due": due,
    "due with work": due_with_work,
    "taking work": taken,
    "react": reacted,
    "observe": lambda place: loops.observe(place.context),
    "overdue": lambda place: overdue(place.context),
    "report": lambda place: place.db.read(lambda conn: reports.lanes(conn, now=NOW)),
    "audit": lambda place: loops.audit(place.context),
    "the router's table": router_table,
}


@pytest.mark.parametrize("once", ROUNDS.values(), ids=ROUNDS)
async def test_a_round_needs_no_more_statements_with_a_thousand_apps(places: Places, once) -> None:
    await same(places, once)


async def test_keeping_house_needs_no_more_statements_with_a_thousand_apps(places: Places) -> None:
    few, many = [await executed(place, lambda place: loops.keep_house(place.context)) for place in places]
    assert len(many) <= len(few)


SUBJECTS = {
    "a review app": Subject(SubjectKind.REVIEW_APP, f"{id_of('pipeline', 1)}/pr:2"),
    "an app that follows a branch": Subject(SubjectKind.AUTO_DEPLOY, id_of("app", 5)),
    "the check of a commit": Subject(SubjectKind.CHECK, f"{id_of('pipeline', 1)}/{SHA}"),
    "the check of a review app's commit": Subject(SubjectKind.CHECK, f"{id_of('pipeline', 1)}/{sha_of(7)}"),
    "a release on GitHub": Subject(SubjectKind.GITHUB_DEPLOYMENT, id_of("release", 59)),
    "a repository": Subject(SubjectKind.REPOSITORY, "2"),
}


async def reconciled(place: Place, subject: Subject) -> None:
    await place.db.write(lambda conn: subjects.ring(conn, [subject], cause="test", now=NOW))
    await reconcile(place.context, subject.kind, subject.key)
    (verdict,) = await place.db.read(lambda conn: subjects.verdicts(conn, [subject]))
    assert verdict.reconciled_at == NOW


@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS)
async def test_a_reconcile_needs_no_more_statements_with_a_thousand_apps(places: Places, subject: Subject) -> None:
    await same(places, lambda place: reconciled(place, subject))


async def test_a_repository_needs_no_more_statements_with_a_hundred_open_pull_requests(places: Places) -> None:
    _, place = places
    subject, key = Subject(SubjectKind.REPOSITORY, "9"), FactKey(FactKind.OPEN_PULL_REQUESTS, RepositoryId(9), "")

    async def survey(pulls: int) -> int:
        listed = tuple(pull_request(number=number) for number in range(1, pulls + 1))

        def learn(conn: Connection) -> None:
            asked = facts.next_asked(conn)
            facts.learn(conn, key, asked=asked, value=listed, error="", etag="", now=NOW)

        await place.db.write(learn)
        return len(await executed(place, lambda place: reconciled(place, subject)))

    await survey(2)
    few = await survey(5)  # one more than there are review apps
    assert await survey(100) <= few


async def test_on_postgresql_rounds_and_reconciles_need_no_more_statements_either(postgresql_places: Places) -> None:
    for name, act in ROUNDS.items():
        few, many = [await executed(place, act) for place in postgresql_places]
        assert len(many) <= len(few), name
    for name, subject in SUBJECTS.items():
        few, many = [
            await executed(place, lambda place, subject=subject: reconciled(place, subject))
            for place in postgresql_places
        ]
        assert len(many) <= len(few), name
