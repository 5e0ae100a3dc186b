"""What every resource keeps to: bad input, paging, caching, versions, a constant number of statements."""

from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from tests.web.serving import Server

BAD = [
    ("an app's name with capitals", "POST", "/apps", {"name": "Example"}, "name"),
    ("an app's name of two characters", "POST", "/apps", {"name": "ab"}, "name"),
    ("an app's name of 31 characters", "POST", "/apps", {"name": "a" * 31}, "name"),
    ("an app's name kept for review apps", "POST", "/apps", {"name": "shop-pr-7"}, "shop-pr-7"),
    ("a number as an app's name", "POST", "/apps", {"name": 5}, "name"),
    ("an unknown field", "POST", "/apps", {"naem": "example"}, "naem"),
    ("an unknown space", "POST", "/apps", {"space": "nowhere"}, "nowhere"),
    ("a list instead of an object", "POST", "/apps", [], "dictionary"),
    ("a pipeline without a name", "POST", "/pipelines", {}, "name"),
    ("a pipeline for somebody else", "POST", "/pipelines", {"name": "abc", "owner": {"id": "x", "type": "user"}}, "owner"),
    ("an unknown stage", "POST", "/pipeline-couplings", {"app": "example", "pipeline": "shop", "stage": "prod"}, "stage"),
    ("a coupling without an app", "POST", "/pipeline-couplings", {"pipeline": "shop", "stage": "staging"}, "app"),
    ("maintenance as a text", "PATCH", "/apps/example", {"maintenance": "yes"}, "maintenance"),
    ("a config var's name with a dash", "PATCH", "/apps/example/config-vars", {"A-B": "1"}, "A-B"),
    ("a number as a config var", "PATCH", "/apps/example/config-vars", {"A": 1}, "A"),
    ("a config var with a NUL", "PATCH", "/apps/example/config-vars", {"A": "x\0y"}, "A"),
    ("config vars as a list", "PATCH", "/apps/example/config-vars", ["A"], "dictionary"),
    ("a negative quantity", "PATCH", "/apps/example/formation", {"updates": [{"type": "web", "quantity": -1}]}, "quantity"),
    ("a quantity in words", "PATCH", "/apps/example/formation", {"updates": [{"type": "web", "quantity": "one"}]}, "quantity"),
    ("no updates", "PATCH", "/apps/example/formation", {"updates": []}, "updates"),
    ("a tarball's address", "POST", "/apps/example/builds", {"source_blob": {"url": "http://x/y.tgz"}}, "source_blob.url"),
    ("an unknown branch", "POST", "/apps/example/builds", {"source_blob": {"version": "nowhere"}}, "nowhere"),
    ("a stale time of 31 days", "POST", "/pipelines/shop/review-app-config", {"stale_days": 31}, "stale_days"),
    ("a stale time of 0 days", "POST", "/pipelines/shop/review-app-config", {"stale_days": 0}, "stale_days"),
    ("a switch as a text", "POST", "/pipelines/shop/review-app-config", {"wait_for_ci": "on"}, "wait_for_ci"),
    ("a pull request number of 0", "POST", "/review-apps", {"pipeline": "shop", "pr_number": 0}, "pr_number"),
    ("no targets", "POST", "/pipeline-promotions", {"pipeline": "shop", "source": {"app": "example"}, "targets": []}, "targets"),
    ("a reference without id or name", "POST", "/pipeline-promotions", {"pipeline": {}, "source": {"app": "example"}}, "id"),
    ("a rollback to nothing", "POST", "/apps/example/releases", {}, "release"),
    ("too many log lines", "POST", "/apps/example/log-sessions", {"lines": 9999}, "lines"),
    ("a space of an unknown driver", "POST", "/spaces", {"name": "here", "driver": "vm"}, "driver"),
    ("a space of a driver that no worker has", "POST", "/spaces", {"name": "here", "driver": "docker"}, "driver"),
]  # fmt: skip


@pytest.fixture
async def furnished(server: Server) -> Server:
    await server.pipeline(staging="example")
    return server


@pytest.mark.parametrize(("method", "path", "body", "named"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
async def test_bad_input_is_422_naming_the_field(
    furnished: Server, method: str, path: str, body: Any, named: str
) -> None:
    error, _ = await furnished.call(method, path, body, expect=422)
    assert error["id"] == "invalid_params"
    assert named in error["message"]


UNKNOWN = "0" * 8 + "-0000-0000-0000-" + "0" * 12
VAIN = [
    ("a deploy of a branch that is not there", "POST", "/apps/example/builds", {"source_blob": {"version": "nowhere"}}),
    ("a deploy to an app that no repository is connected to", "POST", "/apps/lonely/builds", {}),
    ("a rebuild of nothing", "POST", "/apps/lonely/builds", {"rebuild": True}),
    ("a rollback to a release that never was", "POST", "/apps/example/releases", {"release": UNKNOWN}),
    ("a promotion of an app that has no release", "POST", "/pipeline-promotions", {"pipeline": "shop", "source": {"app": "example"}}),
    ("a review app where review apps are off", "POST", "/review-apps", {"pipeline": "shop", "pr_number": 9}),
    ("a review app of a pull request that is not there", "POST", "/review-apps", {"pipeline": "shop", "pr_number": 99}),
    ("a restart of a process that is not there", "DELETE", "/apps/example/dynos/cron.1", None),
    ("a scale of a process type that is not there", "PATCH", "/apps/example/formation", {"updates": [{"type": "cron", "quantity": 1}]}),
    ("the end of a review app that is not there", "DELETE", f"/review-apps/{UNKNOWN}", None),
    ("the end of an app that is not there", "DELETE", "/apps/nobody", None),
    ("the end of an orphan that is not there", "DELETE", f"/orphans/{UNKNOWN}", None),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body"), [row[1:] for row in VAIN], ids=[row[0] for row in VAIN])
async def test_what_asks_for_no_work_is_no_success_and_says_why(
    furnished: Server, method: str, path: str, body: Any
) -> None:
    await furnished.app("lonely")
    error, response = await furnished.call(method, path, body)
    assert response.status in {404, 409, 422}
    assert error["message"]
    listed = [await furnished.get(f"/apps/{app}/requests") for app in ("example", "lonely")]
    assert listed == [[], []]
    assert await furnished.get("/pipelines/shop/review-apps") == []


@pytest.mark.parametrize(
    "body",
    [b"{", b"\xff\xfe", b"{'a': 1}", b"[" * 100_000],
    ids=["cut off", "not UTF-8", "single quotes", "a hundred thousand brackets"],
)
async def test_what_is_not_json_is_400(server: Server, body: bytes) -> None:
    error, _ = await server.call("POST", "/apps", body, expect=400)
    assert error["id"] == "bad_request"


async def test_a_body_beyond_a_megabyte_is_413(server: Server) -> None:
    error, _ = await server.call("POST", "/apps", b"[" + b"1," * 600_000 + b"1]", expect=413)
    assert error["id"] == "request_too_large"


MISSING = [
    "/apps/nobody", "/apps/nobody/releases", "/apps/nobody/config-vars", "/apps/nobody/dynos", "/apps/nobody/github",
    "/apps/example/releases/9", "/apps/example/releases/nothing", "/apps/example/releases/current", "/apps/example/builds/x",
    "/apps/example/slugs/x", "/apps/example/review-app", "/apps/example/formation/clock", "/pipelines/nobody",
    "/pipelines/nobody/pipeline-couplings", "/pipelines/nobody/review-apps", "/pipeline-couplings/x", "/pipeline-promotions/x",
    "/pipeline-promotions/x/promotion-targets", "/review-apps/x", "/requests/x", "/builds/x/output", "/releases/x/output",
    "/deliveries/x", "/no/such/path", "/users/somebody@else.example", "/users/somebody@else.example/apps", "/users/somebody@else.example/pipeline-couplings", "/teams/x",
]  # fmt: skip


@pytest.mark.parametrize("path", MISSING)
async def test_what_is_not_there_is_404(furnished: Server, path: str) -> None:
    error, _ = await furnished.call("GET", path, expect=404)
    assert error["id"] == "not_found"


async def test_a_method_that_is_not_offered_is_405(server: Server) -> None:
    error, response = await server.call("PUT", "/apps", {}, expect=405)
    assert (error["id"], response.headers["Allow"]) == ("method_not_allowed", "GET, HEAD, POST")


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/vnd.heroku+json; version=3", 200),
        ("application/vnd.heroku+json; version=3.pipelines", 200),
        ("application/vnd.heroku+json; version=3.review-apps", 200),
        ("application/vnd.heroku+json;version=3.cedar-acm, */*;q=0.1", 200),
        ("application/json", 200),
        ("*/*", 200),
        ("application/vnd.heroku+json; version=2", 406),
        ("application/xml", 406),
    ],
)
async def test_version_three_is_spoken_in_all_its_variants(server: Server, accept: str, status: int) -> None:
    await server.call("GET", "/apps", expect=status, Accept=accept)


async def test_an_unchanged_thing_is_304(server: Server) -> None:
    await server.app("example")
    _, first = await server.call("GET", "/apps/example", expect=200)
    for tag in (first.headers["ETag"], f'"x", W/{first.headers["ETag"]}', "*"):
        text, _ = await server.call("GET", "/apps/example", expect=304, If_None_Match=tag)
        assert text == ""
    await server.call("PATCH", "/apps/example", {"maintenance": True}, expect=200)
    await server.call("GET", "/apps/example", expect=200, If_None_Match=first.headers["ETag"])


async def test_an_unchanged_list_is_304_and_so_is_a_part_of_it(server: Server) -> None:
    for name in ("app-0", "app-1"):
        await server.app(name)
    for wanted in ("name ..", "name ..; max=1"):
        _, first = await server.call("GET", "/apps", Range=wanted)
        text, again = await server.call("GET", "/apps", expect=304, Range=wanted, If_None_Match=first.headers["ETag"])
        assert text == ""
        assert again.headers["Content-Range"] == first.headers["Content-Range"]
        assert again.headers.get("Next-Range") == first.headers.get("Next-Range")
        await server.call("PATCH", "/apps/app-0", {"maintenance": wanted == "name .."}, expect=200)
        _, changed = await server.call("GET", "/apps", Range=wanted, If_None_Match=first.headers["ETag"])
        assert changed.status == first.status


async def test_the_ids_of_all_requests_so_far_may_come_back_in_one_header(server: Server) -> None:
    _, first = await server.call("GET", "/apps", expect=200)
    ids = ",".join([first.headers["Request-Id"]] * 500)
    assert len(ids) > 2 * 8190
    await server.call("GET", "/apps", expect=200, Request_Id=ids)


RANGES = [
    ("name ..; max=2", ["app-0", "app-1"], 206),
    ("name ]app-1..; max=2", ["app-2", "app-3"], 206),
    ("name app-1..app-2; max=9", ["app-1", "app-2"], 200),
    ("name ..; order=desc,max=1", ["app-4"], 206),
    ("name ..;max=2, order=desc", ["app-4", "app-3"], 206),
    ("name ]app-3..; order=desc", ["app-2", "app-1", "app-0"], 200),
    ("name ]app-4..", [], 200),
    ("name ..; max=1000;", ["app-0", "app-1", "app-2", "app-3", "app-4"], 200),
]


@pytest.mark.parametrize(("wanted", "names", "status"), RANGES, ids=[row[0] for row in RANGES])
async def test_a_list_is_cut_as_its_range_says(server: Server, wanted: str, names: list[str], status: int) -> None:
    for number in range(5):
        await server.app(f"app-{number}")
    page, response = await server.call("GET", "/apps", expect=status, Range=wanted)
    assert [app["name"] for app in page] == names
    assert ("Next-Range" in response.headers) is (status == 206)


@pytest.mark.parametrize(
    "wanted",
    [
        "color ..",
        "name ..; max=0",
        f"name ..; max={'9' * 5000}",
        "name ..; max=x",
        "name ..; order=up",
        "name ..; max",
        "][",
    ],
)
async def test_a_range_that_means_nothing_is_416(server: Server, wanted: str) -> None:
    error, _ = await server.call("GET", "/apps", expect=416, Range=wanted)
    assert error["id"] == "requested_range_not_satisfiable"


async def test_a_version_bound_that_is_no_number_is_416(furnished: Server) -> None:
    await furnished.call("PATCH", "/apps/example/config-vars", {"A": "1"}, expect=200)
    await furnished.work()
    await furnished.call("GET", "/apps/example/releases", expect=416, Range="version abc..")


async def test_lists_take_the_same_number_of_statements_however_long_they_are(server: Server) -> None:
    statements: list[str] = []

    def count(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    async def cost(path: str) -> int:
        statements.clear()
        await server.call("GET", path, expect=200)
        return len(statements)

    await server.pipeline(staging="example")
    paths = ("/apps", "/pipelines", "/pipeline-couplings", "/apps/example/releases", "/apps/example/builds", "/pipelines/shop/latest-releases", "/pipelines/shop/review-apps")  # fmt: skip
    event.listen(Engine, "before_cursor_execute", count)
    try:
        await server.call("POST", "/apps/example/builds", {}, expect=201)
        await server.work()
        before = {path: await cost(path) for path in paths}
        for number in range(6):
            await server.app(f"app-{number}")
            body = {"app": f"app-{number}", "pipeline": "shop", "stage": "development"}
            await server.call("POST", "/pipeline-couplings", body, expect=201)
            await server.call("POST", f"/apps/app-{number}/builds", {}, expect=201)
            await server.call("POST", "/apps/example/builds", {}, expect=201)
        await server.work()
        assert {path: await cost(path) for path in paths} == before
    finally:
        event.remove(Engine, "before_cursor_execute", count)
