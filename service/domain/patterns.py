"""Patterns for branches and files in a pipeline's settings.

`*` stands for anything within one part between slashes, `?` for one character of it, `**` as a whole part for any
number of parts. A pattern that begins with `!` takes out again what those before it named; the last that fits counts.
Matching takes time by the length of pattern and text, whatever either holds: file names are written by strangers.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

LONGEST: Final = 255
_OUT: Final = "!"
_ANY_PARTS: Final = "**"
Part = TypeVar("Part")


def check_pattern(text: str) -> str:
    """The pattern without what does not count in it; raises `ValueError` with what is wrong."""
    out = _OUT if text.startswith(_OUT) else ""
    pattern = text.removeprefix(_OUT).strip().removeprefix("./").strip("/")
    if not pattern or len(text) > LONGEST:
        raise ValueError(f"expected patterns of 1 to {LONGEST} characters")
    for part in pattern.split("/"):
        if part in {"", ".", ".."}:
            raise ValueError(f"{text}: a pattern has no empty part, no . and no ..")
        if _ANY_PARTS in part and part != _ANY_PARTS:
            raise ValueError(f"{text}: ** stands alone between slashes, as in api/**")
    return out + pattern


def names_branch(patterns: Sequence[str], branch: str) -> bool:
    """Whether the patterns name a branch."""
    return _named(patterns, lambda pattern: _parts_fit(pattern, branch))


def names_file(patterns: Sequence[str], file: str) -> bool:
    """Whether the patterns name a file; who names a directory means all that is in it."""
    return _named(patterns, lambda pattern: _parts_fit(pattern, file) or _parts_fit(f"{pattern}/{_ANY_PARTS}", file))


def names_any_file(patterns: Sequence[str], files: Iterable[str]) -> bool:
    """Whether the patterns name one of the files."""
    return any(names_file(patterns, file) for file in files)


def _named(patterns: Sequence[str], fits: Callable[[str], bool]) -> bool:
    """Where the first takes out, everything was in before."""
    named = bool(patterns) and patterns[0].startswith(_OUT)
    for pattern in patterns:
        if fits(pattern.removeprefix(_OUT)):
            named = not pattern.startswith(_OUT)
    return named


def _parts_fit(pattern: str, text: str) -> bool:
    return _fits(pattern.split("/"), text.split("/"), many=_ANY_PARTS, one=_part_fits)


def _part_fits(pattern: str, text: str) -> bool:
    return _fits(pattern, text, many="*", one=lambda wanted, given: wanted in {"?", given})


def _fits(pattern: Sequence[Part], text: Sequence[Part], *, many: Part, one: Callable[[Part, Part], bool]) -> bool:
    """Match greedily; when it goes wrong only the last `many` takes in one more: an earlier one could do no better."""
    at = seen = taken = 0
    last: int | None = None
    while seen < len(text):
        if at < len(pattern) and pattern[at] == many:
            last, taken = at, seen
            at += 1
        elif at < len(pattern) and one(pattern[at], text[seen]):
            at, seen = at + 1, seen + 1
        elif last is not None:
            at, taken = last + 1, taken + 1
            seen = taken
        else:
            return False
    return all(each == many for each in pattern[at:])
