"""Which config vars a build may see: none, unless they are named."""

from collections.abc import Iterable, Mapping
from typing import Final

from service.domain.errors import Refused

NEVER: Final = frozenset({"PATH", "HOME", "STACK", "SOURCE_VERSION", "GIT_DIR", "LD_PRELOAD", "LD_LIBRARY_PATH"})
"""Each would let a variable replace what the build itself runs."""

MOST: Final = 100


def check(names: Iterable[str]) -> tuple[str, ...]:
    """The names in order and each once; refuses those that no build is shown."""
    wanted = tuple(sorted(set(names)))
    never = sorted(NEVER.intersection(wanted))
    if never:
        raise Refused(f"names: {', '.join(never)} cannot be given to builds: the build itself depends on it")
    if len(wanted) > MOST:
        raise Refused(f"names: {len(wanted)} config vars are named; at most {MOST} can be given to builds")
    return wanted


def seen(names: Iterable[str], config: Mapping[str, str]) -> dict[str, str]:
    """What of an app's config a build sees; a name without a value is nothing to it."""
    return {name: config[name] for name in names if name in config}
