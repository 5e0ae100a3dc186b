"""What a mirror tells of commits, against real repositories."""

import pytest

from service.domain.errors import Transient
from service.domain.model import Sha, Trust
from tests.builds.conftest import REPOSITORY
from tests.builds.repositories import Repository, git
from workers.builds import history
from workers.builds.source import Remote, Source


def said(repository: Repository, message: str, author: str = "Ada <ada@acme.example>") -> Sha:
    git(
        repository.path,
        "commit",
        "--quiet",
        "--allow-empty",
        "--allow-empty-message",
        "--author",
        author,
        "-m",
        message,
    )
    return Sha(git(repository.path, "rev-parse", "HEAD"))


async def test_commits_are_listed_newest_first_on_either_side(
    source: Source, remote: Remote, repository: Repository
) -> None:
    base = said(repository, "First\n\nwith a body")
    second, third = said(repository, "Second"), said(repository, "")
    git(repository.path, "checkout", "--quiet", "-b", "side", base)
    side = said(repository, "Beside")
    for sha in (third, side):
        await source.fetch(remote, sha, trust=Trust.OWN)
    assert [await history.has(source, REPOSITORY, sha) for sha in (base, second, third, side)] == [True] * 4
    assert not await history.has(source, REPOSITORY, Sha("1" * 40))
    assert not await history.has(source, REPOSITORY + 1, base)

    ahead = await history.apart(source, REPOSITORY, base=base, head=third)
    assert (ahead.ahead, ahead.behind, ahead.related) == (2, 0, True)
    assert [(each.sha, each.author, each.subject) for each in ahead.ahead_commits] == [
        (third, "Ada", ""),
        (second, "Ada", "Second"),
    ]
    assert ahead.ahead_commits[0].at.year > 2020
    apart = await history.apart(source, REPOSITORY, base=third, head=side)
    assert (apart.ahead, apart.behind) == (1, 2)
    assert [each.subject for each in apart.ahead_commits] == ["Beside"]
    assert [each.subject for each in apart.behind_commits] == ["", "Second"]
    same = await history.apart(source, REPOSITORY, base=side, head=side)
    assert (same.ahead, same.behind, same.ahead_commits, same.related) == (0, 0, (), True)


async def test_histories_without_a_common_commit_are_said_to_be_unrelated(
    source: Source, remote: Remote, repository: Repository
) -> None:
    one = said(repository, "One")
    git(repository.path, "checkout", "--quiet", "--orphan", "other")
    other = said(repository, "Another")
    for sha in (one, other):
        await source.fetch(remote, sha, trust=Trust.OWN)
    apart = await history.apart(source, REPOSITORY, base=one, head=other)
    assert (apart.ahead, apart.behind, apart.related) == (1, 1, False)


async def test_what_an_author_wrote_steers_no_terminal_and_breaks_no_list(
    source: Source, remote: Remote, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "LISTED", 2)
    base = said(repository, "First")
    said(repository, "Left out")
    said(repository, "x" * 1000)
    head = said(repository, "Red \x1b[31mtext\x07 caf\u00e9", author="A\x1b]0;title\x07 <a@b>")
    await source.fetch(remote, head, trust=Trust.OWN)
    apart = await history.apart(source, REPOSITORY, base=base, head=head)
    assert apart.ahead == 3
    newest, long = apart.ahead_commits
    assert newest.subject == "Red  [31mtext  caf\u00e9"
    assert "\x1b" not in newest.author
    assert len(long.subject) == 200


async def test_a_mirror_that_cannot_be_read_is_tried_again(
    source: Source, remote: Remote, repository: Repository
) -> None:
    head = said(repository, "First")
    await source.fetch(remote, head, trust=Trust.OWN)
    with pytest.raises(Transient):
        await history.apart(source, REPOSITORY, base=Sha("1" * 40), head=head)
