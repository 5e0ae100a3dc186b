"""Commands in comments. A comment is public and anybody's: it only ever asks, and only in its exact form."""

import re
from typing import Annotated, Final

from msgspec import Meta, Struct

from service.github.payloads import AccountPayload, Id

HOW: Final = "write /approve and the commit, 7 to 40 digits, as the whole first line"
_COMMAND: Final = re.compile(r"/approve ([0-9a-f]{7,40})")


class PullMark(Struct, frozen=True):
    """Says that an issue is a pull request."""


class IssuePayload(Struct, frozen=True):
    """What was commented on."""

    number: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    pull_request: PullMark | None = None


class CommentPayload(Struct, frozen=True):
    """A comment. A deleted author is null; `performed_via_github_app` names the program that wrote it for a person."""

    id: Id
    body: str | None
    user: AccountPayload | None
    performed_via_github_app: PullMark | None = None


def approved(body: str) -> str | None:
    """The commit that the comment's first line approves; None when it is about something else.

    Raises `ValueError` for what looks like the command and is not exactly it: nothing is guessed here.
    """
    line = body.partition("\n")[0].removesuffix("\r")
    found = _COMMAND.fullmatch(line)
    if found is not None:
        return found[1]
    if line.split(maxsplit=1)[:1] == ["/approve"]:
        raise ValueError(f"/approve does not name a commit: {HOW}")
    return None
