"""What the API asks GitHub while a person waits: which repository a name means, and which commit a branch."""

import re

from service.domain.access import Standing
from service.domain.errors import Refused
from service.domain.facts import Difference, FactKey, FactKind, Head, PullRequest
from service.domain.model import Repository, Sha
from service.github.client import GitHub
from service.github.looks import Looks

_SHA = re.compile(r"[0-9a-f]{7,40}")


class GitHubLookup:
    """Answers from GitHub itself, in the user's words."""

    def __init__(self, *, github: GitHub, looks: Looks) -> None:
        self._github = github
        self._looks = looks

    async def repository(self, full_name: str) -> Repository:
        """Return the repository of that name, as `OWNER/NAME`."""
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", full_name):
            raise Refused(f"{full_name} is not a repository name: write it as ORG/REPO.")
        found = await self._looks.repository(full_name)
        if found is None:
            raise Refused(f"Couldn't access that repo: {full_name}. Is it spelt so, and may Towpath read it?")
        return found

    async def resolve(self, repository: Repository, ref: str) -> Sha:
        """Return the commit that a branch or a (short) sha names now."""
        head = await self._head(repository, ref)
        if head is not None:
            return head
        if _SHA.fullmatch(ref):
            reply = await self._github.get(repository, f"/commits/{ref}")
            if reply.status == 200 and isinstance(reply.data, dict):
                return Sha(str(reply.data["sha"]))
        raise Refused(f"Couldn't find {ref} in {repository.full_name}: it is neither a branch nor a commit.")

    async def branch(self, repository: Repository, name: str) -> Sha:
        """Return the commit that a branch is at now."""
        head = await self._head(repository, name)
        if head is None:
            raise Refused(f"Couldn't find the branch {name} in {repository.full_name}.", code="not_found")
        return head

    async def pull_request(self, repository: Repository, number: int) -> PullRequest:
        """Return the pull request as it is now."""
        answer = await self._looks.look(FactKey(FactKind.PULL_REQUEST, repository.id, str(number)), repository)
        if not isinstance(answer.value, PullRequest):
            raise Refused(
                f"Couldn't find pull request #{number} in {repository.full_name} ({answer.error}).", code="not_found"
            )
        return answer.value

    async def standing(self, repository: Repository, login: str) -> Standing:
        """Return what a person may do there now, and who they are."""
        return await self._looks.standing(repository, login)

    async def difference(self, repository: Repository, base: Sha, head: Sha) -> Difference:
        """Return the commits by which one is ahead of another."""
        return await self._looks.difference(repository, base, head)

    async def _head(self, repository: Repository, branch: str) -> Sha | None:
        answer = await self._looks.look(FactKey(FactKind.HEAD, repository.id, branch), repository)
        return answer.value.sha if isinstance(answer.value, Head) else None
