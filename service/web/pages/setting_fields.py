"""A pipeline's settings as the fields of forms: in groups, in words for people, read and shown again group by group.

What a setting means, what it may be and what contradicts what is said in `domain/toggles.py`, and there alone.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from service.domain import toggles
from service.domain.errors import Refused
from service.domain.model import Pipeline, Toggles
from service.web.pages.signed_in import Form


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Settings that are saved together; `key` is what the group is called in addresses."""

    key: str
    title: str
    names: tuple[str, ...]


GROUPS: Final = (
    Group(
        key="review-apps",
        title="Review apps",
        names=("review_apps", "automatic_review_apps", "wait_for_ci", "max_review_apps", "base_name", "comment"),
    ),
    Group(
        key="pull-requests",
        title="Which pull requests get one",
        names=("drafts", "labels", "base_branches", "paths", "forks", "approval_blocks"),
    ),
    Group(key="idle", title="Idle review apps", names=("destroy_stale", "stale_days", "idle_action")),
    Group(
        key="ci",
        title="What counts as CI",
        names=(
            "ci_counts",
            "required_contexts",
            "ignored_contexts",
            "deploy_without_ci",
            "settle_seconds",
            "gate_seconds",
        ),
    ),
    Group(key="code", title="Code and health", names=(toggles.ROOT, "health_path")),
)
LABELS: Final = {
    "review_apps": "Review apps",
    "automatic_review_apps": "Create review apps automatically",
    "wait_for_ci": "Wait for CI",
    "max_review_apps": "Most review apps at once",
    "base_name": "Base name",
    "comment": "Comment on pull requests",
    "drafts": "Draft pull requests",
    "labels": "Labels",
    "base_branches": "Base branches",
    "paths": "Paths",
    "forks": "Forks and bots",
    "approval_blocks": "Waiting for approval blocks the check",
    "destroy_stale": "Clear away stale review apps",
    "stale_days": "Days until a review app is stale",
    "idle_action": "What becomes of a stale one",
    "ci_counts": "What must succeed",
    "required_contexts": "Required statuses and checks",
    "ignored_contexts": "Ignored statuses and checks",
    "deploy_without_ci": "Go on where there is no CI",
    "settle_seconds": "Seconds for checks to appear",
    "gate_seconds": "Seconds until CI has timed out",
    toggles.ROOT: "Root directory",
    "health_path": "Health check path",
}
_WORDS: Final = {
    "destroy": "Destroy it",
    "suspend": "Suspend it",
    "all": "All statuses and checks",
    "required": "Those required below",
    "protected": "Those the branch requires on GitHub",
    "approve": "Run a commit once it is approved",
    "never": "Never run any",
}
_MEANING: Final = {toggles.ROOT: toggles.ROOT_DESCRIPTION} | dict(toggles.DESCRIPTIONS)
_DEFAULTS: Final[Mapping[str, Any]] = {toggles.ROOT: ""} | toggles.to_json(Toggles())
_ERROR: Final = re.compile(r"(\w+): (.+)", re.DOTALL)
_LONGEST: Final = 30
"""No number that a setting takes has more characters; nor is a longer one shown again as it was entered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A setting as it is shown: `kind` is one of switch, choice, lines, number and text."""

    name: str
    kind: str
    label: str
    meaning: str
    default: str
    value: Any
    choices: tuple[tuple[str, str], ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A group as it is shown. `seen` is what it was when it was shown first, for the form to bring along."""

    group: Group
    fields: tuple[Field, ...]
    seen: str
    errors: tuple[str, ...] = ()


def values_of(pipeline: Pipeline) -> dict[str, Any]:
    """All settings of a pipeline as plain values, by name."""
    return {toggles.ROOT: pipeline.root_directory} | toggles.to_json(pipeline.toggles)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """What somebody has entered into the form of a group, and what they had before their eyes when they began."""

    group: Group
    values: Mapping[str, Any]
    seen: Mapping[str, Any]

    @property
    def changes(self) -> dict[str, Any]:
        """What they have changed; what others changed meanwhile, and they did not, stays as those have it."""
        return {name: value for name, value in self.values.items() if value != self.seen.get(name)}


def read(group: Group, form: Form) -> Entered:
    """Read the form of a group; raises `Refused` for what no form of ours sends."""
    try:
        seen = json.loads(str(form.get("seen", "")))
    except (ValueError, RecursionError):
        seen = None
    if not isinstance(seen, dict):
        raise Refused("This form is not whole: nothing was saved. Load its page again.", code="bad_request")
    values = {name: _entered(name, form) for name in group.names if name in form or _kind(name) == "switch"}
    return Entered(group=group, values=values, seen=seen)


def sheet(group: Group, known: Mapping[str, Any], *, entered: Entered | None = None, refusal: str = "") -> Sheet:
    """The group with its values; those `entered`, with what was said against them, while they are not saved."""
    at_fields, others = _parted(refusal, group)
    shown = {name: known[name] for name in group.names}
    seen = shown if entered is None else entered.seen
    shown |= {} if entered is None else entered.values
    fields = tuple(_field(name, shown[name], at_fields.get(name, "")) for name in group.names)
    return Sheet(group=group, fields=fields, seen=json.dumps(dict(seen)), errors=others)


def _parted(refusal: str, group: Group) -> tuple[dict[str, str], tuple[str, ...]]:
    """What was said against fields of the group, and the rest of it."""
    at_fields, others = dict[str, str](), list[str]()
    for line in filter(None, refusal.split("\n")):
        match = _ERROR.fullmatch(line)
        if match is not None and match[1] in group.names:
            at_fields[match[1]] = f"{at_fields[match[1]]}; {match[2]}" if match[1] in at_fields else match[2]
        else:
            others.append(line)
    return at_fields, tuple(others)


def _field(name: str, value: Any, error: str) -> Field:
    kind = _kind(name)
    return Field(
        name=name,
        kind=kind,
        label=LABELS[name],
        meaning=_MEANING[name],
        default=_in_words(name, _DEFAULTS[name]),
        value=value if kind == "switch" else "\n".join(value) if kind == "lines" else _plain(value),
        choices=tuple((each, _WORDS[each]) for each in toggles.CHOICES.get(name, ())),
        error=error,
    )


def _kind(name: str) -> str:
    match _DEFAULTS[name]:
        case _ if name in toggles.CHOICES:
            return "choice"
        case bool():
            return "switch"
        case list():
            return "lines"
        case int() | float():
            return "number"
        case _:
            return "text"


def _in_words(name: str, value: Any) -> str:
    match _kind(name):
        case "switch":
            return "on" if value else "off"
        case "choice":
            return _WORDS[value][0].lower() + _WORDS[value][1:]
        case _:
            return "empty" if value in ("", []) else _plain(value)


def _plain(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _entered(name: str, form: Form) -> Any:
    """A value as the setting's kind is; what cannot be read is left as it is, for the setting's own check to refuse."""
    text = str(form.get(name, ""))
    match _kind(name):
        case "switch":
            return text == "on"
        case "lines":
            return [each for each in map(str.strip, text.splitlines()) if each]
        case "number":
            return _number(text.strip())
        case _:
            return text.strip()


def _number(text: str) -> int | float | str:
    if len(text) > _LONGEST:
        return text
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        return text
