"""What a repository says about itself: app.json and Procfile, as Heroku reads them.

The files come from anyone who can push, so everything is capped and every mistake is listed at once.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from service.domain.errors import Refused

LARGEST: Final = 64 * 1024
DEEPEST: Final = 16
MOST_KEYS: Final = 2000
_PROCFILE_LINE: Final = re.compile(r"([A-Za-z0-9_-]{1,64})\s*:\s*(.+)")
_PROCESS_TYPE: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SCRIPTS: Final = frozenset({"postdeploy", "pr-predestroy", "test", "test-setup"})
_ENVIRONMENTS: Final = frozenset({"review", "test"})


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvVar:
    """A config var an app wants: a value, a generated secret, or neither, and then somebody must give it."""

    value: str | None = None
    required: bool = True
    generate: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addon:
    """A wished add-on."""

    plan: str
    name: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """An app.json. `review` and `test` are the same with `environments.*` laid over, None where there is none."""

    name: str = ""
    env: Mapping[str, EnvVar] = field(default_factory=dict)
    formation: Mapping[str, int] = field(default_factory=dict)
    scripts: Mapping[str, str] = field(default_factory=dict)
    buildpacks: tuple[str, ...] = ()
    addons: tuple[Addon, ...] = ()
    stack: str = ""
    review: "Manifest | None" = None
    test: "Manifest | None" = None


def parse_procfile(text: str) -> dict[str, str]:
    """Process types and their commands, in the file's order."""
    _check_size("Procfile", text)
    errors: list[str] = []
    types: dict[str, str] = {}
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = _PROCFILE_LINE.fullmatch(line)
        if match is None or _CONTROL.search(line):
            errors.append(f"line {number}: expected TYPE: COMMAND, for example web: python app.py")
        elif match[1] in types:
            errors.append(f"line {number}: {match[1]} is named twice")
        else:
            types[match[1]] = match[2]
    _refuse("Procfile", errors)
    return types


def parse_app_json(text: str) -> Manifest:
    """The manifest; unknown keys are left alone."""
    document = _load(text)
    errors: list[str] = []
    base = Manifest(**_fields(document, "", errors))
    environments = _object(document, "environments", "", errors)
    overlays: dict[str, Any] = {}
    for name in sorted(_ENVIRONMENTS & environments.keys()):
        at = f"environments.{name}."
        # A key present replaces the base key completely: with an env of its own, the base env is gone.
        overlays[name] = replace(base, **_fields(_object(environments, name, "environments.", errors), at, errors))
    _refuse("app.json", errors)
    return replace(base, **overlays)


def review_manifest(manifest: Manifest) -> Manifest:
    """What holds for review apps."""
    return manifest.review or manifest


def resolve_env(
    manifest: Manifest, given: Mapping[str, str], generate: Callable[[], str], *, whose: str = "review apps"
) -> dict[str, str]:
    """The config vars to start with: what was given wins over app.json, and secrets are generated once.

    `whose` says where the pipeline keeps them, for what is missing.
    """
    env = dict(given)
    missing: list[str] = []
    for name, wanted in manifest.env.items():
        if name in env:
            continue
        if wanted.value is not None:
            env[name] = wanted.value
        elif wanted.generate:
            env[name] = generate()
        elif wanted.required:
            missing.append(f'config var "{name}" is required: set it for the {whose} of the pipeline')
    _refuse("app.json", missing)
    return env


def _load(text: str) -> dict[str, Any]:
    _check_size("app.json", text)
    try:
        document = json.loads(text.removeprefix("\ufeff"), parse_constant=_no_constant)
    except RecursionError:
        raise Refused(f"app.json: nested deeper than {DEEPEST} levels", code="invalid_manifest") from None
    except ValueError as error:
        raise Refused(f"app.json is not JSON: {error}", code="invalid_manifest") from None
    if not isinstance(document, dict):
        raise Refused("app.json: expected an object, { ... }", code="invalid_manifest")
    _check_shape(document)
    _check_text(document)
    return document


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _check_size(file: str, text: str) -> None:
    if len(text) > LARGEST:
        raise Refused(f"{file}: larger than {LARGEST // 1024} KiB", code="invalid_manifest")


def _check_shape(document: dict[str, Any]) -> None:
    """Count without recursion: the document decides how deep it is."""
    keys = 0
    level: list[Any] = [document]
    for _ in range(DEEPEST):
        keys += sum(len(each) for each in level if isinstance(each, dict | list))
        level = [child for each in level for child in _children(each)]
        if keys > MOST_KEYS:
            raise Refused(f"app.json: more than {MOST_KEYS} entries", code="invalid_manifest")
    if level:
        raise Refused(f"app.json: nested deeper than {DEEPEST} levels", code="invalid_manifest")


def _check_text(document: dict[str, Any]) -> None:
    """Refuse half a character, which JSON can hold as an escape: it can be neither stored nor shown."""
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Refused("app.json: holds half a character (\\ud800 to \\udfff)", code="invalid_manifest") from None


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _refuse(file: str, errors: list[str]) -> None:
    if errors:
        raise Refused("\n".join(f"{file}: {error}" for error in errors), code="invalid_manifest")


def _fields(document: Mapping[str, Any], at: str, errors: list[str]) -> dict[str, Any]:
    """Only what is present, so that it can be laid over something."""
    readers: dict[str, Callable[[Mapping[str, Any], str, list[str]], Any]] = {
        "name": _name,
        "env": _env,
        "formation": _formation,
        "scripts": _scripts,
        "buildpacks": _buildpacks,
        "addons": _addons,
        "stack": _stack,
    }
    return {key: read(document, at, errors) for key, read in readers.items() if document.get(key) is not None}


def _name(document: Mapping[str, Any], at: str, errors: list[str]) -> str:
    return _line(document["name"], f"{at}name", errors)


def _stack(document: Mapping[str, Any], at: str, errors: list[str]) -> str:
    return _line(document["stack"], f"{at}stack", errors)


def _env(document: Mapping[str, Any], at: str, errors: list[str]) -> dict[str, EnvVar]:
    env: dict[str, EnvVar] = {}
    for name, value in _object(document, "env", at, errors).items():
        where = f"{at}env.{_shown(name)}"
        if not _VARIABLE.fullmatch(name):
            errors.append(f"{where}: a config var's name has letters, digits and _ only")
        elif isinstance(value, dict):
            env[name] = _described_var(value, where, errors)
        else:
            env[name] = EnvVar(value=_text(value, where, errors))
    return env


def _described_var(value: dict[str, Any], where: str, errors: list[str]) -> EnvVar:
    generator = value.get("generator")
    if generator not in {None, "secret"} if isinstance(generator, str | None) else True:
        errors.append(f'{where}.generator: only "secret" is known')
    required = value.get("required", True)
    if not isinstance(required, bool):
        errors.append(f"{where}.required: expected true or false")
    given = value.get("value")
    return EnvVar(
        value=None if given is None else _text(given, f"{where}.value", errors),
        required=required is not False,
        generate=generator == "secret",
        description=_text(value.get("description") or "", f"{where}.description", errors),
    )


def _formation(document: Mapping[str, Any], at: str, errors: list[str]) -> dict[str, int]:
    formation: dict[str, int] = {}
    for name, value in _object(document, "formation", at, errors).items():
        where = f"{at}formation.{_shown(name)}"
        quantity = value.get("quantity", 1) if isinstance(value, dict) else None
        if not _PROCESS_TYPE.fullmatch(name):
            errors.append(f"{where}: a process type has letters, digits, - and _ only")
        elif not isinstance(quantity, int) or isinstance(quantity, bool) or not 0 <= quantity <= 100:
            errors.append(f'{where}: expected {{"quantity": N}} with N from 0 to 100')
        else:
            formation[name] = quantity
    return formation


def _scripts(document: Mapping[str, Any], at: str, errors: list[str]) -> dict[str, str]:
    scripts: dict[str, str] = {}
    for name, value in _object(document, "scripts", at, errors).items():
        if name in _SCRIPTS:
            command = value.get("command") if isinstance(value, dict) else value
            scripts[name] = _text(command, f"{at}scripts.{name}", errors)
    return scripts


def _buildpacks(document: Mapping[str, Any], at: str, errors: list[str]) -> tuple[str, ...]:
    return tuple(
        _line(value.get("url") if isinstance(value, dict) else value, f"{at}buildpacks[{index}].url", errors)
        for index, value in enumerate(_array(document, "buildpacks", at, errors))
    )


def _addons(document: Mapping[str, Any], at: str, errors: list[str]) -> tuple[Addon, ...]:
    return tuple(
        _addon(value if isinstance(value, dict) else {"plan": value}, f"{at}addons[{index}]", errors)
        for index, value in enumerate(_array(document, "addons", at, errors))
    )


def _addon(value: dict[str, Any], where: str, errors: list[str]) -> Addon:
    options = _object(value, "options", f"{where}.", errors)
    return Addon(
        plan=_line(value.get("plan"), f"{where}.plan", errors),
        name=_line(value.get("as") or "", f"{where}.as", errors),
        options={
            _shown(key): "true" if option is True else _text(option, f"{where}.options.{_shown(key)}", errors)
            for key, option in options.items()
        },
    )


def _object(document: Mapping[str, Any], key: str, at: str, errors: list[str]) -> dict[str, Any]:
    value = document.get(key)
    if value is None:
        return {}
    if isinstance(value, dict):
        return value
    errors.append(f"{at}{key}: expected an object, {{ ... }}")
    return {}


def _array(document: Mapping[str, Any], key: str, at: str, errors: list[str]) -> list[Any]:
    value = document[key]
    if isinstance(value, list):
        return value
    errors.append(f"{at}{key}: expected a list, [ ... ]")
    return []


def _text(value: Any, where: str, errors: list[str]) -> str:
    if isinstance(value, str) and "\x00" not in value:
        return value
    errors.append(f"{where}: expected text")
    return ""


def _line(value: Any, where: str, errors: list[str]) -> str:
    """Text that is shown or compared: control characters could hide or color what a log or page says."""
    text = _text(value, where, errors)
    if _CONTROL.search(text) or "\n" in text:
        errors.append(f"{where}: control characters are not allowed")
    return text


def _shown(name: str) -> str:
    return _CONTROL.sub("?", name)[:80]
