"""Reading facts from GitHub. A value is given only for a whole and well-formed answer.

`Transient` means that there was no answer; the fact stays as it is and the look is repeated. An error in the `Answer`
is GitHub's word that it cannot be had. Neither says that a thing is gone.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Final, assert_never
from urllib.parse import quote

import msgspec
from msgspec import Meta, Struct

from service.domain.access import Standing
from service.domain.ci_gate import OUR_PREFIX
from service.domain.errors import Refused, Transient
from service.domain.facts import ChangedPaths, CiSignals, Difference, FactKey, FactKind, Head
from service.domain.model import Repository, RepositoryId, Sha
from service.github.answers import Answer
from service.github.client import GitHub, Listing
from service.github.payloads import (
    CheckRunPayload,
    CheckSuitePayload,
    Commit,
    ComparisonPayload,
    DifferencePayload,
    FullName,
    PullPayload,
    RepositoryPayload,
    StatusPayload,
)
from service.github.requirements import Requirements
from service.github.transport import Reply

_ETAGS: Final = "\n"  # a header's value holds no line break
_UNREAD: Final = "unread"
"""In the place of the etag of a list that GitHub does not show; a true one is in quotes."""
_NO_CHECKS: Final = "GitHub shows this token no check runs, only statuses count"
_CI_LISTS: Final[
    tuple[tuple[str, type[StatusPayload | CheckRunPayload | CheckSuitePayload], str, dict[str, str]], ...]
] = (
    ("status", StatusPayload, "statuses", {}),
    ("check-runs", CheckRunPayload, "check_runs", {"filter": "latest"}),
    ("check-suites", CheckSuitePayload, "check_suites", {}),
)


class _Object(Struct, frozen=True):
    sha: Commit
    type: str


class _Ref(Struct, frozen=True):
    ref: str
    object: _Object


class _Somebody(Struct, frozen=True):
    id: int


class _Permission(Struct, frozen=True):
    permission: Annotated[str, Meta(pattern=r"^(admin|write|read|none)\Z")]
    user: _Somebody | None = None


class Looks:
    """GitHub's state, as facts."""

    def __init__(self, *, github: GitHub, now: Callable[[], datetime]) -> None:
        self._github = github
        self._now = now

    async def look(self, fact: FactKey, repository: Repository, *, etag: str = "") -> Answer:
        """Read one fact. `etag` is that of the last answer, if its value is still at hand."""
        try:
            return await self._asked(fact, repository, etag)
        except Refused as refused:
            return Answer(error=refused.message)

    def _asked(self, fact: FactKey, repository: Repository, etag: str) -> Awaitable[Answer]:
        match fact.kind:
            case FactKind.PULL_REQUEST:
                return self._pull_request(repository, fact.key, etag)
            case FactKind.OPEN_PULL_REQUESTS | FactKind.REPOSITORY:
                whole = self._repository if fact.kind is FactKind.REPOSITORY else self._open_pull_requests
                return whole(repository, etag)
            case FactKind.HEAD:
                return self._head(repository, fact.key, etag)
            case FactKind.CI:
                return self._ci(repository, Sha(fact.key), etag)
            case FactKind.REQUIRED:
                return Requirements(self._github).look(repository, fact.key, etag)
            case FactKind.CHANGED_PATHS:
                return self._changed_paths(repository, fact.key)
            case FactKind.MANIFEST | FactKind.COMMITS:
                raise Refused("files and commits are read from git")
            case _:
                assert_never(fact.kind)

    async def repository(self, full_name: str) -> Repository | None:
        """The repository of this name; None when there is none that we may read. Raises `Refused` where nobody can."""
        try:
            name = msgspec.convert(full_name, FullName)
        except msgspec.ValidationError:
            raise Refused(f"{full_name[:80]!r} is not a repository's name: write OWNER/NAME") from None
        unknown = Repository(id=RepositoryId(0), full_name=name, default_branch="")
        installation_id = await self._github.installation_id(unknown)
        return await self.again(replace(unknown, installation_id=installation_id))

    async def again(self, repository: Repository) -> Repository | None:
        """The repository as it is now, by its number; None when GitHub does not show it."""
        reply = await self._github.get(repository, "")
        return reply.read(RepositoryPayload).seen(repository.installation_id) if reply.ok else None

    async def suspended(self, repository: Repository) -> bool:
        """Whether GitHub says that the installation which covers the repository is suspended; silence says nothing."""
        return await self._github.is_suspended(repository)

    async def permission(self, repository: Repository, login: str) -> str:
        """What a person may do there now: admin, write, read or none; none as well when GitHub does not tell."""
        return (await self.standing(repository, login)).permission

    async def standing(self, repository: Repository, login: str) -> Standing:
        """What a person may do there now, and who they are; nothing and nobody when GitHub does not tell."""
        return await self.told_standing(repository, login) or Standing(permission="none")

    async def told_standing(self, repository: Repository, login: str) -> Standing | None:
        """The same; None when GitHub does not tell, which proves nothing."""
        reply = await self._github.get(repository, f"/collaborators/{quote(login, safe='')}/permission")
        if not reply.ok:
            return None
        read = reply.read(_Permission)
        return Standing(permission=read.permission, github_id=read.user.id if read.user else None)

    async def difference(self, repository: Repository, base: Sha, head: Sha) -> Difference:
        """By which commits `head` is ahead of `base`; raises `Refused` where GitHub does not compare them."""
        reply = await self._github.get(repository, f"/compare/{base}...{head}")
        if not reply.ok:
            raise Refused(
                f"GitHub does not show how {base[:7]} and {head[:7]} of {repository.full_name} differ: {reply.message}",
                code="not_found",
            )
        return reply.read(DifferencePayload).seen()

    async def _repository(self, repository: Repository, etag: str) -> Answer:
        reply = await self._github.get(repository, "", etag=etag)
        if reply.status == 304:
            return Answer(etag=etag, not_modified=True)
        if not reply.ok:
            return _error(reply, repository.full_name)
        value = reply.read(RepositoryPayload).seen(await self._github.installation_id(repository))
        if value.full_name.partition("/")[0] != repository.full_name.partition("/")[0]:
            # Under another owner it is another installation's, although the former one's token may read it for a while.
            value = replace(value, installation_id=await self._github.installed_on(value) or value.installation_id)
        if value.id != repository.id:
            return Answer(error=f"GitHub answered for {value.full_name} instead of {repository.full_name}")
        return Answer(value=value, etag=reply.etag)

    async def _pull_request(self, repository: Repository, number: str, etag: str) -> Answer:
        reply = await self._github.get(repository, f"/pulls/{number}", etag=etag)
        if reply.status == 304:
            return Answer(etag=etag, not_modified=True)
        if not reply.ok:
            return _error(reply, f"pull request {number}")
        value = reply.read(PullPayload).seen()
        if value.base_repository_id != repository.id:
            return Answer(error=f"{repository.full_name} is another repository by now")
        return Answer(value=value, etag=reply.etag)

    async def _open_pull_requests(self, repository: Repository, etag: str) -> Answer:
        # By creation, so that a pull request that changes meanwhile does not move to a page already read.
        listing = await self._github.listing(
            repository,
            "/pulls",
            shape=PullPayload,
            etag=etag,
            params={"state": "open", "sort": "created", "direction": "asc"},
        )
        if listing.not_modified:
            return Answer(etag=etag, not_modified=True)
        if listing.refused is not None:
            return _error(listing.refused, "the open pull requests")
        values = {pull.number: pull.seen() for pull in listing.items}
        if any(value.base_repository_id != repository.id for value in values.values()):
            return Answer(error=f"{repository.full_name} is another repository by now")
        return Answer(value=tuple(values.values()), etag=listing.etag)

    async def _head(self, repository: Repository, branch: str, etag: str) -> Answer:
        # Not /branches/NAME: that one follows renames and would show another branch's head.
        reply = await self._github.get(repository, f"/git/ref/heads/{quote(branch, safe='/')}", etag=etag)
        if reply.status == 304:
            return Answer(etag=etag, not_modified=True)
        if reply.ok:
            ref = reply.read(_Ref)
            if ref.ref != f"refs/heads/{branch}" or ref.object.type != "commit":
                return Answer(error=f"GitHub answered for {ref.ref[:255]} instead of branch {branch}")
            return Answer(value=Head(branch=branch, sha=Sha(ref.object.sha)), etag=reply.etag)
        if reply.status in {404, 409}:  # 409: a repository without commits
            there = await self.again(repository)
            if there is not None and there.id == repository.id:
                return Answer(value=Head(branch=branch, sha=None))
        return _error(reply, f"branch {branch}")

    async def _changed_paths(self, repository: Repository, commits: str) -> Answer:
        """Compare; what cannot be compared is known not to be, once GitHub shows the repository meanwhile.

        The commits may have nothing in common or be gone, or the comparison may be too large to be made: that is no
        want of access or of an answer, and no reason to wait.
        """
        reply: Reply | None = None
        for last in (False, True):
            reply = await self._comparison(repository, commits)
            if reply is not None and reply.ok:
                return Answer(value=reply.read(ComparisonPayload).seen())
            there = await self.again(repository)
            if there is None or there.id != repository.id:
                break
            if reply is not None or last:
                return Answer(value=ChangedPaths(paths=(), whole=False, linear=False))
        return Answer(error="GitHub does not show what changed") if reply is None else _error(reply, "what changed")

    async def _comparison(self, repository: Repository, commits: str) -> Reply | None:
        """A page of one commit: the files come with the first, and nobody reads the commits. None for no answer."""
        params = {"per_page": "1", "page": "1"}
        try:
            return await self._github.request("GET", repository, f"/compare/{commits}", params=params)
        except Transient as error:
            if error.retry_after:
                raise
            return None

    async def _ci(self, repository: Repository, sha: Sha, etag: str) -> Answer:
        etags = etag.split(_ETAGS) if etag.count(_ETAGS) == 2 else ["", "", ""]
        listings = [await self._signals(repository, sha, which, etags[which]) for which in range(len(_CI_LISTS))]
        if all(listing.not_modified for listing in listings):
            return Answer(etag=etag, not_modified=True)
        for which, listing in enumerate(listings):
            if listing.not_modified:  # its items are not at hand, only the other lists' news
                listings[which] = await self._signals(repository, sha, which, "")
            if (refused := listings[which].refused) is not None:
                return _error(refused, f"the CI results of {sha[:7]}")
        statuses, runs, suites = (listing.items for listing in listings)
        value = CiSignals(
            sha=sha,
            statuses=tuple(
                each.seen()
                for each in sorted(statuses, key=_identity)
                if not each.context.casefold().startswith(OUR_PREFIX)
            ),
            runs=tuple(each.seen() for each in sorted(runs, key=_identity) if not self._is_ours(each)),
            suites=tuple(each.seen() for each in sorted(suites, key=_identity) if not self._is_ours(each)),
            first_seen=self._now(),
            unread=_NO_CHECKS if _UNREAD in {listing.etag for listing in listings} else "",
        )
        joined = _ETAGS.join(listing.etag for listing in listings)
        return Answer(value=value, etag=joined if all(listing.etag for listing in listings) else "")

    async def _signals(self, repository: Repository, sha: Sha, which: int, etag: str) -> Listing:
        name, shape, under, params = _CI_LISTS[which]
        path = f"/commits/{sha}/{name}"
        sent = etag if etag != _UNREAD else ""
        listing = await self._github.listing(repository, path, shape=shape, under=under, etag=sent, params=params)
        if self._is_kept_back(listing, which):
            return Listing(items=[], etag=_UNREAD, not_modified=etag == _UNREAD)
        if len({each.id for each in listing.items}) < len(listing.items):
            # What stands on two pages has pushed something else from between them.
            raise Transient(f"GitHub's list of {name} changed while it was read")
        return listing

    def _is_kept_back(self, listing: Listing, which: int) -> bool:
        """Whether GitHub keeps checks from us for good: it gives no fine-grained token a right to read them.

        An App has that right; what is kept from it is an error that people can mend.
        """
        refused = listing.refused
        return refused is not None and refused.status == 403 and which > 0 and self._github.app_id == 0

    def _is_ours(self, check: CheckRunPayload | CheckSuitePayload) -> bool:
        return check.app is not None and check.app.id == self._github.app_id


def _identity(signal: StatusPayload | CheckRunPayload | CheckSuitePayload) -> int:
    """Younger ones have higher ids: the last of a name is the newest."""
    return signal.id


def _error(reply: Reply, what: str) -> Answer:
    return Answer(error=f"GitHub does not show {what}: {reply.message}")
