"""Writing to GitHub so that it may be repeated: what is made carries our key and is looked for before it is remade.

The network can lose an answer after GitHub has acted. The outbox notes an attempt before it is sent; while its outcome
is unknown, `attempted` is set here and the object is searched for first.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Final, Protocol, TypeVar

import msgspec
from msgspec import Meta, Struct

from service.domain.errors import Refused, Transient
from service.domain.model import Repository
from service.domain.report_views import CommentContent
from service.domain.reports import CheckContent, GithubDeploymentContent, StatusContent
from service.github import bodies
from service.github.client import GitHub
from service.github.payloads import CheckRunPayload, Id, OnlyId
from service.github.purposes import Purpose
from service.github.transport import Reply

_NOT_OURS: Final = frozenset({403, 404})
_UNSEEN: Final = ("no commit found for sha", "no ref found for")
_INSIDERS: Final = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})

Item = TypeVar("Item")


class Unseen(Transient):
    """GitHub does not know the commit: not yet, where its API lags behind its webhooks, or not any more."""


class Report(Protocol):
    """An entry of the outbox. `wanted` is the content of `domain/reports.py` for this kind, as plain structures."""

    @property
    def external_key(self) -> str:
        """Our name of the object, which GitHub's carries."""

    @property
    def kind(self) -> str:
        """`check`, `status`, `github_deployment` or `comment`."""

    @property
    def wanted(self) -> Mapping[str, Any]:
        """What to show."""

    @property
    def github_id(self) -> int | None:
        """GitHub's id of the object, once it is known."""

    @property
    def attempted(self) -> bool:
        """Whether an earlier attempt may have got through."""


class _Status(Struct, frozen=True):
    id: Id
    context: str
    state: str
    description: str | None
    target_url: str | None


class _Deployment(Struct, frozen=True):
    id: Id
    payload: Any = None  # GitHub gives back an object as an object and a text as a text


class _DeploymentStatus(Struct, frozen=True):
    id: Id
    state: Annotated[str, Meta(max_length=32)]
    description: str = ""
    environment_url: str = ""
    log_url: str = ""


class _MadeBy(Struct, frozen=True):
    id: Id


class _Comment(Struct, frozen=True):
    id: Id
    body: str | None = None
    author_association: Annotated[str, Meta(max_length=32)] = ""
    performed_via_github_app: _MadeBy | None = None


class Writes:
    """What Towpath shows on GitHub."""

    def __init__(self, *, github: GitHub) -> None:
        self._github = github

    async def write(self, report: Report, repository: Repository) -> int:
        """Make GitHub show it and return GitHub's id.

        Raises `Refused` when GitHub will not have it, `Unseen` when it does not know the commit.
        """
        match report.kind:
            case "check":
                return await self.write_check(report, repository)
            case "status":
                return await self.write_status(report, repository)
            case "github_deployment":
                return await self.write_github_deployment(report, repository)
            case "comment":
                return await self.write_comment(report, repository)
            case _:
                raise Refused(f"a report of kind {report.kind!r} cannot be shown on GitHub")

    async def write_check(self, report: Report, repository: Repository) -> int:
        """A check run: found, updated or made anew."""
        content = msgspec.convert(report.wanted, CheckContent)
        body = bodies.check(content, report.external_key)
        github_id = report.github_id
        if report.attempted:
            github_id = await self._find_check(content, report.external_key, repository) or github_id
        if github_id is not None:
            reply = await self._send("PATCH", repository, f"/check-runs/{github_id}", Purpose.CHECKS, body)
            if reply.status not in _NOT_OURS:
                return _made(reply, "check")
            # Only the App that made it may change it, and ours may be another one by now.
            other = await self._find_check(content, report.external_key, repository, known=True)
            if other is not None:
                _check_not_there(github_id, other, reply, "check")
                reply = await self._send("PATCH", repository, f"/check-runs/{other}", Purpose.CHECKS, body)
                return _made(reply, "check")
        reply = await self._send("POST", repository, "/check-runs", Purpose.CHECKS, {**body, "head_sha": content.sha})
        return _made(reply, "check")

    async def write_status(self, report: Report, repository: Repository) -> int:
        """A commit status. GitHub keeps each one written and shows the newest, up to a thousand of a context."""
        content = msgspec.convert(report.wanted, StatusContent)
        body = {
            "state": content.state,
            "context": content.context,
            "description": bodies.cut(content.description, bodies.MAX_DESCRIPTION),
            **bodies.given(target_url=content.target_url),
        }
        if report.attempted:
            for shown in await self._list(
                repository, f"/commits/{content.sha}/statuses", Purpose.STATUSES, shape=_Status
            ):
                if shown.context.casefold() == content.context.casefold():
                    if _same(shown, body, "state", "description", "target_url"):
                        return shown.id
                    break  # the newest of the context counts
        return _made(await self._send("POST", repository, f"/statuses/{content.sha}", Purpose.STATUSES, body), "status")

    async def write_github_deployment(self, report: Report, repository: Repository) -> int:
        """A deployment, made once, and its newest status."""
        content = msgspec.convert(report.wanted, GithubDeploymentContent)
        github_id = report.github_id
        if report.attempted:
            github_id = await self._only_deployment(content, report.external_key, repository) or github_id
        is_new = github_id is None
        if github_id is None:
            github_id = await self._make_deployment(content, report.external_key, repository)
        elif report.attempted and await self._shows(content, github_id, repository):
            return github_id
        reply = await self._set_deployment(content, github_id, repository)
        if reply.status == 404 and not is_new:  # somebody deleted it
            others = await self._find_deployments(content, report.external_key, repository, known=True)
            if others:
                _check_not_there(github_id, others[-1], reply, "deployment")
            github_id = others[-1] if others else await self._make_deployment(content, report.external_key, repository)
            reply = await self._set_deployment(content, github_id, repository)
        _made(reply, "deployment status")
        return github_id

    async def write_comment(self, report: Report, repository: Repository) -> int:
        """The one comment on a pull request: edited in place, made anew when somebody deleted it.

        It is looked for before it is made: an earlier installation of ours may have left one.
        """
        content = msgspec.convert(report.wanted, CommentContent)
        body = {"body": bodies.cut_bytes(content.body, bodies.MAX_OUTPUT)}
        github_id = report.github_id
        if github_id is None or report.attempted:
            github_id = await self._only_comment(content, repository) or github_id
        if github_id is not None:
            reply = await self._send("PATCH", repository, f"/issues/comments/{github_id}", Purpose.COMMENTS, body)
            if reply.status != 404:
                return _made(reply, "comment")
            other = min((each.id for each in await self._find_comments(content, repository, known=True)), default=None)
            if other is not None:
                _check_not_there(github_id, other, reply, "comment")
                reply = await self._send("PATCH", repository, f"/issues/comments/{other}", Purpose.COMMENTS, body)
                return _made(reply, "comment")
        path = f"/issues/{content.number}/comments"
        return _made(await self._send("POST", repository, path, Purpose.COMMENTS, body), "comment")

    async def _only_comment(self, content: CommentContent, repository: Repository) -> int | None:
        """The oldest of ours; later ones, made by a worker that went on too late, are taken away."""
        found = sorted(await self._find_comments(content, repository), key=_identity)
        for each in found[1:]:
            if _app_of(each):
                path = f"/issues/comments/{each.id}"
                await self._send("DELETE", repository, path, Purpose.COMMENTS, None)
        return found[0].id if found else None

    async def _find_comments(
        self, content: CommentContent, repository: Repository, *, known: bool = False
    ) -> list[_Comment]:
        """Those with our marker that were written as we write: anybody can paste the marker.

        As a person we would be let edit the comments of others, which stay theirs: no stranger's is taken for ours.
        """
        path = f"/issues/{content.number}/comments"
        comments = await self._list(repository, path, Purpose.COMMENTS, shape=_Comment, known=known)
        marked = [each for each in comments if (each.body or "").startswith(content.marker)]
        return [
            each
            for each in marked
            if _app_of(each) == self._github.app_id and (_app_of(each) or each.author_association in _INSIDERS)
        ]

    async def _find_check(
        self, content: CheckContent, key: str, repository: Repository, *, known: bool = False
    ) -> int | None:
        """The newest with our key, which is the one that GitHub shows."""
        runs = await self._list(
            repository,
            f"/commits/{content.sha}/check-runs",
            Purpose.CHECKS,
            shape=CheckRunPayload,
            under="check_runs",
            # Not by its name: the pipeline may have been renamed since.
            params={"app_id": str(self._github.app_id), "filter": "all"},
            known=known,
        )
        ours = [run.id for run in runs if run.external_id == key and run.app and run.app.id == self._github.app_id]
        return max(ours, default=None)

    async def _find_deployments(
        self, content: GithubDeploymentContent, key: str, repository: Repository, *, known: bool = False
    ) -> list[int]:
        """Those with our key, the newest last."""
        deployments = await self._list(
            repository,
            "/deployments",
            Purpose.DEPLOYMENTS,
            shape=_Deployment,
            params={"sha": content.sha or "", "environment": content.environment},
            known=known,
        )
        return sorted(each.id for each in deployments if bodies.key_of(each.payload) == key)

    async def _only_deployment(self, content: GithubDeploymentContent, key: str, repository: Repository) -> int | None:
        """The newest of ours, which GitHub shows; any other, made by a worker that went on too late, is ended."""
        found = await self._find_deployments(content, key, repository)
        ended = replace(content, state="inactive")
        for each in found[:-1]:
            if not await self._shows(ended, each, repository):
                await self._set_deployment(ended, each, repository)
        return found[-1] if found else None

    async def _set_deployment(self, content: GithubDeploymentContent, github_id: int, repository: Repository) -> Reply:
        path = f"/deployments/{github_id}/statuses"
        return await self._send("POST", repository, path, Purpose.DEPLOYMENTS, bodies.deployment_status(content))

    async def _make_deployment(self, content: GithubDeploymentContent, key: str, repository: Repository) -> int:
        """Without GitHub's own merging and gating: it would merge the default branch in, and wait for our checks."""
        if content.sha is None:
            raise Refused("a release without a commit has no place among GitHub's deployments")
        body = {
            "ref": content.sha,
            "task": "deploy",
            "auto_merge": False,
            "required_contexts": [],
            "payload": {"towpath": key},
            "environment": content.environment,
            "description": bodies.cut(content.description, bodies.MAX_DESCRIPTION),
            "transient_environment": content.transient_environment,
            "production_environment": content.production_environment,
        }
        reply = await self._send("POST", repository, "/deployments", Purpose.DEPLOYMENTS, body)
        if reply.status == 202:
            raise Refused("GitHub merged branches instead of making a deployment")
        return _made(reply, "deployment")

    async def _shows(self, content: GithubDeploymentContent, github_id: int, repository: Repository) -> bool:
        """Whether the newest status already says so."""
        statuses = await self._list(
            repository, f"/deployments/{github_id}/statuses", Purpose.DEPLOYMENTS, shape=_DeploymentStatus
        )
        newest = max(statuses, key=_identity, default=None)
        body = bodies.deployment_status(content)
        return newest is not None and _same(newest, body, "state", "description", "environment_url", "log_url")

    async def _list(
        self,
        repository: Repository,
        path: str,
        purpose: Purpose,
        *,
        shape: type[Item],
        under: str = "",
        params: Mapping[str, str] | None = None,
        known: bool = False,
    ) -> list[Item]:
        """The list in whole; of what is `known` to have been made, a list that is out of reach says nothing."""
        listing = await self._github.listing(
            repository, path, shape=shape, under=under, purpose=purpose, params=params or {}
        )
        if listing.refused is not None:
            # A fresh deployment's statuses or a commit unknown so far: nothing of ours can be there.
            if listing.refused.status in {404, 422} and not known:
                return []
            raise _refused(listing.refused, path)
        return listing.items

    async def _send(
        self, method: str, repository: Repository, path: str, purpose: Purpose, body: Mapping[str, Any] | None
    ) -> Reply:
        return await self._github.request(method, repository, path, purpose=purpose, body=body)


def _app_of(comment: _Comment) -> int:
    """The GitHub App that wrote it; 0 is a person's token."""
    return comment.performed_via_github_app.id if comment.performed_via_github_app else 0


def _same(shown: Struct, wanted: Mapping[str, Any], *fields: str) -> bool:
    return all((getattr(shown, name) or "") == wanted.get(name, "") for name in fields)


def _identity(item: _DeploymentStatus | _Comment) -> int:
    return item.id


def _check_not_there(github_id: int, found: int | None, reply: Reply, what: str) -> None:
    """Raise unless it has really gone: access that was away for a moment looks like that, and may be back by now."""
    if found == github_id:
        if reply.status == 404:
            raise Transient(f"GitHub says that the {what} is not there, and shows it")
        raise _refused(reply, what)


def _made(reply: Reply, what: str) -> int:
    if not reply.ok:
        raise _refused(reply, what)
    return reply.read(OnlyId).id


def _refused(reply: Reply, what: str) -> Refused | Transient:
    """A conflict may pass, and a commit become known; everything else is GitHub's last word."""
    message = f"GitHub does not take the {what}: {reply.message}"
    if reply.status == 422 and reply.message.lower().startswith(_UNSEEN):
        return Unseen(message)
    return Transient(message) if reply.status == 409 else Refused(message, code="github")
