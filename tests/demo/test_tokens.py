"""Who may do what on the simulated GitHub."""

import pytest

from service.github.manifest import EVENTS, PERMISSIONS, TOKEN_PERMISSIONS
from tests.github_contract.fixtures import GitHub, Reply


async def new_token(github: GitHub, installation_id: int, **body: object) -> str:
    reply = await github.ask(
        "POST", f"/app/installations/{installation_id}/access_tokens", token=github.app_jwt(), json=body
    )
    assert reply.status == 201, reply
    return reply.body["token"]


async def test_the_app_finds_itself_and_its_installations_with_its_jwt(github: GitHub) -> None:
    repo = await github.create_repo("acme/shop", files={"a": "1"})
    assert (await github.ask("GET", "/app", token=github.app_jwt())).body["id"] == github.app_id
    listed = await github.ask("GET", "/app/installations", token=github.app_jwt())
    found = await github.ask("GET", "/repos/acme/shop/installation", token=github.app_jwt())
    one = await github.ask("GET", f"/app/installations/{found.body['id']}", token=github.app_jwt())
    assert [one.body] == listed.body == [found.body]
    assert github.installation_of(repo).id == found.body["id"]


async def test_a_jwt_that_lives_too_long_or_is_signed_by_another_key_is_refused(github: GitHub, tmp_path) -> None:
    assert (await github.ask("GET", "/app", token=github.app_jwt(life=3600))).status == 401
    assert (await github.ask("GET", "/app", token=github.app_jwt(life=-1))).status == 401
    assert (await github.ask("GET", "/app", token=github.app_jwt(issuer="1"))).status == 401
    stranger = GitHub(tmp_path / "stranger")
    assert (await github.ask("GET", "/app", token=stranger.app_jwt())).status == 401
    assert (await github.ask("GET", "/app")).status == 401


async def test_a_token_of_one_repository_opens_no_other_private_one(github: GitHub) -> None:
    one = await github.create_repo("acme/one", private=True, files={"a": "1"})
    await github.create_repo("acme/two", private=True, files={"a": "1"})
    installation = github.installation_of(one)
    token = await new_token(github, installation.id, repository_ids=[one.id], permissions={"contents": "read"})
    assert (await github.ask("GET", "/repos/acme/one", token=token)).status == 200
    assert (await github.ask("GET", "/repos/acme/two", token=token)).status == 404
    listed = await github.ask("GET", "/installation/repositories", token=token)
    assert [repo["full_name"] for repo in listed.body["repositories"]] == ["acme/one"]


async def test_a_token_without_a_permission_is_told_so_by_github_s_words(github: GitHub) -> None:
    repo = await github.create_repo("acme/shop", files={"a": "1"})
    token = github.installation_token(repo, {"contents": "read", "statuses": "read"})
    sha = await github.head(repo)
    reply = await github.ask("POST", f"/repos/acme/shop/statuses/{sha}", token=token, json={"state": "success"})
    assert (reply.status, reply.body["message"]) == (403, "Resource not accessible by integration")
    assert (await github.ask("GET", f"/repos/acme/shop/commits/{sha}/check-runs", token=token)).status == 403


async def test_a_token_cannot_be_wider_than_its_installation(github: GitHub) -> None:
    repo = await github.create_repo("acme/shop")
    stranger = await github.create_repo("evil/shop")
    path = f"/app/installations/{github.installation_of(repo).id}/access_tokens"
    for body in ({"permissions": {"contents": "write"}}, {"repository_ids": [stranger.id]}):
        reply = await github.ask("POST", path, token=github.app_jwt(), json=body)
        assert reply.status == 422


async def test_a_token_has_the_long_form_and_dies_after_an_hour(github: GitHub) -> None:
    repo = await github.create_repo("acme/shop")
    token = await new_token(github, github.installation_of(repo).id)
    assert token.startswith(f"ghs_{github.app_id}_")
    assert len(token) > 450
    assert (await github.ask("GET", "/repos/acme/shop", token=token)).status == 200
    github.advance(3599)
    assert (await github.ask("GET", "/repos/acme/shop", token=token)).status == 200
    github.advance(2)
    reply = await github.ask("GET", "/repos/acme/shop", token=token)
    assert (reply.status, reply.body["message"]) == (401, "Bad credentials")


async def test_a_revoked_token_is_dead_at_once(github: GitHub) -> None:
    repo = await github.create_repo("acme/shop")
    token = github.installation_token(repo)
    assert (await github.ask("DELETE", "/installation/token", token=token)).status == 204
    assert (await github.ask("GET", "/repos/acme/shop", token=token)).status == 401


async def test_a_suspended_installation_gives_no_tokens_and_its_old_ones_are_refused(github: GitHub) -> None:
    repo = await github.create_repo("acme/shop")
    token, number = github.installation_token(repo), github.installation_of(repo).id
    github.suspend(number)
    path = f"/app/installations/{number}/access_tokens"
    assert (await github.ask("POST", path, token=github.app_jwt())).status == 403
    assert (await github.ask("GET", "/repos/acme/shop", token=token)).status == 403
    github.suspend(number, False)
    assert (await github.ask("GET", "/repos/acme/shop", token=token)).status == 200
    github.uninstall(number)
    assert (await github.ask("GET", "/repos/acme/shop", token=token)).status == 401


async def test_a_personal_token_has_its_owners_rights(github: GitHub) -> None:
    repo = await github.create_repo("acme/shop", private=True, files={"a": "1"})
    sha = await github.head(repo)
    token = github.personal_token("ann")
    assert (await github.ask("GET", "/repos/acme/shop", token=token)).status == 404
    github.add_collaborator(repo, "ann", "read")
    status = {"path": f"/repos/acme/shop/statuses/{sha}", "token": token, "json": {"state": "success"}}
    assert (await github.ask("POST", **status)).status == 403
    github.add_collaborator(repo, "ann", "write")
    assert (await github.ask("POST", **status)).status == 201
    checks = await github.ask("POST", "/repos/acme/shop/check-runs", token=token, json={"name": "x", "head_sha": sha})
    assert checks.status == 403
    assert (await github.ask("GET", "/user", token=token)).body["login"] == "ann"


async def test_the_app_has_what_users_are_asked_for_and_nothing_else(github: GitHub) -> None:
    assert github.app.permissions == {each.name: each.level for each in PERMISSIONS}
    assert sorted(github.app.events) == sorted(each.name for each in EVENTS)


ASKED = {
    "metadata": ("GET", "", None),
    "contents": ("GET", "/git/ref/heads/master", None),
    "pull_requests": ("GET", "/pulls", None),
    "statuses": ("GET", "/commits/master/status", None),
    "deployments": ("GET", "/deployments", None),
    "repository_hooks": ("GET", "/hooks", None),
    "administration": ("GET", "/branches/master/protection/required_status_checks", None),
    "checks": ("GET", "/commits/master/check-runs", None),
    "statuses:write": ("POST", "/statuses/{sha}", {"state": "success"}),
    "pull_requests:write": ("POST", "/issues/1/comments", {"body": "hello"}),
    "deployments:write": ("POST", "/deployments", {"ref": "master", "auto_merge": False, "required_contexts": []}),
}


async def test_a_fine_grained_token_does_what_it_was_given_in_the_repositories_chosen_for_it(github: GitHub) -> None:
    repo = await github.create_repo("acme/shop", private=True, files={"a": "1"})
    other = await github.create_repo("acme/other", private=True, files={"a": "1"})
    await github.push(repo, "topic", {"a": "2"})
    await github.open_pull(repo, "topic")
    github.protect(repo, "master", ["build"])
    sha = await github.head(repo)

    async def asked(token: str, name: str = "acme/shop") -> dict[str, tuple[int, str]]:
        """What GitHub answers to each request: its status, and its words where it refuses."""
        answers = {}
        for needs, (method, path, body) in ASKED.items():
            options = {} if body is None else {"json": body}
            reply = await github.ask(method, f"/repos/{name}{path.format(sha=sha)}", token=token, **options)
            answers[needs] = (reply.status, reply.body["message"] if reply.status >= 400 else "")
        return answers

    least = {each.name: each.level for each in TOKEN_PERMISSIONS}
    printed = await asked(github.fine_grained_token("acme", least))
    refused = (403, "Resource not accessible by personal access token")
    assert {needs for needs, answer in printed.items() if answer == refused} == {"administration", "checks"}
    assert {answer[0] for answer in printed.values()} == {200, 201, 403}
    bare = await asked(github.fine_grained_token("acme", {}))
    assert {needs for needs, answer in bare.items() if answer != refused} == {"metadata"}
    reading = await asked(github.fine_grained_token("acme", {"statuses": "read"}))
    assert (reading["statuses"][0], reading["statuses:write"]) == (200, refused)
    elsewhere = await asked(github.fine_grained_token("acme", least, [other]))
    assert {answer[0] for answer in elsewhere.values()} == {404}
    with pytest.raises(ValueError, match="no fine-grained token can have checks"):
        github.fine_grained_token("acme", {"checks": "read"})


async def test_what_is_public_is_read_without_a_permission_and_written_only_with_one(github: GitHub) -> None:
    await github.create_repo("acme/shop", files={"a": "1"})
    token, sha = github.fine_grained_token("acme", {}), await github.head("acme/shop")
    for path in ("/commits/master/check-runs", "/commits/master/status", "/pulls"):
        assert (await github.ask("GET", f"/repos/acme/shop{path}", token=token)).status == 200
    assert (await github.ask("GET", "/repos/acme/shop/hooks", token=token)).status == 403
    state = {"json": {"state": "success"}, "token": token}
    assert (await github.ask("POST", f"/repos/acme/shop/statuses/{sha}", **state)).status == 403


async def test_a_users_permission_is_looked_up_by_name(github: GitHub) -> None:
    repo = await github.create_repo("acme/shop", private=True)
    github.add_collaborator(repo, "ann", "admin")
    github.account("bob")
    token = github.installation_token(repo)
    levels = [
        (await github.ask("GET", f"/repos/acme/shop/collaborators/{name}/permission", token=token)).body["permission"]
        for name in ("ann", "bob")
    ]
    assert levels == ["admin", "none"]


async def test_over_the_hourly_limit_everything_is_refused_until_the_next_hour(github: GitHub) -> None:
    repo = await github.create_repo("acme/shop")
    github.rate_limit = 3
    token = github.installation_token(repo)
    replies = [await github.ask("GET", "/repos/acme/shop", token=token) for _ in range(4)]
    assert [reply.status for reply in replies] == [200, 200, 200, 403]
    assert replies[-1].headers["x-ratelimit-remaining"] == "0"
    github.advance(3600)
    assert (await github.ask("GET", "/repos/acme/shop", token=github.installation_token(repo))).status == 200


@pytest.mark.parametrize(
    ("switch", "most", "over", "reads"),
    [
        pytest.param("content_limit", 2, 61, 200, id="two writes a minute"),
        pytest.param("hourly_content_limit", 2, 3601, 200, id="two writes an hour"),
        pytest.param("points_limit", 10, 61, 403, id="ten points a minute, five for a write"),
    ],
)
async def test_the_secondary_limit_is_met_at(github: GitHub, switch: str, most: int, over: int, reads: int) -> None:
    repo = await github.create_repo("acme/shop", files={"a": "1"})
    setattr(github, switch, most)
    sha = await github.head(repo)

    async def write() -> Reply:
        body, token = {"state": "pending"}, github.installation_token(repo)
        return await github.ask("POST", f"/repos/acme/shop/statuses/{sha}", token=token, json=body)

    replies = [await write() for _ in range(3)]
    assert [reply.status for reply in replies] == [201, 201, 403]
    assert "secondary rate limit" in replies[-1].body["message"]
    assert replies[-1].headers["retry-after"] == "60"
    assert replies[-1].headers["x-ratelimit-remaining"] != "0"
    read = await github.ask("GET", "/repos/acme/shop", token=github.installation_token(repo))
    assert read.status == reads
    github.advance(over)
    assert (await write()).status == 201
