"""The switches that make the simulated GitHub and its webhooks go wrong."""

import asyncio

import aiohttp
import pytest

from tests.demo.receiver import receiving
from tests.github_contract.fixtures import GitHub
from tests.waiting import until


@pytest.fixture
async def receiver(github: GitHub):
    async with receiving() as one:
        github.webhook_url = one.url
        yield one


def pings(github: GitHub, count: int) -> None:
    for _ in range(count):
        github.ping()


async def test_a_dropped_delivery_is_in_the_log_and_a_vanished_one_is_nowhere(github: GitHub, receiver) -> None:
    github.chaos.webhooks.drop_next = 1
    pings(github, 2)
    await github.settled()
    github.chaos.webhooks.vanish_next = 1
    pings(github, 2)
    await github.settled()
    assert [one.status for one in github.deliveries] == ["failed to connect to host", "OK", "OK"]
    assert len(receiver.got) == 2


async def test_a_doubled_delivery_has_one_guid(github: GitHub, receiver) -> None:
    github.chaos.webhooks.duplicate_next = 1
    pings(github, 2)
    await github.settled()
    assert len(receiver.got) == 3
    assert receiver.guids[0] == receiver.guids[1] != receiver.guids[2]


async def test_shuffled_deliveries_all_arrive(github: GitHub, receiver) -> None:
    github.chaos.webhooks.reorder = 20
    pings(github, 20)
    await github.settled()
    sent = [one.guid for one in github.deliveries]
    assert sorted(receiver.guids) == sorted(sent)
    assert receiver.guids != sent


async def test_shares_of_deliveries_go_wrong_repeatably(github: GitHub, receiver) -> None:
    github.chaos.webhooks.drop = github.chaos.webhooks.duplicate = 0.2
    pings(github, 100)
    await github.settled()
    dropped = [one for one in github.deliveries if one.status != "OK"]
    doubled = len(receiver.got) - len(set(receiver.guids))
    assert 5 < len(dropped) < 40
    assert 5 < doubled < 40


async def test_a_share_of_deliveries_vanishes_without_a_trace(github: GitHub, receiver) -> None:
    github.chaos.webhooks.vanish = 0.2
    pings(github, 100)
    await github.settled()
    assert 5 < 100 - len(github.deliveries) < 40
    assert receiver.guids == [one.guid for one in github.deliveries]


async def test_a_delayed_delivery_is_overtaken(github: GitHub, receiver) -> None:
    github.chaos.webhooks.delay = 0.2
    github.ping()
    await until(lambda: not github.sender._waiting)
    github.chaos.calm()
    github.ping()
    await github.settled()
    assert receiver.guids == [github.deliveries[1].guid, github.deliveries[0].guid]


async def test_held_deliveries_leave_when_released(github: GitHub, receiver) -> None:
    github.chaos.webhooks.hold = True
    pings(github, 2)
    with pytest.raises(TimeoutError):
        await github.settled(seconds=0.1)
    github.chaos.calm()
    await github.settled()
    assert len(receiver.got) == 2


async def test_an_outage_answers_503_to_everything_and_holds_webhooks(github: GitHub, receiver) -> None:
    github.chaos.outage = True
    github.ping()
    reply = await github.ask("GET", "/meta")
    assert (reply.status, reply.headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert receiver.got == []
    github.chaos.outage = False
    await github.settled()
    assert (await github.ask("GET", "/meta")).status == 200
    assert receiver.events == ["ping"]


@pytest.mark.parametrize(
    ("kind", "options", "status"),
    [
        pytest.param("error", {"status": 502}, 502, id="a server error"),
        pytest.param("rate_limit", {"retry_after": 7}, 429, id="a rate limit"),
        pytest.param("secondary_limit", {"retry_after": 7}, 403, id="a secondary limit"),
        pytest.param("html", {}, 200, id="a page instead of JSON"),
        pytest.param("delay", {"seconds": 0.01}, 200, id="a late answer"),
        pytest.param("unseen", {}, 422, id="a server that does not know the commit yet"),
    ],
)
async def test_the_next_matching_request_is_answered_by(github: GitHub, kind, options, status) -> None:
    github.chaos.answer(kind, pattern="GET .*/meta", **options)
    assert (await github.ask("GET", "/rate_limit")).status == 200
    reply = await github.ask("GET", "/meta")
    assert reply.status == status
    assert reply.headers.get("retry-after") == (str(options["retry_after"]) if "retry_after" in options else None)
    assert (await github.ask("GET", "/meta")).status == 200


async def test_a_connection_breaks_before_or_after_the_work_is_done(github: GitHub) -> None:
    repo = await github.create_repo("acme/shop", files={"a": "1"})
    token, path = github.installation_token(repo), f"/repos/acme/shop/statuses/{await github.head(repo)}"
    for kind, done in (("reset", 0), ("reset_after", 1)):
        github.chaos.answer(kind, pattern="/statuses/")
        with pytest.raises(aiohttp.ClientError):
            await github.ask("POST", path, token=token, json={"state": "success"})
        assert len(repo.statuses) == done
    with pytest.raises(ValueError, match="no such kind"):
        github.chaos.answer("explosion")


async def test_many_at_once_lose_nothing(github: GitHub, receiver) -> None:
    repos = await asyncio.gather(*(github.create_repo(f"acme/r{n}", files={"a": "1"}) for n in range(8)))
    await asyncio.gather(*(github.push(repo, f"b{n}", {"b": str(n)}) for repo in repos for n in range(3)))
    await github.settled()
    assert receiver.events.count("push") == 8 * 4
