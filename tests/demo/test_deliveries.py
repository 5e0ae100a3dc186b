"""How the simulated GitHub delivers webhooks."""

import hashlib
import hmac
import json

import pytest

from tests.demo.receiver import receiving
from tests.github_contract.fixtures import GitHub
from tests.waiting import until


@pytest.fixture
async def receiver(github: GitHub):
    async with receiving() as one:
        github.webhook_url = one.url
        yield one


async def test_a_delivery_is_signed_and_has_githubs_headers(github: GitHub, receiver) -> None:
    repo = await github.create_repo("acme/shop", files={"a": "1"})
    await github.settled()
    assert receiver.events == ["installation", "repository", "push", "check_suite"]
    _, guid, body, headers = receiver.got[2]
    digest = hmac.new(github.webhook_secret.encode(), body, hashlib.sha256).hexdigest()
    assert headers["X-Hub-Signature-256"] == f"sha256={digest}"
    assert headers["X-Hub-Signature"].startswith("sha1=")
    assert headers["User-Agent"].startswith("GitHub-Hookshot/")
    assert (len(guid), headers["Content-Type"]) == (36, "application/json")
    payload = json.loads(body)
    assert payload["after"] == await github.head(repo)
    assert payload["installation"]["id"] == github.installation_of(repo).id


async def test_deliveries_come_in_the_order_of_what_happened(github: GitHub, receiver) -> None:
    repo = await github.create_repo("acme/shop", files={"a": "1"})
    await github.push(repo, "topic", {"a": "2"})
    pull = await github.open_pull(repo, "topic")
    await github.push(repo, "topic", {"a": "3"})
    await github.merge_pull(repo, pull.number)
    await github.settled()
    wanted = [(event, json.loads(body).get("action")) for event, _, body, _ in receiver.got if event != "check_suite"]
    assert wanted[3:] == [
        ("push", None), ("pull_request", "opened"), ("push", None), ("pull_request", "synchronize"),
        ("pull_request", "closed"), ("push", None),
    ]  # fmt: skip


async def test_a_failed_delivery_is_never_repeated_by_itself_and_keeps_its_guid_when_asked(
    github: GitHub, receiver
) -> None:
    receiver.status = 500
    await github.create_repo("acme/shop", installed=False, hooked=True)
    await github.settled()
    receiver.status = 202
    assert len(receiver.got) == 1
    jwt = github.app_jwt()
    listed = await github.ask("GET", "/app/hook/deliveries?status=failure", token=jwt)
    (failed,) = listed.body
    assert (failed["status_code"], failed["redelivery"]) == (500, False)
    asked = await github.ask("POST", f"/app/hook/deliveries/{failed['id']}/attempts", token=jwt)
    assert asked.status == 202
    await github.settled()
    assert receiver.guids[0] == receiver.guids[1]
    newest = (await github.ask("GET", "/app/hook/deliveries", token=jwt)).body[0]
    assert (newest["redelivery"], newest["status"], newest["guid"]) == (True, "OK", failed["guid"])
    whole = await github.ask("GET", f"/app/hook/deliveries/{newest['id']}", token=jwt)
    assert whole.body["request"]["payload"]["action"] == "created"
    missing = await github.ask("GET", "/app/hook/deliveries/1", token=jwt)
    assert missing.status == 422


async def test_a_slow_receiver_times_out_and_the_filter_for_failures_does_not_show_it(github: GitHub, receiver) -> None:
    github.sender.timeout = 0.2
    receiver.gate.clear()
    github.ping()
    await github.settled()
    (one,) = github.deliveries
    assert (one.status, one.status_code) == ("timed out", 0)
    assert (await github.ask("GET", "/app/hook/deliveries?status=failure", token=github.app_jwt())).body == []
    assert len((await github.ask("GET", "/app/hook/deliveries", token=github.app_jwt())).body) == 1


async def test_the_delivery_log_is_paged_by_cursor(github: GitHub, receiver) -> None:
    repo = await github.create_repo("acme/shop", files={"a": "1"})
    github.set_archived(repo)
    await github.settled()
    path, seen = "/app/hook/deliveries?per_page=3", []
    while path:
        reply = await github.ask("GET", path, token=github.app_jwt())
        seen += [one["id"] for one in reply.body]
        link = reply.headers.get("link", "")
        path = link.partition(">")[0].lstrip("<").removeprefix(github.api_url)
    assert seen == sorted((one.id for one in github.deliveries), reverse=True)
    assert len(seen) == 5


async def test_nobody_hears_of_a_repository_without_a_listening_installation(github: GitHub, receiver) -> None:
    repo = await github.create_repo("acme/shop", files={"a": "1"})
    await github.settled()
    before = len(receiver.got)
    github.suspend(github.installation_of(repo).id)
    await github.push(repo, "topic", {"a": "2"})
    github.app.events.remove("repository")
    github.delete_repo(repo)
    await github.settled()
    assert receiver.events[before:] == ["installation"]


async def test_only_the_owning_app_hears_of_a_rerequest(github: GitHub, receiver) -> None:
    repo = await github.create_repo("acme/shop", files={"a": "1"})
    sha = await github.head(repo)
    theirs = await github.create_check_run(repo, sha, app="ci")
    ours = await github.create_check_run(repo, sha, app=github.app)
    await github.rerequest(repo, theirs.id)
    await github.rerequest(repo, ours.id)
    await github.settled()
    again = [json.loads(body)["check_run"]["id"] for event, _, body, _ in receiver.got
             if event == "check_run" and json.loads(body)["action"] == "rerequested"]  # fmt: skip
    assert again == [ours.id]
    with pytest.raises(ValueError, match="no button"):
        await github.press(repo, ours.id, "explode")


async def test_the_hook_can_be_pointed_elsewhere_by_the_app(github: GitHub, receiver) -> None:
    url, github.webhook_url = receiver.url, ""
    await github.create_repo("acme/one")
    reply = await github.ask("PATCH", "/app/hook/config", token=github.app_jwt(), json={"url": url})
    assert reply.body["url"] == url
    assert (await github.ask("GET", "/app/hook/config", token=github.app_jwt())).body["url"] == url
    github.ping()
    await until(lambda: receiver.events == ["ping"])


async def test_a_hook_that_cannot_be_reached_is_logged(github: GitHub) -> None:
    github.webhook_url = "http://127.0.0.1:1/hook"
    github.ping()
    await github.settled()
    assert [(one.status, one.status_code) for one in github.deliveries] == [("failed to connect to host", 0)]


async def test_without_our_app_only_a_repository_with_a_hook_of_its_own_is_heard(github: GitHub, receiver) -> None:
    await github.create_repo("acme/silent", installed=False, files={"a": "1"})
    await github.create_repo("acme/plain", installed=False, hooked=True, files={"a": "1"})
    await github.settled()
    assert receiver.events == ["repository", "push"]
    assert "installation" not in json.loads(receiver.got[1][2])
    assert receiver.got[1][3]["X-GitHub-Hook-Installation-Target-Type"] == "repository"


async def test_a_repositorys_hook_has_a_log_of_its_own_that_only_its_admins_read(github: GitHub, receiver) -> None:
    receiver.status = 500
    repo = await github.create_repo("acme/plain", installed=False, files={"a": "1"})
    await github.create_repo("acme/shop", files={"a": "1"})
    token = github.personal_token("acme")
    config = {"url": receiver.url, "content_type": "json", "secret": "s"}
    made = {"config": config, "events": ["push", "pull_request"]}
    hook = await github.ask("POST", "/repos/acme/plain/hooks", token=token, json=made)
    await github.push(repo, "topic", {"a": "2"})
    await github.settled()
    path = f"/repos/acme/plain/hooks/{hook.body['id']}/deliveries"

    first = await github.ask("GET", f"{path}?per_page=1", token=token)
    rest = await github.ask("GET", _next(github, first), token=token)
    assert [one["event"] for one in first.body + rest.body] == ["push", "ping"]
    whole = await github.ask("GET", f"{path}/{first.body[0]['id']}", token=token)
    assert whole.body["request"]["payload"]["ref"] == "refs/heads/topic"
    assert (await github.ask("POST", f"{path}/{first.body[0]['id']}/attempts", token=token)).status == 202
    await github.settled()
    again = (await github.ask("GET", path, token=token)).body[0]
    assert (again["guid"], again["redelivery"]) == (first.body[0]["guid"], True)

    apps = await github.ask("GET", "/app/hook/deliveries", token=github.app_jwt())
    assert {one["repository_id"] for one in apps.body}.isdisjoint({repo.id})
    github.add_collaborator(repo, "ada", "write")
    for others in (github.personal_token("ada"), github.personal_token("nobody")):
        assert (await github.ask("GET", path, token=others)).status == 404
    repo.hook = None
    assert (await github.ask("GET", path, token=token)).status == 404


async def test_deliveries_are_forgotten_after_three_days(github: GitHub, receiver) -> None:
    github.ping()
    await github.settled()
    listed = (await github.ask("GET", "/app/hook/deliveries", token=github.app_jwt())).body
    github.advance(3 * 86400 + 1)
    assert (await github.ask("GET", "/app/hook/deliveries", token=github.app_jwt())).body == []
    gone = await github.ask("GET", f"/app/hook/deliveries/{listed[0]['id']}", token=github.app_jwt())
    assert gone.status == 422


def _next(github: GitHub, reply) -> str:
    return reply.headers["link"].partition(">")[0].lstrip("<").removeprefix(github.api_url)
