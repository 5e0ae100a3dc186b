"""Test runs, which Towpath does not have yet: lists are empty, and one that is asked for is refused."""

from aiohttp import web

from service.domain.errors import Refused
from service.web import rights
from service.web.api import answers, bodies, shapes
from service.web.api.finding import find_pipeline, in_body, pipeline_in_path
from service.web.errors import not_found
from service.web.keys import CONTEXT


async def of_pipeline(request: web.Request) -> web.Response:
    """GET /pipelines/PIPELINE/test-runs: none."""
    identity = pipeline_in_path(request)
    await request.app[CONTEXT].db.read(lambda conn: find_pipeline(conn, identity))
    rows: list[shapes.Json] = []
    return answers.answer_list(request, rows, lambda it: it, number=lambda it: it["number"], id=lambda it: it["id"])


async def create(request: web.Request) -> web.Response:
    """POST /test-runs: refused with 422."""
    wanted = in_body(request, (await bodies.parse(request, bodies.CreateTestRun)).pipeline)
    await request.app[CONTEXT].db.read(lambda conn: find_pipeline(conn, wanted))
    raise Refused("Test runs are not available yet; what GitHub Actions reports counts as CI all the same.")


async def missing(_request: web.Request) -> web.Response:
    """GET and PATCH of one test run, its nodes and cases: 404."""
    raise not_found("test run")


ROUTES = [
    rights.post("/test-runs", create, rights.BODY),
    rights.get("/test-runs/{run}", missing, rights.CALLER),
    rights.patch("/test-runs/{run}", missing, rights.CALLER),
    rights.get("/test-runs/{run}/test-nodes", missing, rights.CALLER),
    rights.get("/test-runs/{run}/test-cases", missing, rights.CALLER),
    rights.get("/pipelines/{pipeline}/test-runs", of_pipeline, rights.pipeline()),
    rights.get("/pipelines/{pipeline}/test-runs/{number}", missing, rights.pipeline()),
]
