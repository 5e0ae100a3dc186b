"""`towpath webhooks` from the command line."""

import re
from typing import Any

import pytest

from tests.cli.conftest import Cli
from tests.web.serving import Server

ADD = ("webhooks:add", "-i", "api:app, api:release", "-l", "sync", "-u", "http://localhost:9/hooks")


async def test_a_webhook_is_added_shown_changed_and_removed(towpath: Cli, server: Server) -> None:
    await server.app("example")
    assert (await towpath("webhooks", "-a", "example")).out == (
        "example has no webhooks\nUse towpath webhooks:add to add one.\n"
    )
    added = (await towpath(*ADD, "-a", "example")).out
    assert re.fullmatch(r"Adding webhook to example... done\n=== Webhooks Signing Secret\n\n[0-9a-f]{64}\n", added)
    (webhook,) = await server.get("/apps/example/webhooks")
    listed = (await towpath("webhooks", "-a", "example")).out.splitlines()
    assert listed[0].split("  ")[0] == "Webhook ID"
    assert listed[1].split() == [webhook["id"], "http://localhost:9/hooks", "api:app,api:release", "sync"]
    updated = await towpath("webhooks:update", webhook["id"], "-a", "example", "-l", "notify")
    assert updated.out == f"Updating webhook {webhook['id']} for example... done\n"
    shown = (await towpath("webhooks:info", webhook["id"], "-a", "example")).out
    assert shown == (
        f"=== {webhook['id']}\n\nInclude:    api:app,api:release\nLevel:      notify\n"
        f"URL:        http://localhost:9/hooks\nWebhook ID: {webhook['id']}\n"
    )
    removed = await towpath("webhooks:remove", webhook["id"], "-a", "example")
    assert removed.out == f"Removing webhook {webhook['id']} from example... done\n"
    assert await server.get("/apps/example/webhooks") == []


async def test_what_a_pipelines_webhook_heard_is_listed_shown_and_told_again(towpath: Cli, server: Server) -> None:
    await server.pipeline(staging="example")
    secret = await towpath(*ADD, "-p", "shop", "-s", "of ours", "--json")
    assert (secret.json["pipeline"]["name"], "secret" in secret.json) == ("shop", False)
    assert (await towpath("webhooks:deliveries", "-p", "shop")).out == "shop has no deliveries\n"
    assert (await towpath("webhooks:events", "-p", "shop")).out == "shop has no events\n"
    await server.call("PATCH", "/apps/example", {"maintenance": True}, expect=200)
    (delivery,) = (await towpath("webhooks:deliveries", "-p", "shop", "--json")).json
    listed = (await towpath("webhooks:deliveries", "-p", "shop", "--status", "pending")).out.splitlines()
    assert (listed[0].split("  ")[0], listed[1].split()[0]) == ("Delivery ID", delivery["id"])
    assert (await towpath("webhooks:deliveries", "-p", "shop", "-s", "failed")).out == "shop has no deliveries\n"
    events = (await towpath("webhooks:events", "-p", "shop")).out.splitlines()
    assert events[1].split()[:3] == [delivery["event"]["id"], "app", "update"]
    shown = (await towpath("webhooks:deliveries:info", delivery["id"], "-p", "shop")).out
    assert shown.startswith(f"=== {delivery['id']}\n\nAttempts:     0\n")
    assert '"previous_data": {\n    "maintenance": false\n  }' in shown
    assert '"resource": "app"' in (await towpath("webhooks:events:info", delivery["event"]["id"], "-p", "shop")).out
    again = await towpath("webhooks:deliveries:retry", delivery["id"], "-p", "shop")
    assert again.out == f"Retrying webhook delivery {delivery['id']} of shop... done\n"


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        pytest.param(("webhooks:add", "-a", "example"), 2, "Say --include:", id="nothing said"),
        pytest.param((*ADD, "-a", "example", "-p", "shop"), 2, "not both", id="app and pipeline"),
        pytest.param((*ADD, "-a", "exampel"), 1, "Did you mean example?", id="an unknown app"),
        pytest.param((*ADD[:2], "api:x", *ADD[3:], "-a", "example"), 1, "api:x is not known", id="an unknown entity"),
        pytest.param(("webhooks:info", "x", "-a", "example"), 1, "Couldn't find the webhook x.", id="no such webhook"),
        pytest.param(
            ("webhooks:deliveries:retry", "x", "-a", "example"),
            1,
            "Couldn't find the webhook delivery x.",
            id="nor delivery",
        ),
    ],
)
async def test_what_cannot_be_done_says_why(
    towpath: Cli, server: Server, args: tuple[Any, ...], code: int, message: str
) -> None:
    await server.app("example")
    assert message in (await towpath(*args, code=code)).err
