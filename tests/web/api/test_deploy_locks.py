"""Deploy locks on the wire: who may set one and take it off, what is refused while it is there, and going past it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.store.database import Database, new_id
from service.store.tables import subjects as subject_rows
from tests.web.api.test_deploying import deployed
from tests.web.serving import Server


async def bob(server: Server) -> dict[str, str]:
    """What somebody else sends who has access to the app."""
    made, _ = await server.call("POST", "/users", {"email": "bob@acme.example", "name": "Bob"}, expect=201)
    await server.call("POST", "/apps/example/collaborators", {"user": "bob@acme.example"}, expect=201)
    return {"Authorization": f"Bearer {made['access_token']['token']}"}


async def lock(server: Server, path: str, *, expect: int = 201, sent: Any = None, **terms: Any) -> Any:
    answer, _ = await server.call(
        "POST", f"{path}/deploy-locks", {"reason": "sale"} | terms, expect=expect, **(sent or {})
    )
    return answer


async def noted(server: Server) -> list[tuple[str, str]]:
    entries = await server.get("/activity")
    return [(each["actor"], each["action"]) for each in entries if "lock" in each["action"]]


async def test_a_lock_is_listed_where_it_keeps_new_code_out_until_it_is_taken_off(server: Server) -> None:
    pipeline = await server.pipeline(staging="example-staging", production="example")
    until = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
    of_pipeline = await lock(server, f"/pipelines/{pipeline['id']}", expires_at=until.isoformat())
    of_app = await lock(server, "/apps/example", reason="incident  42")
    assert of_pipeline["pipeline"] == {"id": pipeline["id"], "name": "shop"}
    assert (of_pipeline["app"], of_pipeline["owner"]["email"]) == (None, "admin@localhost")
    assert of_pipeline["expires_at"] == f"{until:%Y-%m-%dT%H:%M:%SZ}"
    assert of_pipeline["message"] == f"locked by admin@localhost until {until:%Y-%m-%d %H:%M} UTC: sale"
    assert (of_app["app"]["name"], of_app["pipeline"], of_app["reason"]) == ("example", None, "incident 42")
    assert of_app["expires_at"] is None
    for path in ("/deploy-locks", "/apps/example/deploy-locks", "/pipelines/shop/deploy-locks"):
        assert await server.get(path) == [of_pipeline, of_app]
    assert await server.get("/apps/example-staging/deploy-locks") == [of_pipeline]
    taken, _ = await server.call("DELETE", f"/deploy-locks/{of_pipeline['id']}", expect=200)
    assert taken == of_pipeline
    assert await server.get("/deploy-locks") == [of_app]
    assert await noted(server) == [
        ("user:admin@localhost", "deploys locked"),
        ("user:admin@localhost", "deploys locked"),
        ("user:admin@localhost", "deploys unlocked"),
    ]


async def test_an_expired_lock_is_nowhere_to_be_seen_and_anybody_may_lock_anew(server: Server) -> None:
    await server.app("example")
    await lock(server, "/apps/example", expires_in=1)
    now = server.db.now()
    server.db._clock = lambda: now + timedelta(seconds=2)
    assert await server.get("/deploy-locks") == []
    assert (await lock(server, "/apps/example", sent=await bob(server)))["owner"]["email"] == "bob@acme.example"


async def test_a_locked_app_refuses_new_code_by_name_and_lets_it_in_past_the_lock_on_record(server: Server) -> None:
    await server.pipeline(staging="example-staging", production="example")
    await deployed(server, "example-staging")
    await lock(server, "/pipelines/shop")
    source = {"app": {"id": (await server.get("/apps/example-staging"))["id"]}}
    slug = (await server.get("/apps/example-staging/releases/v1"))["slug"]["id"]
    asked: list[tuple[str, Any, str]] = [
        ("/apps/example-staging/builds", {}, "example-staging"),
        ("/apps/example-staging/releases", {"slug": slug}, "example-staging"),
        ("/pipeline-promotions", {"pipeline": "shop", "source": source}, "example"),
    ]
    for path, body, app in asked:
        error, _ = await server.call("POST", path, body, expect=409)
        assert error == {
            "id": "conflict",
            "message": f"{app} is locked by admin@localhost: sale. Take the lock off (towpath unlock -p shop), or go "
            "past it, which is put on record: --override-lock",
        }
    assert await server.get("/apps/example/requests") == []
    for path, body, _ in asked:
        await server.call("POST", path, body | {"override_lock": True}, expect=201)
        await server.work()
    assert (await server.get("/apps/example/releases/current"))["version"] == 1
    overridden = [each for each in await server.get("/activity") if each["action"] == "deploy lock overridden"]
    assert [each["data"] for each in overridden] == 3 * [{"lock": "locked by admin@localhost: sale", "name": "shop"}]


async def test_a_locked_app_is_rolled_back_configured_scaled_and_restarted(server: Server) -> None:
    await server.pipeline(staging="example")
    await deployed(server, "example")
    await deployed(server, "example", "fix/cart")
    await lock(server, "/apps/example")
    await server.call("POST", "/apps/example/releases", {"release": "v1"}, expect=201)
    await server.call("PATCH", "/apps/example/config-vars", {"A": "1"}, expect=200)
    await server.call("PATCH", "/apps/example/formation/web", {"quantity": 2}, expect=200)
    await server.call("DELETE", "/apps/example/dynos", expect=202)


async def test_a_promotion_goes_to_all_its_targets_or_says_which_are_locked(server: Server) -> None:
    pipeline = await server.pipeline(staging="example-staging", production="example")
    for name in ("example-eu", "example-us"):
        await server.app(name)
        body = {"app": name, "pipeline": pipeline["id"], "stage": "production"}
        await server.call("POST", "/pipeline-couplings", body, expect=201)
    await deployed(server, "example-staging")
    for name in ("example-eu", "example-us"):
        await lock(server, f"/apps/{name}")
    source = {"app": "example-staging"}
    error, _ = await server.call("POST", "/pipeline-promotions", {"pipeline": "shop", "source": source}, expect=409)
    assert [line.partition(" is locked")[0] for line in error["message"].splitlines()] == ["example-eu", "example-us"]
    assert await server.get("/apps/example/requests") == []
    to_open = {"pipeline": "shop", "source": source, "targets": [{"app": "example"}]}
    await server.call("POST", "/pipeline-promotions", to_open, expect=201)


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        pytest.param({}, 422, "reason: is required", id="no reason"),
        pytest.param({"reason": "  "}, 422, "reason: say why", id="a reason that says nothing"),
        pytest.param({"reason": 5}, 422, "reason: Input should be a valid string", id="a number for a reason"),
        pytest.param(
            {"reason": "x", "expires_at": "2026-01-01T00:00:00Z"}, 422, "is over already", id="a time that is over"
        ),
        pytest.param(
            {"reason": "x", "expires_at": "9999-12-31T23:59:59-14:00"}, 422, "366 days at most", id="the end of time"
        ),
        pytest.param(
            {"reason": "x", "expires_at": "2099-01-01T00:00:00"},
            422,
            "should have timezone",
            id="a time without a zone",
        ),
        pytest.param({"reason": "x", "expires_at": "soon"}, 422, "expires_at: ", id="no time at all"),
        pytest.param({"reason": "x", "expires_in": 0}, 422, "greater than or equal to 1", id="no seconds"),
        pytest.param({"reason": "x", "expires_in": 10**9}, 422, "less than or equal to", id="thirty years of seconds"),
        pytest.param(
            {"reason": "x", "expires_in": 5, "expires_at": "2099-01-01T00:00:00Z"},
            422,
            "either a time or expires_in",
            id="both times",
        ),
        pytest.param({"reason": "x", "until": "2099"}, 422, "until: unknown field", id="a field nobody knows"),
    ],
)
async def test_terms_that_make_no_lock_are_refused_by_name(
    server: Server, body: Any, status: int, message: str
) -> None:
    await server.app("example")
    error, _ = await server.call("POST", "/apps/example/deploy-locks", body, expect=status)
    assert message in error["message"]
    assert await server.get("/deploy-locks") == []


async def test_what_is_not_there_can_neither_be_locked_nor_unlocked(server: Server) -> None:
    for path, what in (("/apps/nobody", "app"), ("/pipelines/nowhere", "pipeline")):
        assert (await lock(server, path, expect=404))["message"] == f"Couldn't find that {what}."
        await server.call("GET", f"{path}/deploy-locks", expect=404)
    error, _ = await server.call("DELETE", f"/deploy-locks/{new_id()}", expect=404)
    assert error["message"] == "Couldn't find that deploy lock."


async def test_somebody_elses_lock_stays_as_it_is_without_force(server: Server) -> None:
    await server.app("example")
    made = await lock(server, "/apps/example")
    other = await bob(server)
    error = await lock(server, "/apps/example", expect=409, reason="mine", sent=other)
    assert error["message"] == (
        "example is locked by admin@localhost: sale. It stays as admin@localhost made it; to take it off first: "
        "towpath unlock -a example --force"
    )
    assert (await server.call("DELETE", f"/deploy-locks/{made['id']}", expect=409, **other))[0] == error
    await server.call("DELETE", f"/deploy-locks/{made['id']}?force=please", expect=422, **other)
    assert await server.get("/deploy-locks") == [made]
    await server.call("DELETE", f"/deploy-locks/{made['id']}?force=true", expect=200, **other)
    assert (await noted(server))[-1] == ("user:bob@acme.example", "deploys unlocked by force")


async def test_its_owner_changes_a_lock_by_locking_again(server: Server) -> None:
    await server.app("example")
    made = await lock(server, "/apps/example", expires_in=3600)
    changed = await lock(server, "/apps/example", reason="until monday")
    assert (changed["id"], changed["reason"], changed["expires_at"]) == (made["id"], "until monday", None)
    assert await server.get("/deploy-locks") == [changed]


async def test_apps_whose_locked_pipeline_is_deleted_look_again(server: Server) -> None:
    pipeline = await server.pipeline(staging="example")
    await lock(server, "/pipelines/shop")
    app = await server.get("/apps/example")
    await _rest(server.db)
    await server.call("DELETE", f"/pipelines/{pipeline['id']}", expect=200)
    assert await server.get("/deploy-locks") == []
    due = await server.db.read(lambda conn: conn.execute(subject_rows.select()).all())
    assert [(each.key, each.cause) for each in due if each.due_at is not None] == [(app["id"], "pipeline deleted")]


async def _rest(db: Database) -> None:
    """Whatever was rung for is done."""
    await db.write(lambda conn: conn.execute(subject_rows.update().values(due_at=None)))
