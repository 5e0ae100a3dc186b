"""Runs a program behind a front of its own, with our terminal, signals and exit code."""

import asyncio
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from service.cli.errors import ExitCode, Stop
from service.cli.heroku.front import Front, fronting
from service.cli.heroku.surroundings import furnish, surroundings
from service.cli.output import note
from service.cli.profile import Profile

_OF_THE_TERMINAL: Final = (signal.SIGINT, signal.SIGQUIT)
_PASSED_ON: Final = (signal.SIGTERM, signal.SIGHUP)


async def run(argv: Sequence[str], *, profile: Profile, environ: Mapping[str, str]) -> int:
    """Run it to its end; returns its exit code."""
    with TemporaryDirectory(prefix="towpath-heroku-", ignore_cleanup_errors=True) as place:
        home = Path(place)
        async with fronting(profile, place=home) as front:
            furnish(home, profile=profile, front=front)
            code = await _attended(argv, surroundings(environ, profile=profile, front=front, home=home))
    _tell(front)
    return code


async def _attended(argv: Sequence[str], env: Mapping[str, str]) -> int:
    loop, children = asyncio.get_running_loop(), list[asyncio.subprocess.Process]()

    def pass_on(number: signal.Signals) -> None:
        for child in children:
            child.send_signal(number)

    for number in _OF_THE_TERMINAL:
        loop.add_signal_handler(number, lambda: None)  # the terminal sends it to the child as well, who decides
    for number in _PASSED_ON:
        loop.add_signal_handler(number, pass_on, number)
    try:
        child = await asyncio.create_subprocess_exec(*argv, env=dict(env))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise Stop(f"{argv[0]} cannot be started ({reason}).", code=ExitCode.USAGE) from None
    children.append(child)
    code = await child.wait()
    children.clear()
    return code if code >= 0 else 128 - code


def _tell(front: Front) -> None:
    for text in front.hosts.notes:
        note(f" ▸    {text}")
    if front.refused:
        hosts = ", ".join(sorted(set(front.refused)))
        note(f" ▸    Refused: {hosts}. What runs here is led to Towpath only.")
