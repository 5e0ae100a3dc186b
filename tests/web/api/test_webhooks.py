"""Outbound webhooks on the wire: made, shown without what is secret of them, changed and taken away."""

from typing import Any

import pytest

from tests.web.serving import Server

WANTED = {"include": ["api:release", "api:build"], "level": "sync", "url": "http://localhost:9/hooks"}
HEROKU = {"Accept": "application/vnd.heroku+json; version=3.webhooks"}


async def made(server: Server, where: str = "/apps/example", **more: Any) -> Any:
    return (await server.call("POST", f"{where}/webhooks", WANTED | more, expect=201))[0]


async def test_a_webhook_is_shown_without_its_secrets_which_are_sealed_and_nowhere_on_record(server: Server) -> None:
    app = await server.app("example")
    body = WANTED | {"secret": "horse-battery", "authorization": "Bearer staple"}
    webhook, response = await server.call("POST", "/apps/example/webhooks", body, expect=201, **HEROKU)
    assert "Heroku-Webhook-Secret" not in response.headers
    assert webhook == {
        "app": {"id": app["id"], "name": "example"},
        "created_at": webhook["created_at"],
        "id": webhook["id"],
        "include": ["api:build", "api:release"],
        "level": "sync",
        "updated_at": webhook["updated_at"],
        "url": "http://localhost:9/hooks",
        "pipeline": None,
        "state": "active",
        "reason": None,
    }
    assert await server.get("/apps/example/webhooks", **HEROKU) == [webhook]
    assert await server.get(f"/apps/example/webhooks/{webhook['id']}", **HEROKU) == webhook
    entries = await server.get("/activity")
    everything = await server.db.read(lambda conn: "\n".join(conn.connection.iterdump()))
    for secret in ("horse-battery", "staple"):
        assert secret not in everything
        assert secret not in str(entries)
    (noted,) = [each for each in entries if each["action"] == "webhook added"]
    assert (noted["data"]["host"], "url" in noted["data"]) == ("localhost", False)


async def test_a_secret_that_is_not_given_is_made_up_and_told_once(server: Server) -> None:
    await server.app("example")
    _, response = await server.call("POST", "/apps/example/webhooks", WANTED, expect=201)
    assert len(response.headers["Heroku-Webhook-Secret"]) == 64
    assert response.headers["Cache-Control"] == "no-store"
    _, response = await server.call("GET", "/apps/example/webhooks", expect=200)
    assert "Heroku-Webhook-Secret" not in response.headers


async def test_a_webhook_is_changed_in_part_and_taken_away(server: Server) -> None:
    pipeline = await server.pipeline(staging="example")
    where = f"/pipelines/{pipeline['id']}"
    webhook = await made(server, where, include=["api:promotion", "api:app"])
    assert (webhook["app"], webhook["pipeline"]) == (None, {"id": pipeline["id"], "name": "shop"})
    one = f"{where}/webhooks/{webhook['id']}"
    changed, _ = await server.call("PATCH", one, {"level": "notify", "secret": "another"}, expect=200)
    assert changed == webhook | {"level": "notify", "updated_at": changed["updated_at"]}
    changed, _ = await server.call(
        "PATCH", one, {"include": ["api:review-app"], "url": "http://localhost:8/"}, expect=200
    )
    assert (changed["include"], changed["url"], changed["level"]) == (
        ["api:review-app"],
        "http://localhost:8/",
        "notify",
    )
    assert (await server.call("DELETE", one, expect=200))[0] == changed
    for method, body in (("GET", None), ("PATCH", {}), ("DELETE", None)):
        error, _ = await server.call(method, one, body, expect=404)
        assert error["message"] == "Couldn't find that webhook."


async def test_a_webhook_is_found_only_where_it_belongs(server: Server) -> None:
    pipeline = await server.pipeline(staging="example", production="example-live")
    webhook = await made(server)
    for other in ("/apps/example-live", f"/pipelines/{pipeline['id']}"):
        await server.call("DELETE", f"{other}/webhooks/{webhook['id']}", expect=404)
    assert len(await server.get("/apps/example/webhooks")) == 1


async def test_deleting_a_pipeline_takes_its_webhooks_with_it(server: Server) -> None:
    pipeline = await server.pipeline(staging="example")
    await made(server, "/pipelines/shop", include=["api:app"])
    await server.call("PATCH", "/apps/example", {"maintenance": True}, expect=200)
    assert len(await server.get("/pipelines/shop/webhook-deliveries")) == 1
    await server.call("DELETE", f"/pipelines/{pipeline['id']}", expect=200)
    await server.call("PATCH", "/apps/example", {"maintenance": False}, expect=200)
    assert await server.get("/apps/example/webhook-deliveries") == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param({"include": ["api:addon"]}, "include: api:addon is not known", id="no such entity"),
        pytest.param({"include": ["api:promotion"]}, "heard by a pipeline's webhook", id="an entity of pipelines"),
        pytest.param({"include": []}, "include: List should have at least 1 item", id="nothing"),
        pytest.param({"level": "loud"}, "level: Input should be 'notify' or 'sync'", id="no such level"),
        pytest.param({"url": "hooks"}, "url: is not an address such as https://example.com/hooks", id="no address"),
        pytest.param({"url": "http://example.com/"}, "url: only https leads out of this machine", id="http"),
        pytest.param({"url": "https://10.0.0.1/"}, "url: 10.0.0.1 is not in the public internet", id="a private one"),
        pytest.param({"url": "https://a:b@example.com/"}, "url: holds a password", id="a password in the address"),
        pytest.param({"authorization": "Bearer\nx"}, "authorization: ", id="two lines for a header"),
        pytest.param({"secret": ""}, "secret: ", id="an empty secret"),
        pytest.param({"sercet": "x"}, "sercet: unknown field", id="a misspelt field"),
    ],
)
async def test_what_makes_no_webhook_is_refused_by_name(server: Server, body: Any, message: str) -> None:
    await server.app("example")
    error, _ = await server.call("POST", "/apps/example/webhooks", WANTED | body, expect=422)
    assert error["message"].startswith(message) or message in error["message"]
    webhook = await made(server)
    await server.call("PATCH", f"/apps/example/webhooks/{webhook['id']}", body, expect=422)
    assert await server.get("/apps/example/webhooks") == [webhook]


async def test_an_app_has_thirty_webhooks_at_most(server: Server) -> None:
    await server.app("example")
    for _ in range(30):
        await made(server)
    error, _ = await server.call("POST", "/apps/example/webhooks", WANTED, expect=422)
    assert error["message"].startswith("There are 30 webhooks already")


async def test_a_status_that_there_is_not_is_refused(server: Server) -> None:
    await server.app("example")
    error, _ = await server.call("GET", "/apps/example/webhook-deliveries?eq[status]=lost", expect=422)
    assert error["message"] == "eq[status]: is one of pending, retrying, succeeded, failed"
