"""What load balancers and monitoring ask: whether it lives, whether all of it works, and its figures."""

from collections.abc import Iterable, Mapping
from typing import Final

from aiohttp import web
from sqlalchemy import Connection

from service.store import figures, leases, quotas, reports
from service.web import rights
from service.web.keys import CONTEXT, WebContext

_WORKER: Final = "loop:clock"
"""The lease that one of the workers has at any time."""


async def healthz(_request: web.Request) -> web.Response:
    """GET /healthz: this process answers."""
    return web.Response(text="ok\n")


async def readyz(request: web.Request) -> web.Response:
    """GET /readyz: it can do its work, that is read the database; 503 otherwise.

    What else is missing makes it slower or late and loses nothing: it is named, and the answer is 200 all the same.
    """
    lacks = [text for text, is_there in (await _parts(request.app[CONTEXT])).items() if not is_there]
    return web.Response(text=f"degraded: {'; '.join(lacks)}\n" if lacks else "ready\n")


async def _parts(context: WebContext) -> Mapping[str, bool]:
    seconds = context.settings.lease_seconds
    works = await context.db.read(lambda conn: leases.is_taken(conn, _WORKER, seconds=seconds))
    return {
        "Redis does not answer: nothing new is begun until it does": await context.queue.alive(),
        "no worker is working: nothing is built, deployed or told to GitHub": works,
    }


async def metrics(request: web.Request) -> web.Response:
    """GET /metrics: what waits and what is left of GitHub's limits, as Prometheus reads it."""
    context = request.app[CONTEXT]
    text = await context.db.read(_figures)
    for name, is_there in zip(("redis", "worker"), (await _parts(context)).values(), strict=True):
        text += _gauge(f"towpath_{name}_up", f"Whether the {name} answers.", [("", int(is_there))])
    return web.Response(text=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


def _figures(conn: Connection) -> str:
    left = quotas.listing(conn)
    by_state = [(f'{{state="{state}"}}', count) for state, count in figures.open_requests(conn).items()]
    return "".join(
        (
            _gauge(
                "towpath_github_requests_left",
                "Requests left of GitHub's hourly limit, as it last said.",
                [(_of(each), each.remaining) for each in left],
            ),
            _gauge(
                "towpath_github_requests_granted",
                "Requests that GitHub grants in an hour.",
                [(_of(each), each.granted) for each in left],
            ),
            _gauge(
                "towpath_github_limit_resets_timestamp_seconds",
                "When GitHub's limit is whole again.",
                [(_of(each), int(each.resets_at.timestamp())) for each in left],
            ),
            _gauge(
                "towpath_deliveries_open",
                "Deliveries that wait for a verdict.",
                [("", figures.open_deliveries(conn))],
            ),
            _gauge(
                "towpath_reports_pending",
                "Objects on GitHub that do not show yet what they should.",
                [("", reports.unfinished(conn))],
            ),
            _gauge("towpath_requests_open", "Work that apps wait for.", by_state),
        )
    )


def _of(left: quotas.Left) -> str:
    return f'{{installation="{left.installation_id}"}}'


def _gauge(name: str, meaning: str, values: Iterable[tuple[str, int]]) -> str:
    lines = (f"{name}{labels} {value}\n" for labels, value in values)
    return f"# HELP {name} {meaning}\n# TYPE {name} gauge\n{''.join(lines)}"


ROUTES = [
    rights.get("/healthz", healthz, rights.OPEN),
    rights.get("/readyz", readyz, rights.OPEN),
    rights.get("/metrics", metrics, rights.ADMIN),
]
