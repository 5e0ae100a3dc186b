"""Which refs of a push are taken, and what is said of the others."""

import pytest

from service.domain.model import NO_SHA, Sha
from service.domain.pushing import RefChange, judge

ONE, OTHER = Sha("1" * 40), Sha("2" * 40)


def change(ref: str, *, after: Sha = ONE) -> RefChange:
    return RefChange(ref=ref, before=OTHER if after == NO_SHA else NO_SHA, after=after)


@pytest.mark.parametrize(
    ("refs", "refused", "words"),
    [
        pytest.param(["refs/heads/main"], {}, "", id="main is deployed"),
        pytest.param(["refs/heads/master"], {}, "", id="master is deployed"),
        pytest.param(["refs/heads/main", "refs/tags/v1"], {}, "", id="tags come beside"),
        pytest.param(
            ["refs/heads/topic/cart"],
            {"refs/heads/topic/cart": "only main and master are deployed"},
            "git push REMOTE topic/cart:main",
            id="another branch is refused by its name, with how to deploy it",
        ),
        pytest.param(
            ["refs/heads/main", "refs/heads/topic"],
            {"refs/heads/topic": "only main and master are deployed"},
            "topic",
            id="of several branches the one that is deployed is taken",
        ),
        pytest.param(
            ["refs/heads/main", "refs/heads/master"],
            {"refs/heads/main": "one branch at a time", "refs/heads/master": "one branch at a time"},
            "push one of them",
            id="main and master together are one too many",
        ),
        pytest.param(
            ["refs/notes/commits"], {"refs/notes/commits": "only branches and tags are taken"}, "", id="notes"
        ),
        pytest.param(["refs/pushed/" + ONE], {"refs/pushed/" + ONE: "only branches and tags are taken"}, "", id="ours"),
        pytest.param(["HEAD"], {"HEAD": "funny refname"}, "", id="no name of a ref"),
        *(
            pytest.param([ref], {ref: "funny refname"}, "", id=f"a name that git refuses: {ref[:30]!r}")
            for ref in (
                "refs/heads/../../config",
                "refs/heads/main.lock",
                "refs/tags/.hidden",
                "refs/tags/a b",
                "refs/tags/\x1b[31m",
                "refs/tags/a..b",
                "refs/tags/a@{1}",
                "refs/tags/a:b",
                "refs/tags//a",
                "refs/tags/a.",
                f"refs/tags/{'a' * 250}",
            )
        ),
    ],
)
def test_what_is_taken_of_a_push(refs: list[str], refused: dict[str, str], words: str) -> None:
    found = judge([change(ref) for ref in refs], "shop")
    assert {ref: each.reason for ref, each in found.items()} == refused
    assert words in " ".join(each.words for each in found.values())


def test_what_runs_cannot_be_deleted_and_a_tag_can() -> None:
    found = judge([change("refs/heads/main", after=NO_SHA), change("refs/tags/v1", after=NO_SHA)], "shop")
    assert {ref: each.reason for ref, each in found.items()} == {"refs/heads/main": "deletion prohibited"}
    assert "towpath apps:destroy shop" in found["refs/heads/main"].words
