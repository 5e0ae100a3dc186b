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

from tests.figures import keep
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


HOOK = {"include": ["api:app"], "level": "notify", "url": "http://localhost:9/"}


async def furnish_access(server: Server, pipeline: str) -> dict[str, str]:
    """Who else there is and may do what, and who is told of what happens."""

    async def post(path: str, body: Any) -> Any:
        return (await server.call("POST", path, body, expect=201))[0]

    for name in ("ada", "eve"):
        await post("/users", {"email": f"{name}@example.com"})
    team = await post("/teams", {"name": "crew"})
    member = await post("/teams/crew/members", {"email": "ada@example.com", "role": "member"})
    body = {"email": "new@example.com", "role": "viewer"}
    invitation, _ = await server.call("PUT", "/teams/crew/invitations", body, expect=201)
    granted = await post("/apps/example-staging/collaborators", {"user": "eve@example.com"})
    await post("/apps", {"name": "crew-app", "team": "crew"})
    offer = await post("/account/app-transfers", {"app": "crew-app", "recipient": "ada@example.com"})
    lock = await post("/apps/crew-app/deploy-locks", {"reason": "a fair"})
    names = {"team": team["id"], "member": member["id"], "invitation": invitation["id"], "collaborator": granted["id"]}
    homes = (("", "/apps/example-staging"), ("pipeline_", f"/pipelines/{pipeline}"))
    for prefix, home in homes:
        names[f"{prefix}webhook"] = (await post(f"{home}/webhooks", HOOK))["id"]
    await server.call("PATCH", "/apps/example-staging", {"maintenance": True}, expect=200)
    for prefix, home in homes:
        (told,) = await server.get(f"{home}/webhook-deliveries")
        names |= {f"{prefix}delivery": told["id"], f"{prefix}event": told["event"]["id"]}
    return names | {"transfer": offer["id"], "lock": lock["id"]}


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
    return await furnish_access(server, pipeline["id"]) | {
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


AT_LEAST = {
    f"GET {path}"
    for path in (
        "/teams/{team}", "/teams/{team}/apps", "/teams/{team}/members", "/teams/{team}/invitations",
        "/teams/{team}/pipeline-couplings", "/teams/{team}/members/{member}/apps", "/users/{user}", "/users",
        "/account/app-transfers/{transfer}", "/apps/{app}/collaborators/{collaborator}",
        "/apps/{app}/webhooks/{webhook}", "/apps/{app}/webhook-events/{event}",
        "/apps/{app}/webhook-deliveries/{delivery}", "/pipelines/{pipeline}/webhooks/{pipeline_webhook}",
        "/pipelines/{pipeline}/webhook-events/{pipeline_event}",
        "/pipelines/{pipeline}/webhook-deliveries/{pipeline_delivery}",
    )
} | {
    "DELETE /deploy-locks/{lock}", "DELETE /account/app-transfers/{transfer}",
    "DELETE /teams/{team}/invitations/{invitation}", "DELETE /teams/{team}/members/{member}",
    "DELETE /apps/{app}/collaborators/{collaborator}", "DELETE /apps/{app}/webhooks/{webhook}",
    "POST /apps/{app}/webhook-deliveries/{delivery}/actions/retry",
}  # fmt: skip
"""What there must have been a real answer to: what is furnished for it is found."""


@dataclass(kw_only=True)
class Sender:
    """Sends what comes, and keeps what was wrong with the answers."""

    url: str
    session: requests.Session
    answers: Counter[int] = field(default_factory=Counter)
    well: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)
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
            self.asked.add(label)
            if response.status_code < 300:
                self.well.add(label)
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
    classes = Counter({f"{kind}xx": 0 for kind in range(2, 6)})
    for status, number in sender.answers.items():
        classes[f"{status // 100}xx"] += number
    counted = {"operations": len(sender.asked), "answered_well": len(sender.well), "answers": sender.answers.total()}
    keep("schemathesis", {**counted, **dict(sorted(classes.items())), "wrong": len(sender.wrong)})
    assert sender.wrong == []
    assert sender.answers.total() > 1000
    assert {label for label in AT_LEAST if label not in sender.well} == set()
    # It comes far enough to be answered in every way there is.
    assert sender.answers.keys() >= {200, 201, 202, 400, 404, 416, 422}, sender.answers


async def test_a_description_that_does_not_say_what_is_answered_is_found_out(server: Server) -> None:
    known, document = await furnish(server), await server.get("/openapi.json")
    del document["paths"]["/apps/{app}"]["get"]["responses"]["404"]
    document["components"]["schemas"]["app"]["properties"]["name"] = {"type": "integer"}
    sender = await asyncio.to_thread(explore, document, known, server, "GET /apps/{app}")
    assert any("UndefinedStatusCode" in each for each in sender.wrong)
    assert any("JsonSchemaError" in each for each in sender.wrong)
