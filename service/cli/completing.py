"""What may come next on a command line that is being typed: commands, options, and names that the server knows."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from service.cli import logins, profile, target
from service.cli.asking import STAGES
from service.cli.client import Client
from service.cli.errors import Stop
from service.cli.profile import LOCAL

_SECONDS: Final = 1.0
"""How long the server may take to say names: somebody waits with a finger on the key."""
_MOST: Final = 1000
_PROGRAM: Final = "towpath"
_WORD = re.compile(r"""(?:[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"?|'[^']*'?)+""")
_CHOICES = re.compile(r"[a-z]+(?:\|[a-z]+)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A word that may come next, and what it does."""

    word: str
    about: str = ""


def candidates(group: Any, context: Any, line: str) -> list[Candidate]:
    """What the last word of a line, which begins with the program's name, may become."""
    words = [_plain(word) for word in _WORD.findall(line)]
    typed = words.pop() if words and not line[-1:].isspace() else ""
    # Before the program may stand what is set for it alone; and it may be called by another name.
    ours = next((number for number, word in enumerate(words) if word.rpartition("/")[2] == _PROGRAM), 0)
    found = _after(group, context, words[ours + 1 :], typed)
    return sorted({it.word: it for it in found if it.word.startswith(typed)}.values(), key=lambda it: it.word)


def _plain(word: str) -> str:
    """A word as the shell will hand it over: without quotes and backslashes."""
    return re.sub(r"""\\(.)|["']""", lambda match: match[1] or "", word)


def _after(group: Any, context: Any, before: Sequence[str], typed: str) -> Iterator[Candidate]:
    """Everything that may stand after some words; more than begins as was typed may come."""
    before, command = list(before), None
    options = _options(group)
    while before and command is None:
        word = before.pop(0)
        if not word.startswith("-"):
            command = group.get_command(context, word)
            if command is None:
                return
            if word == "help":
                yield from _commands(group)
                return
        elif _takes_value(options.get(word)):
            if not before:
                yield from _named(options[word].metavar)
                return
            before.pop(0)
    if command is None:
        yield from _of_options(options) if typed.startswith("-") else _commands(group)
    else:
        yield from _of_command(command, before, typed)


def _of_command(command: Any, before: list[str], typed: str) -> Iterator[Candidate]:
    """What may stand after a command and some words of its own."""
    options, given = _options(command), []
    while before:
        word = before.pop(0)
        if word == "--" or not word.startswith("-"):
            given.append(word)
        elif _takes_value(options.get(word)):
            if not before:
                yield from _values(options[word], typed)
                return
            before.pop(0)
    option, equals, value = typed.partition("=")
    if equals and _takes_value(options.get(option)):
        for it in _values(options[option], value):
            yield Candidate(word=f"{option}={it.word}", about=it.about)
    elif typed.startswith("-"):
        yield from _of_options(options)
    else:
        yield from _argument(command, len(given))


def _argument(command: Any, number: int) -> Iterator[Candidate]:
    """What may stand in the place of one of a command's arguments; the last may be one that takes many words."""
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    if number < len(arguments):
        yield from _named(arguments[number].metavar)
    elif arguments and arguments[-1].nargs == -1:
        yield from _named(arguments[-1].metavar)


def _commands(group: Any) -> Iterator[Candidate]:
    for name in group.index:
        yield Candidate(word=name, about=group.index.about(name).rstrip("."))


def _options(command: Any) -> Mapping[str, Any]:
    """A command's options by each of the ways to write them."""
    return {
        name: each
        for each in command.params
        if each.param_type_name == "option" and not each.hidden
        for name in (*each.opts, *each.secondary_opts)
    }


def _of_options(options: Mapping[str, Any]) -> Iterator[Candidate]:
    for name, option in options.items():
        if name.startswith("--"):
            yield Candidate(word=name, about=(option.help or "").partition(". ")[0].rstrip("."))
    yield Candidate(word="--help", about="Show help for it")


def _takes_value(option: Any) -> bool:
    return option is not None and not option.is_flag


def _values(option: Any, typed: str) -> Iterator[Candidate]:
    """What an option may be; of several, set apart by commas, the last is the one that is being typed."""
    former, comma, _ = typed.rpartition(",")
    several = (option.metavar or "").endswith("APP,APP")
    for it in _named(option.metavar):
        yield Candidate(word=f"{former}{comma}{it.word}" if several else it.word, about=it.about)


def _named(metavar: str | None) -> Iterator[Candidate]:
    """The words that something of that kind can be."""
    kind = (metavar or "").partition(",")[0]
    if _CHOICES.fullmatch(kind):
        yield from (Candidate(word=each) for each in kind.split("|"))
    elif look := _KINDS.get(kind):
        try:
            yield from (Candidate(word=each) for each in look())
        except Stop:  # nobody is logged in, or the server is away: then there is nothing to offer
            return


def _from_server(where: str, key: str = "name") -> Callable[[], list[str]]:
    def look() -> list[str]:
        client = Client(profile=profile.load(quiet=True), seconds=_SECONDS)
        found = client.call("GET", where, headers={"Range": f"{key} ..; max={_MOST}"}).data
        return [str(each[key]) for each in found]

    return look


def _profiles() -> list[str]:
    return [*logins.read(profile.logins_file()), LOCAL]


def _remotes() -> list[str]:
    return list(target.remotes(profile.load(quiet=True)))


_KINDS: Final[Mapping[str, Callable[[], Sequence[str]]]] = {
    "APP": _from_server("/apps"),
    "PIPELINE": _from_server("/pipelines"),
    "TEAM": _from_server("/teams"),
    "SPACE": _from_server("/spaces"),
    "PROFILE": _profiles,
    "REMOTE": _remotes,
    "STAGE": lambda: STAGES,
}
