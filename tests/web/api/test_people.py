"""Whoever is shown has the id of their account, as long as they have one, and then another one for ever."""

from collections.abc import Iterator
from typing import Any

from tests.web.api.test_review_apps import live_review
from tests.web.serving import Server

HOOK = {"include": ["api:app", "api:release", "api:build"], "level": "sync", "url": "http://localhost:9/"}


def persons(shown: Any) -> Iterator[tuple[str, str | None]]:
    """Every (address, id) that stands together somewhere in an answer."""
    match shown:
        case {"email": email, "id": said_id} if "user" not in shown:  # else it is the id of a membership
            yield email, said_id
    for each in shown.values() if isinstance(shown, dict) else shown if isinstance(shown, list) else ():
        yield from persons(each)


async def furnished(server: Server) -> dict[str, str]:
    """Have a pipeline with everything that shows somebody; returns the ids of people by their addresses."""
    pipeline = await server.pipeline(staging="example-staging", production="example")
    home = f"/pipelines/{pipeline['id']}"
    octavia, _ = await server.call("POST", "/users", {"email": "octavia@example.com", "github": "octavia"}, expect=201)
    by_octavia = {"Authorization": f"Bearer {octavia['access_token']['token']}"}
    await server.call("POST", "/teams", {"name": "crew"}, expect=201)
    for path, body in (
        ("/teams/crew/members", {"email": "octavia@example.com", "role": "admin"}),
        ("/pipeline-transfers", {"pipeline": pipeline["id"], "new_owner": {"id": "crew", "type": "team"}}),
        ("/apps/example/webhooks", HOOK),
        (f"{home}/review-app-config", {}),
    ):
        await server.call("POST", path, body, expect=201)
    await server.call("POST", "/apps", {"name": "spare"}, expect=201, **by_octavia)
    for path, body in (
        ("/apps/example-staging/builds", {"source_blob": {"version": "a" * 40}}),
        (f"{home}/deploy-locks", {"reason": "for the weekend"}),
        ("/account/app-transfers", {"app": "example", "recipient": "admin@localhost"}),
        ("/apps/spare/collaborators", {"user": "admin@localhost"}),
        ("/oauth/authorizations", {}),
    ):
        await server.call("POST", path, body, expect=201, **by_octavia)
    body = {"email": "new@example.com", "role": "member"}
    await server.call("PUT", "/teams/crew/invitations", body, expect=201, **by_octavia)
    await server.work()
    review = await live_review(server, pipeline["id"])
    await server.enactor.change_config(app_id=str(review.app_id), changes={"A": "1"}, actor="user:octavia@example.com")
    await server.call("PATCH", "/apps/example/config-vars", {"A": "1"}, expect=200, **by_octavia)
    return {each["email"]: each["id"] for each in await server.get("/users")}


SHOWN = (
    "/account", "/users", "/apps", "/apps/spare", "/users/~/apps", "/teams/crew/apps", "/teams/crew/members",
    "/teams/crew/invitations", "/account/app-transfers", "/apps/spare/collaborators", "/oauth/authorizations",
    "/deploy-locks", "/pipelines/shop/deploy-locks", "/apps/example/deploy-locks", "/apps/example-staging/builds",
    "/apps/example/releases", "/apps/example/releases/1", "/pipelines/shop/latest-builds",
    "/pipelines/shop/latest-releases", "/pipelines/shop/latest-deployments", "/pipelines/shop/review-apps",
    "/apps/example/webhook-events",
)  # fmt: skip
"""Every answer that says who."""
ADDRESSES = {"crew@herokumanager.com": "the team", "new@example.com": "whoever is invited, who has no account yet"}


async def said(server: Server, *paths: str) -> set[tuple[str, str | None]]:
    return {each for path in paths for each in persons(await server.get(path))}


async def test_who_is_shown_anywhere_has_the_id_of_their_account_and_one_id_when_that_is_gone(server: Server) -> None:
    ids = await furnished(server)
    shown = {path: await said(server, path) for path in SHOWN}
    assert [path for path, found in shown.items() if not found] == []
    wrong = [
        (path, email) for path, found in shown.items() for email, said_id in found
        if email not in ADDRESSES and said_id != ids.get(email)
    ]  # fmt: skip
    assert wrong == []
    not_by_octavia = {path for path, found in shown.items() if "octavia@example.com" not in dict(found)}
    assert not_by_octavia == {"/account", "/teams/crew/apps", "/oauth/authorizations"}

    # Gone, and yet the same for ever.
    await server.call("DELETE", f"/users/{ids['octavia@example.com']}", expect=200)
    paths = ("/apps/example/releases", "/apps/example-staging/builds", "/pipelines/shop/deploy-locks")
    ((email, gone),) = await said(server, *paths)
    assert (email, gone in ids.values()) == ("octavia@example.com", False)
    assert await said(server, *paths, "/apps/example/webhook-events") >= {(email, gone)}
