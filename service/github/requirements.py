"""What must succeed on a branch, from the rules of its rulesets and from its classic protection.

Everybody who reads the repository may read the rules, but only with the permission `administration: read` the
protection. Whoever does not grant that gets an answer that says what it lacks, not an error: rules may be all there is.
"""

from typing import Annotated, Any, Final
from urllib.parse import quote

from msgspec import Meta, Struct

from service.domain.errors import Refused
from service.domain.facts import Required, RequiredChecks
from service.domain.model import Repository
from service.github.answers import Answer
from service.github.app_auth import NO_ACCESS
from service.github.client import GitHub, Listing
from service.github.payloads import Id, clean
from service.github.purposes import Purpose
from service.github.transport import Reply

_CHECKS: Final = "required_status_checks"
_WORKFLOWS: Final = "workflows"
_NOTHING: Final = frozenset({"Branch not protected", "Required status checks not enabled", "Branch not found"})
"""What GitHub says with 404 where nothing is required; to those who may not know it says "Not Found"."""
_ETAGS: Final = "\n"

_Name = Annotated[str, Meta(min_length=1)]


class _Check(Struct, frozen=True):
    context: _Name
    app_id: Id | None = None
    integration_id: Id | None = None

    def seen(self) -> Required:
        return Required(context=clean(self.context), app_id=self.app_id or self.integration_id)


class _Parameters(Struct, frozen=True):
    required_status_checks: list[_Check] = []


class _Rule(Struct, frozen=True):
    type: str
    parameters: dict[str, Any] | None = None

    def required(self) -> list[Required]:
        """Only the parameters of this type of rule have this form."""
        parameters = Reply(status=200, data=self.parameters).read(_Parameters)
        return [each.seen() for each in parameters.required_status_checks]


class _Protection(Struct, frozen=True):
    contexts: list[_Name]
    checks: list[_Check] | None = None

    def seen(self) -> list[Required]:
        if self.checks is None:  # an older Enterprise Server
            return [Required(context=clean(each)) for each in self.contexts]
        return [each.seen() for each in self.checks]


class Requirements:
    """GitHub's requirements for branches."""

    def __init__(self, github: GitHub) -> None:
        self._github = github

    async def look(self, repository: Repository, branch: str, etag: str) -> Answer:
        """Read both. `etag` is that of the last answer; raises `Transient` when there is no answer."""
        etags = etag.split(_ETAGS) if etag.count(_ETAGS) == 1 else ["", ""]
        rules = await self._rules(repository, branch, etags[0])
        protection = await self._protection(repository, branch, etags[1])
        if rules.not_modified and isinstance(protection, Reply) and protection.status == 304:
            return Answer(etag=etag, not_modified=True)
        if rules.not_modified:
            rules = await self._rules(repository, branch, "")
        if isinstance(protection, Reply) and protection.status == 304:
            protection = await self._protection(repository, branch, "")
        return _answer(branch, rules, protection)

    async def _rules(self, repository: Repository, branch: str, etag: str) -> Listing:
        path = f"/rules/branches/{quote(branch, safe='')}"
        return await self._github.listing(repository, path, shape=_Rule, etag=etag)

    async def _protection(self, repository: Repository, branch: str, etag: str) -> Reply | str:
        """GitHub's answer, or why it gives none."""
        path = f"/branches/{quote(branch, safe='')}/protection/{_CHECKS}"
        try:
            return await self._github.request("GET", repository, path, purpose=Purpose.PROTECTION, etag=etag)
        except Refused as refused:
            if refused.code != NO_ACCESS:
                raise
            return "it takes the permission administration: read"


def _answer(branch: str, rules: Listing, protection: Reply | str) -> Answer:
    contexts, unread = list[Required](), list[str]()
    if rules.refused is not None:
        unread.append(f"the rules of {branch} are not shown ({rules.refused.message})")
    for rule in rules.items:
        if rule.type == _CHECKS:
            contexts += rule.required()
        elif rule.type == _WORKFLOWS:
            unread.append(f"{branch} requires workflows, whose checks have no fixed names")
    if isinstance(protection, str):
        unread.append(f"the protection of {branch} is not shown ({protection})")
    elif protection.ok:
        contexts += protection.read(_Protection).seen()
    elif protection.status != 404 or protection.message not in _NOTHING:
        unread.append(f"the protection of {branch} is not shown ({protection.message})")
    value = RequiredChecks(branch=branch, contexts=tuple(dict.fromkeys(contexts)), unread="; ".join(unread))
    protected = protection.etag if isinstance(protection, Reply) else ""
    return Answer(value=value, etag=f"{rules.etag}{_ETAGS}{protected}" if rules.etag and protected else "")
