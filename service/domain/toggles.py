"""A pipeline's switches: what each means, how a change is checked, and how they are kept."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from typing import Any, Final

from service.domain.errors import Refused
from service.domain.model import CiCounts, IdleAction, Toggles
from service.domain.names import check_base_name
from service.domain.patterns import check_pattern

DESCRIPTIONS: Final[Mapping[str, str]] = {
    "review_apps": "Pull requests of the connected repository can have review apps.",
    "automatic_review_apps": "Every pull request that is opened gets its review app without being asked.",
    "wait_for_ci": "A review app is created and updated only after CI has passed for the commit.",
    "destroy_stale": "Review apps that have had no deploy for `stale_days` are destroyed, or what `idle_action` says.",
    "stale_days": "After how many days without a deploy a review app is stale (1 to 30).",
    "idle_action": "What becomes of a stale review app: `destroy`, or `suspend`, which stops it and keeps all of it"
    " until the next push or a person brings it back.",
    "base_name": "What review apps are named after, as in BASE-pr-12; empty means the pipeline's name.",
    "max_review_apps": "How many review apps there may be at once, suspended ones counted; 0 means any number.",
    "drafts": "Draft pull requests get review apps too.",
    "labels": "Only pull requests with one of these labels get a review app by themselves; empty means all. An app that"
    " is there stays, and follows its pull request, when the label is taken off.",
    "base_branches": "Only pull requests into these branches get a review app by themselves, as patterns like"
    " `release/*`; empty means all. An app that is there stays when its pull request goes elsewhere.",
    "paths": "Only pull requests and pushes that change one of these files or directories count, as patterns from the"
    " repository's root like `api/**` or `!**/*.md`; empty means all. Pushes are compared with what is deployed.",
    "ci_counts": "What must succeed for CI to have passed: `all` statuses and checks, the `required` ones that "
    "`required_contexts` names, or those that the branch's protection and rulesets require (`protected`).",
    "forks": "Pull requests of forks and bots: `approve` runs a commit once it is approved, `never` runs none.",
    "approval_blocks": "The check of a commit that waits for approval is `action_required` instead of neutral.",
    "required_contexts": "Only these statuses and checks must succeed for CI to have passed; empty means all.",
    "ignored_contexts": "These statuses and checks never count for CI, not even where the branch requires them; the"
    " name of a GitHub App stands for all of its checks that nothing requires.",
    "deploy_without_ci": "If no status or check appears within `settle_seconds`, CI counts as passed.",
    "settle_seconds": "How long statuses and checks have to appear after a push before green counts.",
    "gate_seconds": "How long CI is waited for before it counts as timed out.",
    "comment": "A pull request with a review app gets one comment with its address and state, edited in place.",
    "health_path": "What `web` must answer with 2xx or 3xx before a release gets traffic, as in `/healthz`; empty"
    " means that it need only accept connections. Counts from the next release or restart on.",
}
APP_DESCRIPTIONS: Final[Mapping[str, str]] = {
    "promotable": "The app's slug may be promoted to others, and theirs to it; `no` is for builds that hold the app's"
    " own config vars: they are deployed from git.",
}
"""What an app's own switches mean."""
CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "idle_action": tuple(IdleAction),
    "ci_counts": tuple(CiCounts),
    "forks": ("approve", "never"),
}
"""The words that there are for those that are one of a few."""
ROOT: Final = "root_directory"
ROOT_DESCRIPTION: Final = (
    "The directory of the repository that holds the pipeline's app, with its Procfile and app.json; empty means all of"
    " it. Counts from the next deploy on, and a push that changes nothing in it needs no build."
)
_LONGEST_ROOT: Final = 255
_LONGEST_PATH: Final = 200
_ONE_HOUR: Final = 3600.0
_ONE_DAY: Final = 24 * _ONE_HOUR
_MOST_NAMES: Final = 100


def change(toggles: Toggles, changes: Mapping[str, Any]) -> Toggles:
    """The toggles with the named ones changed; every mistake is told at once."""
    errors: list[str] = []
    values: dict[str, Any] = {}
    for name, value in changes.items():
        read = _READERS.get(name)
        if read is None:
            errors.append(f"{name}: there is no such setting; there are {', '.join((*_READERS, ROOT))}")
            continue
        try:
            values[name] = read(value)
        except ValueError as error:
            errors.append(f"{name}: {error}")
    if "required_contexts" in values and "ci_counts" not in values:
        values |= _chosen(toggles.ci_counts, values["required_contexts"])
    changed = replace(toggles, **values)
    errors += _contradictions(changed)
    if errors:
        raise Refused("\n".join(errors))
    return changed


def root_directory(value: Any) -> str:
    """The directory as it is kept: without slashes around it, empty for the whole repository."""
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > _LONGEST_ROOT or not value.isprintable():
        raise Refused(f"{ROOT}: expected a path of at most {_LONGEST_ROOT} characters")
    parts = [part for part in value.strip().split("/") if part not in {"", "."}]
    if ".." in parts:
        raise Refused(f"{ROOT}: {value} leads out of the repository")
    return "/".join(parts)


def to_json(toggles: Toggles) -> dict[str, Any]:
    """As plain values, to be kept or shown."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(toggles).items()}


def from_json(values: Mapping[str, Any]) -> Toggles:
    """What was kept; settings that are no longer known are left out, new ones have their default."""
    known: dict[str, Any] = {}
    for name in (field.name for field in fields(Toggles) if field.name in values):
        value = values[name]
        known[name] = tuple(value) if isinstance(value, list) else value
    if "ci_counts" in known:
        known["ci_counts"] = CiCounts(known["ci_counts"])
    else:
        known |= _chosen(CiCounts.ALL, known.get("required_contexts", ()))
    return Toggles(**known)


def _chosen(before: CiCounts, contexts: tuple[str, ...]) -> dict[str, Any]:
    """Who names contexts without more wants those to count, and who names none wants all."""
    return {"ci_counts": before if before is CiCounts.PROTECTED else CiCounts.REQUIRED if contexts else CiCounts.ALL}


def _contradictions(toggles: Toggles) -> list[str]:
    ignored = {name.casefold() for name in toggles.ignored_contexts}
    both = sorted(name for name in toggles.required_contexts if name.casefold() in ignored)
    errors = [f"ignored_contexts: {name} is required as well" for name in both]
    if toggles.ci_counts is CiCounts.REQUIRED and not toggles.required_contexts:
        errors.append("ci_counts: required needs required_contexts, which names them")
    if toggles.settle_seconds > toggles.gate_seconds:
        errors.append("settle_seconds: cannot be longer than gate_seconds")
    return errors


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("expected true or false")  # noqa: TRY004
    return value


def _ci_counts(value: Any) -> CiCounts:
    try:
        return CiCounts(value)
    except ValueError:
        raise ValueError(f"expected one of {', '.join(CiCounts)}") from None


def _one_of(*words: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in words:
            raise ValueError(f"expected {' or '.join(words)}")
        return str(value)

    return read


def _whole(lowest: int, highest: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
            raise ValueError(f"expected a whole number from {lowest} to {highest}")
        return value

    return read


def _seconds(highest: float) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= highest:
            raise ValueError(f"expected seconds from 0 to {highest:g}")
        return float(value)

    return read


def _base_name(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError("expected text")  # noqa: TRY004
    try:
        return check_base_name(value)
    except Refused as error:
        raise ValueError(error.message.removeprefix("base_name ")) from None


def _url_path(value: Any) -> str:
    text = "" if value is None else value
    usable = isinstance(text, str) and len(text) <= _LONGEST_PATH and text.isascii() and text.isprintable()
    if not usable or (text and not text.startswith("/")) or " " in text:
        raise ValueError(f"expected a path such as /healthz, of at most {_LONGEST_PATH} characters")
    return str(text)


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) and each.strip() for each in value):
        raise ValueError("expected a list of names")
    if len(value) > _MOST_NAMES:
        raise ValueError(f"expected at most {_MOST_NAMES} names")
    return tuple(dict.fromkeys(each.strip() for each in value))


def _patterns(value: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(check_pattern(each) for each in _names(value)))


def _idle_action(value: Any) -> IdleAction:
    try:
        return IdleAction(value)
    except ValueError:
        raise ValueError(f"expected {' or '.join(IdleAction)}") from None


_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "review_apps": _boolean,
    "automatic_review_apps": _boolean,
    "wait_for_ci": _boolean,
    "destroy_stale": _boolean,
    "stale_days": _whole(1, 30),
    "idle_action": _idle_action,
    "base_name": _base_name,
    "max_review_apps": _whole(0, 1000),
    "drafts": _boolean,
    "labels": _names,
    "base_branches": _patterns,
    "paths": _patterns,
    "ci_counts": _ci_counts,
    "forks": _one_of("never", "approve"),
    "approval_blocks": _boolean,
    "required_contexts": _names,
    "ignored_contexts": _names,
    "deploy_without_ci": _boolean,
    "settle_seconds": _seconds(_ONE_HOUR),
    "gate_seconds": _seconds(_ONE_DAY),
    "comment": _boolean,
    "health_path": _url_path,
}
