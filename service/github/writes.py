"""Writing to GitHub so that it may be repeated: what is made carries our key and is looked for before it is remade.

The network can lose an answer after GitHub has acted. The outbox notes an attempt before it is sent; while its outcome
is unknown, `attempted` is set here and the object is searched for first.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Protocol, TypeVar

import msgspec
from msgspec import Meta, Struct

from service.domain.errors import Refused, Transient
from service.domain.model import Repository
from service.domain.report_views import CommentContent
from service.domain.reports import CheckContent, GithubDeploymentContent, StatusContent
from service.github.client import GitHub
from service.github.payloads import CheckRunPayload, Id, OnlyId
from service.github.purposes import Purpose
from service.github.transport import Reply

MAX_DESCRIPTION: Final = 140
MAX_OUTPUT: Final = 65_535
MAX_ACTIONS: Final = 3
_INSIDERS: Final = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})

Item = TypeVar("Item")


class Report(Protocol):
    """An entry of the outbox. `wanted` is the content of `domain/reports.py` for this kind, as plain structures."""

    @property
    def key(self) -> str:
        """Our name of the object; GitHub's object carries it."""

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
        """Make GitHub show it and return GitHub's id; raises `Refused` when GitHub will not have it."""
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
        body = _check_body(content, report.key)
        github_id = report.github_id
        if github_id is None and report.attempted:
            github_id = await self._find_check(content, report.key, repository)
        if github_id is not None:
            reply = await self._send("PATCH", repository, f"/check-runs/{github_id}", Purpose.CHECKS, body)
            if reply.status == 403:
                # Only the App that made it may change it, and ours may be another one by now.
                ours = await self._find_check(content, report.key, repository) if report.attempted else None
                if ours not in {None, github_id}:
                    path = f"/check-runs/{ours}"
                    return _made(await self._send("PATCH", repository, path, Purpose.CHECKS, body), "check")
            elif reply.status != 404:
                return _made(reply, "check")
        reply = await self._send("POST", repository, "/check-runs", Purpose.CHECKS, {**body, "head_sha": content.sha})
        return _made(reply, "check")

    async def write_status(self, report: Report, repository: Repository) -> int:
        """A commit status. GitHub keeps each one written and shows the newest, up to a thousand of a context."""
        content = msgspec.convert(report.wanted, StatusContent)
        body = {
            "state": content.state,
            "context": content.context,
            "description": _cut(content.description, MAX_DESCRIPTION),
            **_given(target_url=content.target_url),
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
        if github_id is None and report.attempted:
            github_id = await self._find_deployment(content, report.key, repository)
        if github_id is None:
            github_id = await self._make_deployment(content, report.key, repository)
        elif report.attempted and await self._shows(content, github_id, repository):
            return github_id
        path = f"/deployments/{github_id}/statuses"
        reply = await self._send("POST", repository, path, Purpose.DEPLOYMENTS, _deployment_status_body(content))
        if reply.status == 404 and report.github_id is not None:  # somebody deleted it
            github_id = await self._make_deployment(content, report.key, repository)
            path = f"/deployments/{github_id}/statuses"
            reply = await self._send("POST", repository, path, Purpose.DEPLOYMENTS, _deployment_status_body(content))
        _made(reply, "deployment status")
        return github_id

    async def write_comment(self, report: Report, repository: Repository) -> int:
        """The one comment on a pull request: edited in place, made anew when somebody deleted it.

        It is looked for before it is made: an earlier installation of ours may have left one.
        """
        content = msgspec.convert(report.wanted, CommentContent)
        body = {"body": _cut_bytes(content.body, MAX_OUTPUT)}
        github_id = report.github_id
        if github_id is None:
            github_id = await self._find_comment(content, repository)
        if github_id is not None:
            reply = await self._send("PATCH", repository, f"/issues/comments/{github_id}", Purpose.COMMENTS, body)
            if reply.status != 404:
                return _made(reply, "comment")
        path = f"/issues/{content.number}/comments"
        return _made(await self._send("POST", repository, path, Purpose.COMMENTS, body), "comment")

    async def _find_comment(self, content: CommentContent, repository: Repository) -> int | None:
        """The oldest with our marker that was written as we write: anybody can paste the marker.

        As a person we would be let edit the comments of others, which stay theirs: no stranger's is taken for ours.
        """
        comments = await self._list(repository, f"/issues/{content.number}/comments", Purpose.COMMENTS, shape=_Comment)
        marked = [each for each in comments if (each.body or "").startswith(content.marker)]
        ours = [
            each.id
            for each in marked
            if _app_of(each) == self._github.app_id and (_app_of(each) or each.author_association in _INSIDERS)
        ]
        return min(ours, default=None)

    async def _find_check(self, content: CheckContent, key: str, repository: Repository) -> int | None:
        runs = await self._list(
            repository,
            f"/commits/{content.sha}/check-runs",
            Purpose.CHECKS,
            shape=CheckRunPayload,
            under="check_runs",
            params={"check_name": content.name, "filter": "all"},
        )
        ours = [run.id for run in runs if run.external_id == key and run.app and run.app.id == self._github.app_id]
        return max(ours, default=None)

    async def _find_deployment(self, content: GithubDeploymentContent, key: str, repository: Repository) -> int | None:
        deployments = await self._list(
            repository,
            "/deployments",
            Purpose.DEPLOYMENTS,
            shape=_Deployment,
            params={"sha": content.sha or "", "environment": content.environment},
        )
        return max((each.id for each in deployments if _key_of(each.payload) == key), default=None)

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
            "description": _cut(content.description, MAX_DESCRIPTION),
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
        body = _deployment_status_body(content)
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
    ) -> list[Item]:
        listing = await self._github.listing(
            repository, path, shape=shape, under=under, purpose=purpose, params=params or {}
        )
        if listing.refused is not None:
            # A fresh deployment's statuses or a commit unknown so far: nothing of ours can be there.
            if listing.refused.status in {404, 422}:
                return []
            raise _refused(listing.refused, path)
        return listing.items

    async def _send(
        self, method: str, repository: Repository, path: str, purpose: Purpose, body: Mapping[str, Any]
    ) -> Reply:
        return await self._github.request(method, repository, path, purpose=purpose, body=body)


def _app_of(comment: _Comment) -> int:
    """The GitHub App that wrote it; 0 is a person's token."""
    return comment.performed_via_github_app.id if comment.performed_via_github_app else 0


def _check_body(content: CheckContent, key: str) -> dict[str, Any]:
    """What creating and updating have in common. Actions are always named: leaving them out would keep old buttons."""
    return {
        "name": content.name,
        "external_id": key,
        "status": content.status,
        "output": {"title": _cut(content.title, 255), "summary": _cut_bytes(content.summary, MAX_OUTPUT)},
        "actions": [
            {
                "label": _cut(action.label, 20),
                "description": _cut(action.description, 40),
                "identifier": action.identifier,
            }
            for action in content.actions[:MAX_ACTIONS]
        ],
        **_given(conclusion=content.conclusion, details_url=content.details_url),
    }


def _deployment_status_body(content: GithubDeploymentContent) -> dict[str, Any]:
    """`auto_inactive` would end other apps' deployments in an environment of the same name."""
    return {
        "state": content.state,
        "description": _cut(content.description, MAX_DESCRIPTION),
        "environment": content.environment,
        "auto_inactive": False,
        **_given(environment_url=content.environment_url, log_url=content.log_url),
    }


def _key_of(payload: Any) -> str | None:
    """Our key in a deployment's payload, whatever form GitHub gave it back in."""
    if isinstance(payload, str):
        try:
            payload = msgspec.json.decode(payload)
        except (msgspec.DecodeError, RecursionError):
            return None
    match payload:
        case {"towpath": str(key)}:
            return key
        case _:
            return None


def _given(**fields: str | None) -> dict[str, str]:
    """Only what has a value: GitHub takes no empty address."""
    return {name: value for name, value in fields.items() if value}


def _same(shown: Struct, wanted: Mapping[str, Any], *fields: str) -> bool:
    return all((getattr(shown, name) or "") == wanted.get(name, "") for name in fields)


def _identity(status: _DeploymentStatus) -> int:
    return status.id


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _cut_bytes(text: str, limit: int) -> str:
    """GitHub counts bytes here."""
    raw = text.encode()
    return text if len(raw) <= limit else raw[: limit - 3].decode(errors="ignore") + "…"


def _made(reply: Reply, what: str) -> int:
    if not reply.ok:
        raise _refused(reply, what)
    return reply.read(OnlyId).id


def _refused(reply: Reply, what: str) -> Refused | Transient:
    """A conflict may pass; everything else is GitHub's last word."""
    message = f"GitHub does not take the {what}: {reply.message}"
    return Transient(message) if reply.status == 409 else Refused(message, code="github")
