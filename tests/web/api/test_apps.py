"""Apps, pipelines and couplings on the wire."""

import base64

from tests.web.serving import Server


async def test_an_app_is_created_listed_shown_renamed_and_destroyed(server: Server) -> None:
    made = await server.app("example")
    assert made["name"] == "example"
    assert made["web_url"].startswith("http://example.localhost:")
    assert made["git_url"] == f"{server.url}/example.git"
    assert made["owner"]["email"] == "admin@localhost"
    assert [app["id"] for app in await server.get("/apps")] == [made["id"]]
    assert (await server.get("/apps/example"))["id"] == made["id"]
    assert (await server.get(f"/apps/{made['id']}"))["name"] == "example"

    await server.call("PATCH", "/apps/example", {"name": "renamed", "maintenance": True}, expect=200)
    renamed = await server.get("/apps/renamed")
    assert (renamed["id"], renamed["maintenance"]) == (made["id"], True)

    await server.call("DELETE", "/apps/renamed", expect=200)
    assert (await server.get("/apps/renamed"))["state"] == "destroying"


async def test_an_app_without_a_name_gets_one(server: Server) -> None:
    made, _ = await server.call("POST", "/apps", {}, expect=201)
    assert len(made["name"]) >= 3


async def test_a_taken_name_is_refused_with_422(server: Server) -> None:
    await server.app("example")
    error, _ = await server.call("POST", "/apps", {"name": "example"}, expect=422)
    assert error == {"id": "invalid_params", "message": "Name example is already taken"}


async def test_the_token_may_come_as_basic_password(server: Server) -> None:
    basic = base64.b64encode(f":{server.token}".encode()).decode()
    account, _ = await server.call("GET", "/account", expect=200, Authorization=f"Basic {basic}")
    assert account["email"] == "admin@localhost"


async def test_no_token_and_a_wrong_token_are_401(server: Server) -> None:
    for authorization in ("", "Bearer towpath-wrong", "Basic !!!", "Basic Zm9v", "Digest x"):
        error, _ = await server.call("GET", "/apps", expect=401, Authorization=authorization)
        assert error["id"] == "unauthorized"


async def test_liveness_needs_no_token(server: Server) -> None:
    for path in ("/healthz", "/readyz"):
        await server.call("GET", path, expect=200, Authorization="")


async def test_every_answer_has_its_own_request_id(server: Server) -> None:
    ids = {(await server.call("GET", "/apps"))[1].headers["Request-Id"] for _ in range(3)}
    assert len(ids) == 3


async def test_a_second_coupling_is_refused_naming_the_pipeline(server: Server) -> None:
    await server.pipeline("first", production="example")
    second = await server.pipeline("second")
    body = {"app": "example", "pipeline": second["id"], "stage": "staging"}
    error, _ = await server.call("POST", "/pipeline-couplings", body, expect=422)
    assert error["message"] == "App example is already in pipeline first (production)"


async def test_couplings_are_listed_in_every_way_and_can_move_and_go(server: Server) -> None:
    pipeline = await server.pipeline(staging="example-staging", production="example")
    listings = ("/pipeline-couplings", "/users/~/pipeline-couplings", f"/pipelines/{pipeline['id']}/pipeline-couplings")
    for listing in listings:
        assert {(it["app"]["name"], it["stage"]) for it in await server.get(listing)} == {
            ("example-staging", "staging"),
            ("example", "production"),
        }
    coupling = await server.get("/apps/example/pipeline-couplings")
    assert coupling["pipeline"] == {"id": pipeline["id"], "name": "shop"}
    moved, _ = await server.call("PATCH", f"/pipeline-couplings/{coupling['id']}", {"stage": "development"}, expect=200)
    assert moved["stage"] == "development"
    await server.call("DELETE", f"/pipeline-couplings/{coupling['id']}", expect=200)
    await server.call("GET", "/apps/example/pipeline-couplings", expect=404)
    await server.call("GET", "/apps/example", expect=200)


async def test_pipelines_of_one_name_are_told_apart_by_id(server: Server) -> None:
    first, second = await server.pipeline("twin", connected=False), await server.pipeline("twin", connected=False)
    found = await server.get("/pipelines?eq[name]=twin")
    assert {it["id"] for it in found} == {first["id"], second["id"]}
    error, _ = await server.call("GET", "/pipelines/twin", expect=422)
    assert first["id"] in error["message"]
    assert second["id"] in error["message"]
    assert (await server.get(f"/pipelines/{second['id']}"))["id"] == second["id"]


async def test_a_pipeline_is_renamed_and_deleted_and_its_apps_live_on(server: Server) -> None:
    pipeline = await server.pipeline(production="example")
    await server.call("PATCH", f"/pipelines/{pipeline['id']}", {"name": "renamed"}, expect=200)
    await server.call("DELETE", "/pipelines/renamed", expect=200)
    await server.call("GET", "/pipelines/renamed", expect=404)
    await server.call("GET", "/apps/example", expect=200)


async def test_stage_config_is_set_unset_and_kept_per_stage(server: Server) -> None:
    pipeline = await server.pipeline()
    where = f"/pipelines/{pipeline['id']}/stage/review/config-vars"
    await server.call("PATCH", where, {"A": "1", "B": "2"}, expect=200)
    await server.call("PATCH", where, {"B": None}, expect=200)
    assert await server.get(where) == {"A": "1"}
    assert await server.get(where.replace("review", "test")) == {}
    await server.call("GET", where.replace("review", "nowhere"), expect=404)


async def test_some_apps_are_found_by_their_ids(server: Server) -> None:
    made = [await server.app(name) for name in ("one-app", "two-app", "three-app")]
    body = {"in": {"id": [made[0]["id"], made[2]["id"], "unknown"]}}
    found, _ = await server.call("POST", "/filters/apps", body, expect=200)
    assert {app["name"] for app in found} == {"one-app", "three-app"}


async def test_spaces_are_listed_and_made_once(server: Server) -> None:
    body = {"name": "private", "driver": "process"}
    await server.call("POST", "/spaces", body, expect=201)
    await server.call("POST", "/spaces", body, expect=422)
    assert [space["name"] for space in await server.get("/spaces")] == ["common", "private"]
    app, _ = await server.call("POST", "/apps", {"name": "inside", "space": "private"}, expect=201)
    assert app["space"]["name"] == "private"
