"""A machine that has read `/openapi.json` sends what nobody would: nothing breaks, no answer is other than described."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.web.api.test_review_apps import live_review
from tests.web.serving import Server

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ORDER = ("get", "post", "put", "patch", "delete")
"""What takes something away comes last, so that the others find it."""
EACH = 4


async def furnish(server: Server) -> dict[str, str]:
    """One of each thing, by the name that it has in paths."""
    pipeline = await server.pipeline(staging="example-staging", production="example")
    await server.call("POST", "/pipelines/shop/review-app-config", {}, expect=201)
    review = await live_review(server, pipeline["id"])
    build, _ = await server.call("POST", "/apps/example-staging/builds", {}, expect=201)
    await server.work()
    body = {"pipeline": "shop", "source": {"app": "example-staging"}}
    promotion, _ = await server.call("POST", "/pipeline-promotions", body, expect=201)
    await server.work()
    release = await server.get("/apps/example-staging/releases/1")
    coupling = await server.get("/apps/example-staging/pipeline-couplings")
    return {
        "app": "example-staging", "pipeline": pipeline["id"], "review": review.id, "build": build["id"], "setup": build["id"],
        "request": build["id"], "promotion": promotion["id"], "release": release["id"], "slug": release["slug"]["id"],
        "coupling": coupling["id"], "type": "web", "dyno": "web.1", "stage": "staging", "branch": "main", "user": "~",
        "domain": "example-staging.localhost", "region": "common", "stack": "host-debian", "feature": "dashboard-repositories-api",
    }  # fmt: skip


def strategies(document: dict[str, Any], known: dict[str, str]) -> Iterator[tuple[str, Any]]:
    """What to send: for each operation by the description and against it, to things that are there and to any."""
    described = schemathesis.openapi.from_dict(document)
    operations = [found.ok() for found in described.get_all_operations()]
    for operation in sorted(operations, key=lambda it: ORDER.index(it.method.lower())):
        there = {name: value for name, value in known.items() if f"{{{name}}}" in operation.path}
        yield operation.label, operation.as_strategy(path_parameters=there or None)
        yield operation.label, operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)


@dataclass(kw_only=True)
class Sender:
    """Sends what comes, and keeps what was wrong with the answers."""

    url: str
    session: requests.Session
    answers: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def send(self, label: str, strategy: Any) -> None:
        """Send some of what the strategy makes."""

        @settings(
            max_examples=EACH, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(strategy)
        def one(case: Case) -> None:
            response = case.call(base_url=self.url, session=self.session, timeout=30)
            self.answers[response.status_code] += 1
            try:
                case.validate_response(response, checks=CHECKS)
            except BaseExceptionGroup as found:
                self.wrong += [f"{label}: {type(each).__name__} {each}"[:3000] for each in found.exceptions]

        with suppress(Unsatisfiable):  # there is nothing to send that the description forbids
            one()


def explore(document: dict[str, Any], known: dict[str, str], server: Server, only: str = "") -> Sender:
    """Send something to every operation, or to `only` one."""
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {server.token}"
    sender = Sender(url=server.url, session=session)
    for label, strategy in strategies(document, known):
        if label == (only or label):
            sender.send(label, strategy)
    session.close()
    return sender


@pytest.mark.timeout(300)
async def test_nothing_that_is_sent_breaks_it_or_is_answered_otherwise_than_described(server: Server) -> None:
    known, document = await furnish(server), await server.get("/openapi.json")
    sender = await asyncio.to_thread(explore, document, known, server)
    assert sender.wrong == []
    assert sender.answers.total() > 1000
    # It comes far enough to be answered in every way there is.
    assert sender.answers.keys() >= {200, 201, 202, 400, 404, 416, 422}, sender.answers


async def test_a_description_that_does_not_say_what_is_answered_is_found_out(server: Server) -> None:
    known, document = await furnish(server), await server.get("/openapi.json")
    del document["paths"]["/apps/{app}"]["get"]["responses"]["404"]
    document["components"]["schemas"]["app"]["properties"]["name"] = {"type": "integer"}
    sender = await asyncio.to_thread(explore, document, known, server, "GET /apps/{app}")
    assert any("UndefinedStatusCode" in each for each in sender.wrong)
    assert any("JsonSchemaError" in each for each in sender.wrong)
