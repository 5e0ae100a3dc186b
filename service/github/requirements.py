"""What must succeed on a branch, from the rules of its rulesets and from its classic protection.

Both are read with what everybody has who may read the repository: the rules of a branch, and the branch itself, whose
description names the checks that its protection requires. GitHub's own list of a protection's settings says no more of
them, and shows itself only to administrators. What is not shown is no error: rules may be all there is.
"""

from typing import Annotated, Any, Final
from urllib.parse import quote

from msgspec import Meta, Struct

from service.domain.facts import Required, RequiredChecks
from service.domain.model import Repository
from service.github.answers import Answer
from service.github.client import GitHub, Listing
from service.github.payloads import clean
from service.github.transport import Reply

_CHECKS: Final = "required_status_checks"
_WORKFLOWS: Final = "workflows"
_NO_BRANCH: Final = "Branch not found"
"""What GitHub says with 404 where there is no such branch; to those who may not know it says "Not Found"."""
_OFF: Final = "off"
_ETAGS: Final = "\n"

_Name = Annotated[str, Meta(min_length=1)]


class _Check(Struct, frozen=True):
    context: _Name
    app_id: int | None = None
    integration_id: int | None = None

    def seen(self) -> Required:
        """An App's number below 1 stands for any."""
        number = self.app_id or self.integration_id
        return Required(context=clean(self.context), app_id=number if number and number > 0 else None)


class _Parameters(Struct, frozen=True):
    required_status_checks: list[_Check] = []


class _Rule(Struct, frozen=True):
    type: str
    parameters: dict[str, Any] | None = None

    def required(self) -> list[Required]:
        """Only the parameters of this type of rule have this form."""
        parameters = Reply(status=200, data=self.parameters).read(_Parameters)
        return [each.seen() for each in parameters.required_status_checks]


class _StatusChecks(Struct, frozen=True):
    enforcement_level: str = ""
    contexts: list[_Name] = []
    checks: list[_Check] | None = None

    def seen(self) -> list[Required]:
        """A context that only the older of the two lists names may come from anybody."""
        if self.enforcement_level == _OFF:
            return []
        checks = [each.seen() for each in self.checks or []]
        named = {each.context for each in checks}
        return checks + [Required(context=name) for each in self.contexts if (name := clean(each)) not in named]


class _Protection(Struct, frozen=True):
    required_status_checks: _StatusChecks | None = None


class _Branch(Struct, frozen=True):
    """`protected` is said of a branch with rulesets alone, too; then its `protection` requires nothing."""

    name: str
    protected: bool = False
    protection: _Protection | None = None


class Requirements:
    """GitHub's requirements for branches."""

    def __init__(self, github: GitHub) -> None:
        self._github = github

    async def look(self, repository: Repository, branch: str, etag: str) -> Answer:
        """Read both. `etag` is that of the last answer; raises `Transient` when there is no answer."""
        etags = etag.split(_ETAGS) if etag.count(_ETAGS) == 1 else ["", ""]
        rules = await self._rules(repository, branch, etags[0])
        itself = await self._itself(repository, branch, etags[1])
        if rules.not_modified and itself.status == 304:
            return Answer(etag=etag, not_modified=True)
        if rules.not_modified:
            rules = await self._rules(repository, branch, "")
        if itself.status == 304:
            itself = await self._itself(repository, branch, "")
        return _answer(branch, rules, itself)

    async def _rules(self, repository: Repository, branch: str, etag: str) -> Listing:
        path = f"/rules/branches/{quote(branch, safe='')}"
        return await self._github.listing(repository, path, shape=_Rule, etag=etag)

    async def _itself(self, repository: Repository, branch: str, etag: str) -> Reply:
        return await self._github.get(repository, f"/branches/{quote(branch, safe='')}", etag=etag)


def _answer(branch: str, rules: Listing, itself: Reply) -> Answer:
    contexts, unread = list[Required](), list[str]()
    if rules.refused is not None:
        unread.append(f"the rules of {branch} are not shown ({rules.refused.message})")
    for rule in rules.items:
        if rule.type == _CHECKS:
            contexts += rule.required()
        elif rule.type == _WORKFLOWS:
            unread.append(f"{branch} requires workflows, whose checks have no fixed names")
    required, hidden = _of_protection(branch, itself)
    contexts += required
    if hidden:
        unread.append(f"the protection of {branch} is not shown ({hidden})")
    value = RequiredChecks(branch=branch, contexts=tuple(dict.fromkeys(contexts)), unread="; ".join(unread))
    return Answer(value=value, etag=f"{rules.etag}{_ETAGS}{itself.etag}" if rules.etag and itself.etag else "")


def _of_protection(branch: str, itself: Reply) -> tuple[list[Required], str]:
    """What the branch's protection requires, and why that may not be all."""
    if not itself.ok:
        gone = itself.status == 404 and itself.message == _NO_BRANCH
        return [], "" if gone else itself.message
    read = itself.read(_Branch)
    if read.name != branch:  # GitHub follows renames here
        return [], f"GitHub answered for {clean(read.name)}"
    if not read.protected:
        return [], ""
    if read.protection is None:
        return [], "GitHub says only that there is one"
    checks = read.protection.required_status_checks
    return ([], "") if checks is None else (checks.seen(), "")
