"""Builds, releases, promotions, formation and config vars on the wire."""

import asyncio
from typing import Any

import pytest

from service.store import builds, logs
from service.store.tables import log_streams
from service.web import streams
from tests.waiting import until
from tests.web.serving import FOLLOWED, HEADS, SHOP, Server


async def deployed(server: Server, app: str, ref: str = "main", **work: Any) -> Any:
    build, _ = await server.call("POST", f"/apps/{app}/builds", {"source_blob": {"version": ref}}, expect=201)
    await server.work(**work)
    return build


async def test_a_deploy_is_a_build_before_a_worker_takes_it_and_keeps_its_id(server: Server) -> None:
    await server.pipeline(staging="example")
    build, _ = await server.call("POST", "/apps/example/builds", {"source_blob": {"version": "main"}}, expect=201)
    assert (build["status"], build["source_blob"]["version"]) == ("pending", HEADS["main"])
    assert [it["id"] for it in await server.get("/apps/example/builds")] == [build["id"]]
    await server.work()
    done = await server.get(f"/apps/example/builds/{build['id']}")
    assert (done["status"], done["id"]) == ("succeeded", build["id"])
    release = await server.get(f"/apps/example/releases/{done['release']['id']}")
    assert (release["version"], release["current"], release["slug"]) == (1, True, done["slug"])
    assert (await server.get("/apps/example"))["slug_size"] == 1000


async def test_a_short_sha_deploys_that_commit_and_nothing_given_the_default_branch(server: Server) -> None:
    await server.pipeline(staging="example")
    by_sha, _ = await server.call("POST", "/apps/example/builds", {"source_blob": {"version": "bbbbbbb"}}, expect=201)
    default, _ = await server.call("POST", "/apps/example/builds", {}, expect=201)
    assert by_sha["source_blob"]["version"] == HEADS["fix/cart"]
    assert default["source_blob"]["version"] == HEADS["main"]


async def test_a_failed_build_says_why(server: Server) -> None:
    await server.pipeline(staging="example")
    build = await deployed(server, "example", fail="build")
    done = await server.get(f"/apps/example/builds/{build['id']}")
    assert (done["status"], done["error"], done["release"]) == ("failed", "no Procfile", None)


async def test_build_output_is_streamed_by_its_own_key_while_it_is_written(server: Server) -> None:
    await server.pipeline(staging="example")
    build, _ = await server.call("POST", "/apps/example/builds", {"source_blob": {"version": "main"}}, expect=201)
    reading = asyncio.create_task(server.session.get(build["output_stream_url"]))
    response = await reading
    assert response.status == 200
    await server.work(output="-----> Python app detected\n")
    assert await response.text() == "-----> Python app detected\n"
    path = build["output_stream_url"].removeprefix(server.url).partition("?")[0]
    # Ids are in answers, logs and addresses of pages; who knows one has no key yet.
    for query in ("", f"?key={build['id']}", f"?key={'0' * 64}", "?key=%C3%BC"):
        await server.call("GET", path + query, expect=404, Authorization="")
    assert await server.get(path) == "-----> Python app detected\n"


async def test_a_reader_who_comes_late_is_told_all_of_it_and_then_what_follows(server: Server) -> None:
    await server.pipeline(staging="example")
    build, _ = await server.call("POST", "/apps/example/builds", {"source_blob": {"version": "main"}}, expect=201)

    def begin(conn: Any) -> str:
        now, log_id = server.db.now(), logs.open_log(conn, server.db.now())
        of = {"app_id": build["app"]["id"], "request_id": build["id"], "repository_id": SHOP.id, "sha": HEADS["main"]}
        builds.create(conn, **of, log_id=log_id, now=now)
        return log_id

    log_id = await server.db.write(begin)
    async with logs.LogSink(server.db, log_id) as sink:
        await sink.write("written long ago\n")
    await server.db.write(lambda conn: conn.execute(log_streams.update().values(closed=False)))
    async with server.session.get(build["output_stream_url"]) as late:
        assert await late.content.readline() == b"written long ago\n"
        async with logs.LogSink(server.db, log_id) as sink:
            await sink.write("written now\n")
        assert await late.text() == "written now\n"


async def test_a_stream_ends_when_the_server_stops(server: Server) -> None:
    await server.pipeline(staging="example")
    build, _ = await server.call("POST", "/apps/example/builds", {"source_blob": {"version": "main"}}, expect=201)
    async with server.session.get(build["output_stream_url"]) as response:
        assert response.status == 200
        assert not response.content.at_eof()
    # The fixture's own end proves the rest: it would wait for the stream.


async def test_releases_are_paged_newest_first(server: Server) -> None:
    await server.pipeline(staging="example")
    for number in range(5):
        await server.call("PATCH", "/apps/example/config-vars", {"N": str(number)}, expect=200)
        await server.work()
    page, response = await server.call("GET", "/apps/example/releases", Range="version ..; order=desc,max=2")
    assert (response.status, [it["version"] for it in page]) == (206, [5, 4])
    assert response.headers["Content-Range"] == "version 5..4"
    seen = page
    while following := response.headers.get("Next-Range"):
        page, response = await server.call("GET", "/apps/example/releases", Range=following)
        seen += page
    assert [it["version"] for it in seen] == [5, 4, 3, 2, 1]
    assert response.status == 200


async def test_config_vars_are_set_and_unset_and_each_change_is_a_release(server: Server) -> None:
    await server.pipeline(staging="example")
    after, response = await server.call("PATCH", "/apps/example/config-vars", {"A": "1", "B": "x=y\n"}, expect=200)
    assert after == {"A": "1", "B": "x=y\n"}
    request = await server.get(f"/requests/{response.headers['Towpath-Request']}")
    assert (request["kind"], request["state"]) == ("ChangeConfig", "queued")
    (newest,) = await server.get("/apps/example/releases")
    assert (newest["version"], newest["status"], newest["description"]) == (1, "pending", "Set A, B config vars")
    await server.call("PATCH", "/apps/example/config-vars", {"B": None}, expect=200)
    assert await server.get("/apps/example/config-vars") == {"A": "1"}
    await server.work()
    assert len(await server.get("/apps/example/releases")) == 2


async def test_setting_what_is_set_already_changes_nothing(server: Server) -> None:
    await server.pipeline(staging="example")
    await server.call("PATCH", "/apps/example/config-vars", {"A": "1"}, expect=200)
    _, response = await server.call("PATCH", "/apps/example/config-vars", {"A": "1", "NONE": None}, expect=200)
    assert "Towpath-Request" not in response.headers


async def test_a_promotion_gives_the_very_same_slug_to_the_next_stage(server: Server) -> None:
    pipeline = await server.pipeline(staging="example-staging", production="example")
    await deployed(server, "example-staging")
    body = {"pipeline": {"id": pipeline["id"]}, "source": {"app": {"name": "example-staging"}}}
    promotion, _ = await server.call("POST", "/pipeline-promotions", body, expect=201)
    assert promotion["status"] == "pending"
    await server.work()
    where = f"/pipeline-promotions/{promotion['id']}"
    assert (await server.get(where))["status"] == "completed"
    (target,) = await server.get(f"{where}/promotion-targets")
    assert (target["app"]["name"], target["status"], target["error_message"]) == ("example", "succeeded", None)
    staging, production = [await server.get(f"/apps/{app}/releases/current") for app in ("example-staging", "example")]
    assert production["slug"] == staging["slug"]
    slug = await server.get(f"/apps/example/slugs/{production['slug']['id']}")
    assert slug["commit"] == HEADS["main"]
    trail = (await server.get("/why?q=example-staging"))["trail"]
    assert any(it["text"].endswith("targets example)") for it in trail if ": promoted (" in it["text"]), trail
    await server.call("GET", f"/apps/{(await server.app('foreign'))['id']}/slugs/{slug['id']}", expect=404)


async def test_a_failed_target_completes_the_promotion_and_says_why(server: Server) -> None:
    pipeline = await server.pipeline(staging="example-staging", production="example")
    await deployed(server, "example-staging")
    body = {
        "pipeline": {"id": pipeline["id"]},
        "source": {"app": {"id": "example-staging"}},
        "targets": [{"app": {"id": "example"}}],
    }
    promotion, _ = await server.call("POST", "/pipeline-promotions", body, expect=201)
    await server.work(fail="release")
    (target,) = await server.get(f"/pipeline-promotions/{promotion['id']}/promotion-targets")
    assert (target["status"], target["error_message"]) == ("failed", "release command exited with 1")
    assert (await server.get(f"/pipeline-promotions/{promotion['id']}"))["failed_targets"] == 1


async def test_an_app_is_not_promoted_to_itself_whether_named_or_numbered(server: Server) -> None:
    pipeline = await server.pipeline(staging="example-staging", production="example")
    await deployed(server, "example-staging")
    source = await server.get("/apps/example-staging")
    for itself in (source["id"], source["name"]):
        body = {
            "pipeline": {"id": pipeline["id"]},
            "source": {"app": {"id": source["id"]}},
            "targets": [{"app": {"id": itself}}],
        }
        await server.call("POST", "/pipeline-promotions", body, expect=422)


async def test_a_rollback_is_a_new_release_of_the_old_slug(server: Server) -> None:
    await server.pipeline(staging="example")
    await deployed(server, "example", "main")
    await deployed(server, "example", "fix/cart")
    for number, named in enumerate((1, "v1", (await server.get("/apps/example/releases/1"))["id"]), start=3):
        made, _ = await server.call("POST", "/apps/example/releases", {"release": named}, expect=201)
        assert (made["version"], made["status"], made["description"]) == (number, "pending", "Rollback to v1")
        assert await server.get(f"/apps/example/releases/{number}") | {"request": made["request"]} == made
        await server.work()
    releases = {it["version"]: it for it in await server.get("/apps/example/releases")}
    assert len(releases) == 5
    assert {releases[version]["slug"]["id"] for version in (3, 4, 5)} == {releases[1]["slug"]["id"]}
    assert releases[3]["commit"] == HEADS["main"]


async def test_release_output_is_offered_only_with_a_release_phase(server: Server) -> None:
    await server.pipeline(staging="example", production="other")
    await deployed(server, "example", release_phase=True)
    await deployed(server, "other", "fix/cart")
    with_phase, without = [await server.get(f"/apps/{app}/releases/current") for app in ("example", "other")]
    assert without["output_stream_url"] is None
    async with server.session.get(with_phase["output_stream_url"]) as response:
        assert await response.text() == "migrating\n"


async def test_formation_and_dynos_follow_a_scale(server: Server) -> None:
    await server.pipeline(staging="example")
    await deployed(server, "example")
    assert {it["type"]: it["quantity"] for it in await server.get("/apps/example/formation")} == {"web": 1, "worker": 0}
    updates = {"updates": [{"type": "web", "quantity": 2}, {"type": "worker", "quantity": 1}]}
    shown, _ = await server.call("PATCH", "/apps/example/formation", updates, expect=200)
    assert [it["quantity"] for it in shown] == [2, 1]
    await server.work()
    assert [it["name"] for it in await server.get("/apps/example/dynos")] == ["web.1", "web.2", "worker.1"]
    error, _ = await server.call("PATCH", "/apps/example/formation/clock", {"quantity": 1}, expect=404)
    assert "clock" in error["message"]
    await server.call("DELETE", "/apps/example/dynos", expect=202)
    await server.call("DELETE", "/apps/example/dynos/web.9", expect=404)


async def test_logs_are_read_by_a_sealed_address_without_a_token(server: Server) -> None:
    await server.app("example")
    session, _ = await server.call("POST", "/apps/example/log-sessions", {"lines": 2}, expect=201)
    async with server.session.get(session["logplex_url"]) as response:
        assert (await response.text()).splitlines()[-1].endswith("line 3 of [web.2]")
    async with server.session.get(session["logplex_url"], headers={"Accept": "text/event-stream"}) as response:
        assert response.content_type == "text/event-stream"
        assert (await response.text()).startswith("data: ")
    await server.call("GET", "/log-sessions/forged", expect=404)
    await server.call("GET", "/log-sessions/%ff", expect=404)


@pytest.mark.parametrize(
    ("dyno", "lines", "shown"),
    [
        ("web.1", 100, [0, 1]),
        ("web.1", 1, [1]),
        ("web", 100, [0, 1, 2]),
        ("web", 2, [1, 2]),
        ("webhook", 1, [3]),
        ("web.2", 100, []),
        ("w", 100, []),
    ],
)
async def test_logs_of_one_process_are_its_last_and_of_no_other(
    server: Server, dyno: str, lines: int, shown: list[int]
) -> None:
    await server.app("example")
    body = {"dyno": dyno, "lines": lines}
    session, _ = await server.call("POST", "/apps/example/log-sessions", body, expect=201)
    async with server.session.get(session["logplex_url"]) as response:
        said = (await response.text()).splitlines()
    assert [int(line.split("line ")[1][0]) for line in said] == shown


async def test_a_silent_log_is_let_go_with_the_client_that_followed_it_and_nobody_follows_many(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MOST", 2)
    await server.app("example")
    body = {"tail": True, "dyno": "silent"}
    session, _ = await server.call("POST", "/apps/example/log-sessions", body, expect=201)
    followers = [await server.session.get(session["logplex_url"]) for _ in range(2)]
    await until(lambda: len(FOLLOWED) == 2)
    refused, _ = await server.call("GET", session["logplex_url"].removeprefix(server.url), expect=429)
    assert refused["message"].startswith("Your account follows 2 logs and terminals here")
    followers[0].close()
    await until(lambda: len(FOLLOWED) == 1, what="the log is let go")
    followers.append(await server.session.get(session["logplex_url"]))
    assert followers[2].status == 200
    for each in followers:
        each.close()
    await until(lambda: not FOLLOWED, what="all of them are let go")


async def test_why_tells_the_story_of_an_app_a_commit_and_a_pull_request(server: Server) -> None:
    await server.pipeline(staging="example")
    await deployed(server, "example")
    app = await server.get("/why?q=example")
    assert app["about"] == "app example"
    assert any(it["what"] == "request" and it["state"] == "succeeded" for it in app["trail"])
    commit = await server.get("/why?q=aaaaaaa")
    assert commit["about"] == "commit aaaaaaa"
    assert any("deploy aaaaaaa" in it["text"] for it in commit["trail"])
    # In words, not in the names of the code.
    assert any(": asked for deploy: " in it["text"] for it in app["trail"])
    for asked in ("7", "%237", "acme/shop%237", "https://github.com/acme/shop/pull/7"):
        assert (await server.get(f"/why?q={asked}"))["about"] == "pull request #7"
    await server.call("GET", "/why", expect=422)
    await server.call("GET", "/why?q=no-such-thing", expect=422)


async def test_a_log_that_a_killed_worker_left_open_ends_after_a_grace(server: Server) -> None:
    await server.pipeline(staging="example")
    build = await deployed(server, "example")
    await server.db.write(lambda conn: conn.execute(log_streams.update().values(closed=False)))
    async with asyncio.timeout(10):
        assert await server.get(f"/builds/{build['id']}/output") == "-----> done\n"


async def test_a_build_that_no_worker_took_does_not_hold_its_reader_when_it_is_cancelled(server: Server) -> None:
    await server.pipeline(staging="example")
    build, _ = await server.call("POST", "/apps/example/builds", {"source_blob": {"version": "main"}}, expect=201)
    await server.call("DELETE", "/apps/example", expect=200)

    async def ended() -> bool:
        text = await server.get(f"/builds/{build['id']}/output")
        return "destroyed" in text

    await until(ended, what="the stream of a cancelled build ends with its reason")
