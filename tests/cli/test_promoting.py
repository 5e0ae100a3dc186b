"""Around promotions from the command line: outputs side by side, the way back, what differs, and an app's switches."""

import asyncio
import os
from typing import Any

import pytest
from sqlalchemy import Connection, select

from service.cli import following
from service.domain.facts import CommitsApart
from service.domain.model import RequestState, TargetState
from service.store import apps, pipelines, promotions, requests, spaces
from service.store.tables import promotion_targets
from service.web.api import downstream
from tests.cli.conftest import Cli, Inside, Run
from tests.waiting import until
from tests.web.api.test_promoting import APART, learned
from tests.web.serving import HEADS, Server


@pytest.fixture
def here(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> Inside:
    """The command line in this process: there are many of them, and what they wait for is soon done."""
    monkeypatch.setattr(following, "POLL_SECONDS", 0.05)
    return inside


async def two_live(server: Server, towpath: Inside) -> None:
    """A staging app with two downstream."""
    pipeline = await server.pipeline(staging="example-staging", production="example")
    await server.app("example-admin")
    coupling = {"app": "example-admin", "pipeline": pipeline["id"], "stage": "production"}
    await server.call("POST", "/pipeline-couplings", coupling, expect=201)
    await towpath("deploy", "-a", "example-staging")


async def test_the_release_commands_of_all_targets_are_shown_each_line_behind_its_app(
    here: Inside, server: Server, worker: dict[str, Any]
) -> None:
    worker["release_phase"] = True
    await two_live(server, here)
    done = await here("pipelines:promote", "-a", "example-staging")
    lines = done.out.splitlines()
    assert sorted(line for line in lines if line.startswith("[")) == [
        "[example-admin] migrating",
        "[example] migrating",
    ]
    ends = [line for line in lines if "done, v1" in line]
    assert ends == [
        "Promoting example-staging to example (production)... done, v1",
        "Promoting example-staging to example-admin (production)... done, v1",
    ]
    assert lines.index("[example] migrating") < lines.index(ends[0])
    several = await here("pipelines:promote", "-a", "example-staging", "--to", "example", "-t", "example-admin")
    assert several.out.startswith("Starting promotion to apps: example,example-admin... done\n")
    assert several.out.count("] migrating\n") == 2
    assert several.out.endswith(
        "Waiting for promotion to complete... done\nPromotion successful\nexample: succeeded\nexample-admin: succeeded\n"
    )
    for_programs = await here("pipelines:promote", "-a", "example-staging", "--json")
    assert for_programs.json["promotion"]["outcome"] == "completed"
    assert for_programs.err.count("] migrating\n") == 2


async def test_all_or_nothing_is_asked_for_and_shown(here: Inside, server: Server, worker: dict[str, Any]) -> None:
    await two_live(server, here)
    done = await here("pipelines:promote", "-a", "example-staging", "--all-or-nothing", "--json")
    assert done.json["promotion"]["all_or_nothing"] is True


ENDS = {
    "example": "put back to v1: the promotion failed on example-admin",
    "example-admin": "release command failed with exit code 1: ./migrate",
    "example-eu": "not released: the promotion failed on example-admin, and it is all or nothing",
}
"""What a worker records of a promotion that is all or nothing, when one target fails and another is live by then."""


async def fails(server: Server) -> None:
    """Bring each target of the promotion that is under way to its end."""

    def end(conn: Connection) -> bool:
        found = conn.execute(select(promotion_targets).where(promotion_targets.c.state == TargetState.PENDING)).all()
        for target in found:
            app = apps.get(conn, target.app_id)
            assert app is not None
            state, error, now = TargetState.FAILED, ENDS[app.name], server.db.now()
            promotions.finish_target(conn, target_id=target.id, state=state, error=error, now=now)
            requests.finish(conn, target.request_id, state=RequestState.FAILED, outcome=error, now=now)
        return bool(found)

    await until(lambda: server.db.write(end), what="a promotion is asked for", seconds=30)


async def test_when_one_of_all_or_nothing_fails_each_target_is_named_with_its_end(here: Inside, server: Server) -> None:
    pipeline = await server.pipeline(staging="example-staging", production="example")
    for app in ("example-admin", "example-eu"):
        await server.app(app)
        coupling = {"app": app, "pipeline": pipeline["id"], "stage": "production"}
        await server.call("POST", "/pipeline-couplings", coupling, expect=201)
    await server.call("POST", "/apps/example-staging/builds", {"source_blob": {"version": "main"}}, expect=201)
    await server.work()

    async def promoted(*words: str) -> Run:
        promote = here("pipelines:promote", "-a", "example-staging", "--all-or-nothing", *words, code=5)
        done, _ = await asyncio.gather(promote, fails(server))
        return done

    each = await promoted()
    assert each.out == "".join(
        f"Promoting example-staging to {app} (production)... failed, {error}\n" for app, error in ENDS.items()
    )
    assert each.err == " ▸    Promotion to example, example-admin, example-eu failed.\n"
    several = await promoted("--to", ",".join(ENDS))
    assert several.out == (
        "Starting promotion to apps: example,example-admin,example-eu... done\n"
        "Waiting for promotion to complete... done\n"
        "Promotion to some apps failed\n"
    ) + "".join(f"{app}: failed {error}\n" for app, error in ENDS.items())
    assert several.err == each.err
    told = (await promoted("--json")).json
    assert {it["app"]["name"]: (it["status"], it["error_message"]) for it in told["targets"]} == {
        app: ("failed", error) for app, error in ENDS.items()
    }
    assert (told["promotion"]["outcome"], told["promotion"]["all_or_nothing"]) == ("failed", True)


async def test_the_last_promotion_is_undone_on_all_its_targets_or_on_those_that_are_named(
    here: Inside, server: Server, worker: dict[str, Any]
) -> None:
    await two_live(server, here)
    assert (
        "no promotion from example-staging to undo"
        in (await here("pipelines:promote", "-a", "example-staging", "--undo", code=1)).err
    )
    await here("pipelines:promote", "-a", "example-staging")
    await here("deploy", "-a", "example-staging", "fix/cart")
    await here("pipelines:promote", "-a", "example-staging")
    done = await here("pipelines:promote", "-a", "example-staging", "--undo", "--to", "example")
    assert done.out == "Rolling example back to v1... done, v3\n"
    await here("config:set", "A=1", "-a", "example-admin")
    refused = await here("pipelines:promote", "-a", "example-staging", "--undo", code=1)
    assert "example stays as it is: v3 came after it (Rollback to v1)" in refused.err
    assert "example-admin stays as it is: v3 came after it (Set A config vars)" in refused.err

    await here("pipelines:promote", "-a", "example-staging")
    await here("config:set", "B=1", "-a", "example")
    some = await here("pipelines:promote", "-a", "example-staging", "--undo", code=5)
    assert "example stays as it is: v5 came after it (Set B config vars)\n" in some.out
    assert "Rolling example-admin back to v3... done, v5\n" in some.out
    assert "Not undone: example." in some.err

    await here("pipelines:promote", "-a", "example-staging")
    worker["fail"] = "release"
    failed = await here("pipelines:promote", "-a", "example-staging", "--undo", "--json", code=5)
    assert [it["request"]["state"] for it in failed.json["targets"]] == ["failed", "failed"]
    await here("pipelines:promote", "-a", "example-staging", "--undo", "--release", "v1", code=2)


async def test_what_a_promotion_would_bring_is_shown(
    here: Inside, server: Server, worker: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downstream, "PATIENCE", 0.05)
    await server.pipeline(staging="example-staging", production="example")
    empty = await here("pipelines:diff", "-a", "example-staging")
    assert "example-staging could not be compared with example\n\nexample-staging has no release yet.\n" in empty.out
    await here("deploy", "-a", "example-staging")
    await here("pipelines:promote", "-a", "example-staging")
    same = await here("pipelines:diff", "-a", "example-staging")
    assert same.out == "=== example-staging is up to date with example\n\n"
    await here("deploy", "-a", "example-staging", "fix/cart")
    await here("config:set", "ONLY_HERE=1", "BOTH=1", "-a", "example-staging")
    await here("config:set", "BOTH=2", "-a", "example")
    ahead = CommitsApart(ahead=1, behind=0, ahead_commits=APART.ahead_commits, behind_commits=(), related=True)
    await learned(server, ahead)
    told = await here("pipelines:diff", "-a", "example-staging")
    assert told.out == (
        "=== example-staging is ahead of example by 1 commit\n\n"
        f"{HEADS['fix/cart'][:7]}  2026-11-27  Ada  Fix the cart\n"
        "\nconfig vars\n"
        "only in example-staging:  ONLY_HERE\n"
        "with other values:        BOTH\n"
    )
    await learned(server, APART)
    diverged = await here("pipelines:diff", "-a", "example-staging")
    assert diverged.out.startswith("=== example-staging and example have diverged: 1 commit ahead, 1 commit behind\n\n")
    assert (
        "\nonly in example, so that a promotion would take it away:\naaaaaaa  2026-11-27  Ada  Main\n" in diverged.out
    )
    assert (await here("pipelines:diff", "-a", "example-staging", "--json")).json[0]["relation"] == "diverged"
    assert "Nothing is downstream of example" in (await here("pipelines:diff", "-a", "example", code=1)).err


async def test_an_app_says_that_its_code_is_not_promotable(
    here: Inside, server: Server, worker: dict[str, Any]
) -> None:
    await server.pipeline(staging="example-staging", production="example")
    await here("deploy", "-a", "example-staging")
    assert "Promotable" not in (await here("apps:info", "-a", "example")).out
    done = await here("apps:promotable", "no", "-a", "example")
    assert done.out == "Refusing promotions of example... done\n"
    assert "Promotable:  no: its builds hold its own config vars\n" in (await here("apps:info", "-a", "example")).out
    shown = await here("apps:promotable", "-a", "example")
    assert (shown.out, "deployed from git" in shown.err) == ("no\n", True)
    refused = await here("pipelines:promote", "-a", "example-staging", code=1)
    assert "Deploy it from git instead: towpath deploy -a example" in refused.err
    assert (await here("apps:promotable", "yes", "-a", "example", "--json")).json["promotable"] is True
    await here("apps:promotable", "maybe", "-a", "example", code=2)
    assert (await here("apps:promotable", "-a", "example", "--json")).json == {"promotable": True}


async def test_maintenance_is_switched_on_and_off(here: Inside, server: Server) -> None:
    await server.app("example")
    assert (await here("maintenance", "-a", "example")).out == "off\n"
    assert (await here("maintenance:on", "-a", "example")).out == "Enabling maintenance mode for example... done\n"
    assert (await here("maintenance", "-a", "example")).out == "on\n"
    done = await here("maintenance:off", "-a", "example")
    assert done.out == "Disabling maintenance mode for example... done\n"
    assert (await here("maintenance", "-a", "example", "--json")).json == {"maintenance": False}


async def test_the_dashboard_of_a_pipeline_is_opened_or_told(towpath: Cli, server: Server) -> None:
    pipeline = await server.pipeline()
    opened = await towpath("pipelines:open", "shop", BROWSER="/bin/true")
    url = f"{server.url}/dashboard/pipelines/{pipeline['id']}"
    assert opened.out == f"Opening {url}... done\n"
    told = await towpath("pipelines:open", "shop", BROWSER="/bin/false", PATH=os.environ["PATH"])
    assert told.out == f"Opening {url}... no browser was found here, open it yourself\n"


async def test_the_log_of_a_review_app_is_shown_by_its_pull_request(here: Inside, server: Server) -> None:
    pipeline = await server.pipeline()
    await server.call("POST", f"/pipelines/{pipeline['id']}/review-app-config", {}, expect=201)
    await server.call("POST", "/review-apps", {"pipeline": pipeline["id"], "pr_number": 7}, expect=201)
    waiting = await here("reviewapps:logs", "7", "-p", "shop", code=1)
    assert "There is no app for #7 yet" in waiting.err
    assert "no review app for 9" in (await here("reviewapps:logs", "9", "-p", "shop", code=1)).err

    def appear(conn: Any) -> None:
        now = server.db.now()
        space = spaces.ensure(conn, name="common", driver="process", now=now)
        app = apps.create(conn, name="shop-pr-7", space_id=space.id, owner_id=None, is_review=True, now=now)
        pipelines.couple(conn, app_id=app.id, pipeline_id=pipeline["id"], stage=pipelines.Stage.REVIEW, now=now)
        conn.execute(pipelines.tables.review_apps.update().values(app_id=app.id))

    await server.db.write(appear)
    shown = await here("reviewapps:logs", "7", "-p", "shop", "-n", "1")
    assert shown.out.count("\n") == 1
    assert "line" in shown.out


# A pipeline in one go


async def test_a_pipeline_is_set_up_in_one_go_and_goes_on_where_it_stopped(
    here: Inside, server: Server, worker: dict[str, Any]
) -> None:
    done = await here("pipelines:setup", "My Shop", "acme/shop", "-y", "--env", "A=1")
    assert done.out == (
        "Creating pipeline... done\n"
        "Linking to repo... done\n"
        "Creating production app my-shop... done\n"
        "Creating staging app my-shop-staging... done\n"
        "Deploying my-shop... done, v2\n"
        "Deploying my-shop-staging... done, v2\n"
        "Configuring pipeline... done\n"
        "View your new pipeline by running `towpath pipelines:info my-shop`\n"
    )
    info = (await here("pipelines:info", "my-shop", "--json")).json
    assert [(it["name"], it["stage"], it["release"]["commit"]) for it in info["apps"]] == [
        ("my-shop-staging", "staging", HEADS["main"]),
        ("my-shop", "production", HEADS["main"]),
    ]
    follows = await server.get("/apps/my-shop-staging/github")
    assert (follows["auto_deploy"], follows["wait_for_ci"], follows["follows_default_branch"]) == (True, True, True)
    assert await server.get("/apps/my-shop/config-vars") == {"A": "1"}
    config = await server.get("/pipelines/my-shop/review-app-config")
    assert (config["automatic_review_apps"], config["destroy_stale_apps"], config["stale_days"]) == (True, True, 5)

    again = await here("pipelines:setup", "my-shop", "acme/shop", "-y")
    assert again.out == (
        "Creating pipeline... done, it is there already\n"
        "Linking to repo... done\n"
        "Creating production app my-shop... done, it is there already (production)\n"
        "Creating staging app my-shop-staging... done, it is there already (staging)\n"
        "Configuring pipeline... done\n"
        "View your new pipeline by running `towpath pipelines:info my-shop`\n"
    )
    other = await here("pipelines:setup", "my-shop", "acme/other", "-y", code=1)
    assert "is connected to acme/shop already, not to acme/other" in other.err


async def test_a_setup_asks_what_is_wanted_and_leaves_out_what_is_not(towpath: Cli, server: Server) -> None:
    asked = await towpath("pipelines:setup", "--no-wait", stdin="shop\nacme/shop\nn\nsoon\ny\nn\n\n")
    assert "? Deploy the default branch to shop-staging automatically? (Y/n): " in asked.err
    assert "Wait for CI" not in asked.err
    assert (await server.get("/apps/shop-staging/github"))["auto_deploy"] is False
    config = await server.get("/pipelines/shop/review-app-config")
    assert (config["automatic_review_apps"], config["destroy_stale_apps"]) == (False, True)


async def test_a_setup_whose_build_fails_is_configured_all_the_same_and_says_so(
    here: Inside, server: Server, worker: dict[str, Any]
) -> None:
    worker["fail"] = "build"
    done = await here("pipelines:setup", "shop", "acme/shop", "-y", code=3)
    assert "Deploying shop... failed\n" in done.out
    assert done.out.count("Configuring pipeline... done\n") == 1
    assert "The build for shop failed: no Procfile" in done.err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["ab", "acme/shop"], "3 to 22"),
        (["a" * 23, "acme/shop"], "3 to 22"),
        (["shop", "acme"], "'acme' is not of the form ORG/REPO"),
        (["shop", "acme/shop", "--env", "A"], "KEY=VALUE"),
        (["shop", "acme/shop"], "--yes"),
    ],
    ids=["a short name", "a long name", "a repository of no form", "a config var of no form", "nobody who answers"],
)
async def test_a_setup_that_cannot_be_is_refused_before_anything_is_made(
    here: Inside, server: Server, args: list[str], words: str
) -> None:
    refused = await here("pipelines:setup", *args, code=2)
    assert words in refused.err
    assert await server.get("/pipelines") == []
