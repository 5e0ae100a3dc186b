"""`/openapi.json` says what is served, no more and no less. That answers are as it says is checked wherever they come."""

import json
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from multidict import CIMultiDict, CIMultiDictProxy

from service.web.openapi.document import paths
from service.web.openapi.notation import described
from service.web.openapi.operations import OPERATIONS
from tests.web.described import check
from tests.web.serving import Server


async def test_every_route_is_described_and_nothing_else(server: Server) -> None:
    served = {f"{method} {path}" for method, path, _ in paths(server.routes)}
    assert served == set(OPERATIONS)


async def test_the_description_is_served_without_a_token_and_is_valid(server: Server) -> None:
    shown, response = await server.call("GET", "/openapi.json", expect=200, Authorization="")
    assert (shown["openapi"], shown["servers"]) == ("3.1.0", [{"url": server.url}])
    assert response.headers["Content-Type"] == "application/json"
    for name, schema in shown["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema), name
    references = set(json.dumps(shown).split('"#/components/')[1:])
    for reference in references:
        kind, _, name = reference.partition('"')[0].partition("/")
        assert name in shown["components"][kind], reference


async def test_every_operation_says_in_words_what_it_does_and_has_a_name_of_its_own(server: Server) -> None:
    shown = await server.get("/openapi.json")
    operations = [operation for methods in shown["paths"].values() for operation in methods.values()]
    assert [it["operationId"] for it in operations if it["summary"].rstrip(": ") in {"", "Show", "List"}] == []
    assert len({it["operationId"] for it in operations}) == len(operations)


async def test_what_is_open_by_the_description_is_open_and_nothing_else_is(server: Server) -> None:
    shown, wrong = await server.get("/openapi.json"), []
    for path, methods in shown["paths"].items():
        for method, operation in methods.items():
            _, response = await server.call(method.upper(), path.replace("{", "").replace("}", ""), Authorization="")
            if (response.status == 401) is (operation.get("security") == []):
                wrong.append(f"{method} {path}: {response.status}")
    assert wrong == []


TEXT: Any = {"type": "string"}


@pytest.mark.parametrize(
    ("attributes", "good", "bad"),
    [
        ("id:int", [{"id": 1}], [{}, {"id": "1"}, {"id": None}, {"id": 1, "more": 1}]),
        ("id:int?", [{"id": 1}, {"id": None}], [{}]),
        ("id*:int", [{"id": 1}, {}], [{"id": None}]),
        ("app.id:int app.name:text", [{"app": {"id": 1, "name": ""}}], [{"app": {"id": 1}}, {"app": None}, {}]),
        ("app?.id:int app?.name:text", [{"app": None}, {"app": {"id": 1, "name": ""}}], [{"app": {}}, {}]),
        ("app*.id:int", [{}, {"app": {"id": 1}}], [{"app": None}]),
        ("all[].id:int all[].is:on|off", [{"all": []}, {"all": [{"id": 1, "is": "on"}]}], [{"all": [{"id": 1}]}, {"all": {}}]),
        ("is:on|off?", [{"is": "on"}, {"is": None}], [{"is": "up"}]),
        ("", [{}], [{"id": 1}]),
    ],
)  # fmt: skip
def test_the_short_way_to_write_an_object_means_what_it_says(attributes: str, good: list[Any], bad: list[Any]) -> None:
    validator = Draft202012Validator(described(attributes))
    assert [it for it in good if not validator.is_valid(it)] == []
    assert [it for it in bad if validator.is_valid(it)] == []


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (200, {"remaining": 1, "more": 2}, "'more'"),
        (200, {}, "'remaining'"),
        (200, {"remaining": "1"}, "'1'"),
        (418, {"id": "teapot", "message": ""}, "418"),
        (404, {"id": "not_found", "message": ""}, "404"),
        (429, {"message": "no id"}, "'id'"),
    ],
    ids=[
        "more than described",
        "less",
        "another type",
        "an unknown status",
        "a status of others",
        "an error without id",
    ],
)
async def test_an_answer_other_than_described_is_found_out(server: Server, status: int, body: Any, reason: str) -> None:
    raw, headers = json.dumps(body).encode(), CIMultiDictProxy(CIMultiDict())
    with pytest.raises(AssertionError, match=re.escape(reason)):
        check(
            server.described,
            "GET",
            "/account/rate-limits",
            status=status,
            headers=headers,
            content_type="application/json",
            body=raw,
        )
