"""What a build sees and when it begins from nothing, on the wire."""

from typing import Any

import pytest

from service.store import activity
from tests.web.serving import Server


async def test_config_vars_are_named_for_the_builds_of_a_pipeline_and_its_apps_show_them(server: Server) -> None:
    pipeline = await server.pipeline(staging="example")
    where = f"/pipelines/{pipeline['id']}/build-config"
    whose = {"id": pipeline["id"], "name": "shop"}
    assert await server.get(where) == {"names": [], "pipeline": whose}
    named, _ = await server.call("PUT", where, {"names": ["SITE", "SECRET_KEY", "SITE"]}, expect=200)
    assert named == {"names": ["SECRET_KEY", "SITE"], "pipeline": whose}
    assert await server.get("/apps/example/build-config") == named
    noted = await server.db.read(lambda conn: activity.listing(conn, pipeline_id=pipeline["id"], limit=1))
    assert (noted[0].action, noted[0].data) == ("build config changed", {"names": ["SECRET_KEY", "SITE"]})
    await server.call("PUT", where, {"names": []}, expect=200)
    assert (await server.get(where))["names"] == []


async def test_an_app_in_a_pipeline_refers_to_it_and_one_in_none_has_its_own(server: Server) -> None:
    await server.pipeline(staging="example")
    error, _ = await server.call("PUT", "/apps/example/build-config", {"names": ["SITE"]}, expect=422)
    assert "towpath config:build NAME ... -p shop" in error["message"]
    alone = await server.app("alone")
    named, _ = await server.call("PUT", "/apps/alone/build-config", {"names": ["SITE"]}, expect=200)
    assert named == await server.get("/apps/alone/build-config") == {"names": ["SITE"], "pipeline": None}
    noted = await server.db.read(lambda conn: activity.listing(conn, app_id=alone["id"], limit=1))
    assert (noted[0].action, noted[0].data) == ("build config changed", {"names": ["SITE"]})


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"names": ["PATH", "LD_PRELOAD"]}, "names: LD_PRELOAD, PATH cannot be given to builds"),
        ({"names": [f"N{number}" for number in range(101)]}, "names: 101 config vars are named; at most 100"),
        ({"names": ["NOT A NAME"]}, "names.0: "),
        ({"names": "SITE"}, "names: "),
        ({}, "names: is required"),
    ],
    ids=["what the build runs", "too many", "no name", "no list", "nothing"],
)
async def test_what_cannot_be_named_is_refused_with_422(server: Server, body: Any, text: str) -> None:
    await server.app("alone")
    error, _ = await server.call("PUT", "/apps/alone/build-config", body, expect=422)
    assert error["message"].startswith(text)


async def test_a_build_cannot_be_given_buildpacks(server: Server) -> None:
    await server.pipeline(staging="example")
    body: Any = {"source_blob": {"version": "main"}, "buildpacks": [{"url": "heroku/python"}]}
    error, _ = await server.call("POST", "/apps/example/builds", body, expect=422)
    assert error["message"].startswith("buildpacks: they cannot be given with a build; name them in the repository")
    assert await server.get("/apps/example/builds") == []
    await server.call("POST", "/apps/example/builds", body | {"buildpacks": []}, expect=201)


async def test_a_rebuild_is_asked_for_and_said_to_be_one(server: Server) -> None:
    await server.pipeline(staging="example")
    body: Any = {"source_blob": {"version": "main"}, "rebuild": True}
    build, _ = await server.call("POST", "/apps/example/builds", body, expect=201)
    assert build["source_blob"]["version_description"] == "rebuild of main"
    await server.call("POST", "/apps/example/builds", body | {"rebuild": "yes"}, expect=422)
