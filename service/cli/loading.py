"""Commands as they are needed: a module of them is imported when one of its own is, for that takes longer than to run.

Whoever only lists them finds in the index what each does.
"""

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Any, Final

import typer
from typer.main import get_command_from_info

from service.cli import profile
from service.cli.index import MODULES
from service.cli.options import ProfileOption

_MODULE_OF: Final = {name: module for module, commands in MODULES.items() for name in commands}
_ASK_NO_SERVER: Final = frozenset({"commands.completion", "servers"})


class Commands(Mapping[str, Any]):
    """All commands by name: those of the index, imported when they are looked up, and others that there are already."""

    def __init__(self, others: Mapping[str, Any]) -> None:
        self._names = dict.fromkeys([*_MODULE_OF, *others])
        self._known = dict(others)

    def about(self, name: str) -> str:
        """What a command does, in a line."""
        module = _MODULE_OF.get(name)
        return MODULES[module][name] if module is not None else str(self._known[name].get_short_help_str(90))

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __getitem__(self, name: str) -> Any:
        if name not in self._known:
            self._known |= _commands_of(_MODULE_OF[name])
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _commands_of(module: str) -> dict[str, Any]:
    part, cli = importlib.import_module(f"service.cli.{module}"), typer.Typer()
    part.register(cli)
    made = {}
    for info in cli.registered_commands:
        assert info.callback is not None
        if module not in _ASK_NO_SERVER:
            info.callback = _with_profile(info.callback)
        command = get_command_from_info(info, pretty_exceptions_short=True, rich_markup_mode=None)
        made[str(command.name)] = command
    return made


def _with_profile(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command take `--profile` too: who says it rarely does so before the command."""

    @wraps(command)
    def run(*args: Any, profile_name: str | None = None, **kwargs: Any) -> Any:
        if profile_name is not None:
            profile.choose(profile_name)
        return command(*args, **kwargs)

    known = inspect.signature(command)
    more = inspect.Parameter("profile_name", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=ProfileOption)
    vars(run)["__signature__"] = known.replace(parameters=[*known.parameters.values(), more])
    run.__annotations__ = {**command.__annotations__, "profile_name": ProfileOption}
    return run
