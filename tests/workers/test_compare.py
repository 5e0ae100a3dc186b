"""Two commits compared for whoever asks: by the mirror, without GitHub where that has them."""

import pytest

from service.domain.facts import CommitsApart, Fact, commits_between
from service.domain.model import Sha, Trust
from service.enactor import Enactor
from service.store import facts, repositories
from tests.workers.conftest import Yard
from workers.builds.source import Remote

ADA = "user:ada@acme.example"


async def pushed(yard: Yard, text: str) -> Sha:
    return Sha(await yard.edge.sim.push("acme/shop", "master", {"page": text}, message=f"Say {text}"))


async def compared(yard: Yard, base: Sha, head: Sha) -> Fact[CommitsApart]:
    """What is known after it was asked for and looked up."""
    key = commits_between(yard.repository.id, base, head)
    await Enactor(db=yard.db, vault=yard.context.vault, queue=yard.bell).look_up([key], actor=ADA)
    await yard.calm()
    found = await yard.see(lambda conn: facts.load(conn, key))
    assert found is not None
    return found


async def test_commits_that_the_mirror_lacks_are_fetched_and_listed(yard: Yard) -> None:
    first, second = await pushed(yard, "one"), await pushed(yard, "two")
    found = await compared(yard, first, second)
    assert found.value is not None
    assert (found.value.ahead, found.value.behind) == (1, 0)
    assert [(each.sha, each.subject) for each in found.value.ahead_commits] == [(second, "Say two")]


async def test_what_the_mirror_has_needs_no_github_and_proves_no_access(yard: Yard) -> None:
    first, second = await pushed(yard, "one"), await pushed(yard, "two")
    remote = Remote(
        repository_id=yard.repository.id,
        url=f"{yard.context.settings.github_url}/acme/shop.git",
        token=await yard.context.github.git_token(yard.repository),
    )
    await yard.context.source.fetch(remote, second, trust=Trust.OWN)
    await yard.do(lambda tx: repositories.set_accessible(tx.conn, yard.repository.id, False, tx.now))
    yard.edge.lines.clear()

    async def away(_repository):
        raise AssertionError("GitHub is asked")

    yard.context.github.git_token = away  # type: ignore[method-assign]
    found = await compared(yard, first, second)
    assert found.value is not None
    assert found.value.ahead == 1
    assert yard.edge.lines == []
    there = await yard.see(lambda conn: repositories.get(conn, yard.repository.id))
    assert there is not None
    assert not there.accessible


@pytest.mark.parametrize("missing", ["base", "head"])
async def test_a_commit_that_nobody_has_is_named(yard: Yard, missing: str) -> None:
    known, gone = await pushed(yard, "one"), Sha("1" * 40)
    found = await compared(yard, *((gone, known) if missing == "base" else (known, gone)))
    assert found.value is None
    assert found.error == "1111111 is unknown: commit 1111111 is not in the repository (any more)"
