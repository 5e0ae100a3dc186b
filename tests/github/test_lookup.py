"""What the API asks GitHub while a person waits: what is not there is refused at once, by its name."""

import pytest

from service.domain.errors import Refused
from service.web.lookup import GitHubLookup
from tests.github.conftest import Edge


@pytest.fixture
def lookup(edge: Edge) -> GitHubLookup:
    return GitHubLookup(github=edge.github, looks=edge.looks)


async def test_a_repository_is_found_by_its_name(lookup, shop):
    assert (await lookup.repository("acme/shop")).id == shop.id


@pytest.mark.parametrize("name", ["acme", "acme/shop/x", "acme/ shop", "../shop", "acme/nothing"])
async def test_a_repository_that_is_not_there_is_refused_by_its_name(lookup, shop, name):
    with pytest.raises(Refused) as refused:
        await lookup.repository(name)
    assert name in refused.value.message


async def test_a_branch_and_a_commit_long_or_short_are_resolved(lookup, shop, edge):
    sha = await edge.sim.push("acme/shop", "fix/cart", {"a": "b"})
    for ref in ("fix/cart", sha, sha[:7]):
        assert await lookup.resolve(shop, ref) == sha
    for ref in ("nowhere", "deadbeef"):
        with pytest.raises(Refused, match=f"Couldn't find {ref} in acme/shop"):
            await lookup.resolve(shop, ref)


async def test_only_a_branch_is_taken_for_a_branch(lookup, shop, edge):
    sha = await edge.sim.push("acme/shop", "fix/cart", {"a": "b"})
    assert await lookup.branch(shop, "fix/cart") == sha
    for name in ("nowhere", sha):
        with pytest.raises(Refused, match=f"Couldn't find the branch {name} in acme/shop") as refused:
            await lookup.branch(shop, name)
        assert refused.value.code == "not_found"


async def test_a_number_that_is_no_pull_request_is_refused(lookup, shop, edge):
    await edge.sim.push("acme/shop", "topic", {"a": "b"})
    pull = await edge.sim.open_pull("acme/shop", "topic")
    await lookup.pull_request(shop, pull.number)
    with pytest.raises(Refused, match="Couldn't find pull request #99 in acme/shop") as refused:
        await lookup.pull_request(shop, 99)
    assert refused.value.code == "not_found"
