"""Commands that wait tell by their exit code what failed: a build, a release, a promotion, or the work itself."""

from typing import Any, NamedTuple

import pytest

from service.cli import following
from tests.cli.conftest import Inside
from tests.cli.test_every_command import COMMANDS
from tests.web.api.test_approvals import SHA, waiting
from tests.web.api.test_review_apps import looked_at
from tests.web.serving import Server

URL = "https://github.com/org/tool/archive/v3.tar.gz"
STAGING, SHOP = ("-a", "example-staging"), ("-p", "shop")
RELEASE, MIGRATING = "release command exited with 1", {"fail": "release"}
BUILD, WORK = {"fail": "build"}, {"fail": "work"}


class Row(NamedTuple):
    """What is run, how the worker works meanwhile, the code it ends with, and what it says of it."""

    words: tuple[str, ...]
    work: dict[str, Any]
    code: int
    says: str


# In an order in which each is possible.
TABLE = (
    Row(("deploy", "main", *STAGING), BUILD, 3, "The build for example-staging failed: no Procfile"),
    Row(("deploy", "main", *STAGING), MIGRATING, 4, f"v3 of example-staging failed: {RELEASE}. The former release"),
    Row(("builds:create", "--source-url", URL, *STAGING), BUILD, 3, "The build for example-staging failed: no Procf"),
    Row(("builds:create", "--source-url", URL, *STAGING), MIGRATING, 4, f"v4 of example-staging failed: {RELEASE}."),
    Row(("config:set", "A=1", *STAGING), MIGRATING, 4, f"Release v5 of example-staging failed: {RELEASE}."),
    Row(("config:unset", "A", *STAGING), MIGRATING, 4, f"Release v6 of example-staging failed: {RELEASE}."),
    Row(("releases:rollback", "v1", *STAGING), MIGRATING, 4, f"Release v7 of example-staging failed: {RELEASE}."),
    Row(("releases:retry", "v2", *STAGING), MIGRATING, 4, f"Release v8 of example-staging failed: {RELEASE}."),
    Row(("ps:scale", "web=2", *STAGING), WORK, 1, "Scale of example-staging is failed: web.1 did not come up"),
    Row(("ps:restart", *STAGING), WORK, 1, "Restart of example-staging is failed: web.1 did not come up"),
    Row(("ps:stop", "web.1", *STAGING), WORK, 1, "Restart of example-staging is failed: web.1 did not come up"),
    Row(("pipelines:promote", *STAGING, "--undo"), MIGRATING, 5, "Not undone: example."),
    Row(("pipelines:promote", *STAGING), MIGRATING, 5, "Promotion to example failed."),
    Row(("pipelines:promote", *STAGING, "--to", "example"), MIGRATING, 5, "Promotion to example failed."),
    Row(("reviewapps:create", "7", *SHOP), BUILD, 3, "-pr-7 failed: no Procfile"),
    Row(("reviewapps:create", "7", *SHOP), MIGRATING, 4, "-pr-7 failed: release command exited with 1"),
    Row(("reviewapps:create", "7", *SHOP), {}, 0, ""),
    Row(("reviewapps:create", "7", *SHOP), BUILD, 3, "-pr-7 failed: no Procfile"),
    Row(("reviewapps:create", "7", *SHOP), MIGRATING, 4, "release command exited with 1. The former release still"),
    Row(("reviewapps:approve", "11", "--sha", SHA, *SHOP), MIGRATING, 4, f"Release v1 of shop-XXXX-pr-11 failed: {RELEASE}"),
    Row(("pipelines:setup", "first", "acme/shop", "-y"), BUILD, 3, "The build for first failed: no Procfile"),
    Row(("pipelines:setup", "second", "acme/shop", "-y"), MIGRATING, 4, f"Release v1 of second failed: {RELEASE}."),
)  # fmt: skip


def test_every_command_that_waits_is_in_the_table() -> None:
    waits = {name for name, each in COMMANDS.items() if any("--wait" in one.opts for one in each.params)}
    assert {row.words[0] for row in TABLE} == waits


async def test_each_failure_ends_with_its_code_and_in_its_words(
    inside: Inside, server: Server, worker: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "POLL_SECONDS", 0.02)
    pipeline, _ = await waiting(server)
    for app, stage in (("example-staging", "staging"), ("example", "production")):
        await server.app(app)
        coupling = {"app": app, "pipeline": pipeline["id"], "stage": stage}
        await server.call("POST", "/pipeline-couplings", coupling, expect=201)
    for number in (7, 11):
        await looked_at(server, number, of_fork=number == 11)
    for branch in ("main", "fix/cart"):
        await inside("deploy", branch, *STAGING)
        await inside("pipelines:promote", *STAGING)
    for words, work, code, says in TABLE:
        worker.clear()
        worker.update(work)
        done = await inside(*words, code=code)
        name = pipeline["id"][:4]
        assert says.replace("XXXX", name) in done.err, (words, work, done)
        if "reviewapps" in words[0]:
            assert ("is live" in done.out) == (code == 0), (words, work, done)
    (live,) = [it for it in await server.get("/pipelines/shop/review-apps") if it["pr_number"] == 7]
    assert live["state"] == "live"
