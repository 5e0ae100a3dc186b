"""Commands in comments: only the exact form counts, written once, by a person."""

from typing import Any

import pytest

from service.github.comments import approved
from service.github.events import ApprovalAsked, Hint, Ignored, parse
from tests.github.examples import example

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("body", "commit"),
    [
        pytest.param(f"/approve {SHA}", SHA, id="all forty digits"),
        pytest.param(f"/approve {SHA[:7]}", SHA[:7], id="seven digits"),
        pytest.param(f"/approve {SHA}\nthank you", SHA, id="words on the next line"),
        pytest.param(f"/approve {SHA}\r\n\r\nthank you", SHA, id="lines that end as browsers send them"),
        pytest.param(f"/approve {SHA}\n/approve {'f' * 40}", SHA, id="a second command below"),
    ],
)
def test_the_exact_command_names_its_commit(body: str, commit: str) -> None:
    assert approved(body) == commit


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("", id="nothing"),
        pytest.param("looks good", id="other words"),
        pytest.param(f"please /approve {SHA}", id="within a sentence"),
        pytest.param(f"\n/approve {SHA}", id="on the second line"),
        pytest.param(f"> /approve {SHA}", id="quoted"),
        pytest.param(f"`/approve {SHA}`", id="as code"),
        pytest.param(f"\ufeff/approve {SHA}", id="after a byte order mark"),
        pytest.param(f"\u200b/approve {SHA}", id="after a blank of no width"),
        pytest.param(f"\uff0fapprove {SHA}", id="with a wide slash"),
        pytest.param(f"/Approve {SHA}", id="with a capital"),
        pytest.param(f"/\u0430pprove {SHA}", id="with a Cyrillic letter"),
        pytest.param(f"/approved {SHA}", id="another word that begins alike"),
    ],
)
def test_what_is_no_command_is_none(body: str) -> None:
    assert approved(body) is None


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("/approve", id="bare"),
        pytest.param(f" /approve {SHA}", id="after a blank"),
        pytest.param("/approve ", id="bare, with a blank"),
        pytest.param("/approve\n" + SHA, id="the commit on the next line"),
        pytest.param(f"/approve {SHA[:6]}", id="six digits"),
        pytest.param(f"/approve {SHA}0", id="forty-one digits"),
        pytest.param(f"/approve {SHA.upper()}", id="capital digits"),
        pytest.param("/approve HEAD", id="a name"),
        pytest.param("/approve main", id="a branch"),
        pytest.param(f"/approve  {SHA}", id="two blanks"),
        pytest.param(f"/approve\t{SHA}", id="a tab"),
        pytest.param(f"/approve\u00a0{SHA}", id="a blank that does not break"),
        pytest.param(f"/approve {SHA} ", id="a blank behind"),
        pytest.param(f"/approve {SHA} now", id="a word behind"),
        pytest.param(f"/approve {SHA}\u2028then", id="a line that ends in a way of its own"),
        pytest.param(f"/approve {SHA}\u200b", id="a blank of no width behind"),
        pytest.param("/approve \u0660\u0661\u0662\u0663\u0664\u0665\u0666", id="digits of another script"),
        pytest.param("/approve " + "\uff11" * 7, id="wide digits"),
    ],
)
def test_what_is_nearly_the_command_names_nothing(body: str) -> None:
    with pytest.raises(ValueError, match="does not name a commit: write /approve"):
        approved(body)


def payload(**comment: Any) -> dict[str, Any]:
    body = example("issue_comment", "created")
    body["issue"]["pull_request"] = {"url": "https://api.github.com/repos/a/b/pulls/1"}
    body["comment"] |= {"body": f"/approve {SHA}", "performed_via_github_app": None} | comment
    return body


def test_a_comment_on_a_pull_request_asks_for_its_commit_in_the_name_of_its_author() -> None:
    body = payload()
    found = parse(event="issue_comment", payload=body)
    assert isinstance(found, Hint)
    assert found.touched == (
        ApprovalAsked(
            repository_id=body["repository"]["id"],
            number=body["issue"]["number"],
            commit=SHA,
            login=body["comment"]["user"]["login"],
        ),
    )
    assert found.stale == found.values == ()


def ignored(body: dict[str, Any]) -> str:
    found = parse(event="issue_comment", payload=body)
    assert isinstance(found, Ignored)
    return found.reason


@pytest.mark.parametrize("action", ["edited", "deleted", "pinned", "unpinned"])
def test_a_comment_counts_only_when_it_is_written(action: str) -> None:
    assert action in ignored(payload() | {"action": action})


def test_a_comment_on_an_issue_is_none_on_a_pull_request() -> None:
    body = payload()
    del body["issue"]["pull_request"]
    assert ignored(body) == "a comment on an issue"


@pytest.mark.parametrize("kind", ["Bot", "Organization", "Mannequin"])
def test_only_a_persons_word_counts(kind: str) -> None:
    body = payload()
    body["comment"]["user"]["type"] = kind
    assert "program" in ignored(body)


def test_what_a_program_writes_in_a_persons_name_does_not_count() -> None:
    assert "program" in ignored(payload(performed_via_github_app={"id": 7, "slug": "helper"}))


def test_a_deleted_authors_word_does_not_count() -> None:
    assert "program" in ignored(payload(user=None))


def test_a_comment_that_somebody_else_sends_does_not_count() -> None:
    body = payload()
    body["sender"] = body["sender"] | {"login": "somebody-else"}
    assert "not who sent it" in ignored(body)


def test_who_is_associated_with_the_repository_makes_no_difference() -> None:
    asked = [parse(event="issue_comment", payload=payload(author_association=it)) for it in ("NONE", "OWNER", "MEMBER")]
    assert asked[0] == asked[1] == asked[2]
    assert isinstance(asked[0], Hint)
    assert [type(each) for each in asked[0].touched] == [ApprovalAsked]


def test_an_empty_comment_is_none() -> None:
    assert ignored(payload(body=None)) == "a comment without a command"
