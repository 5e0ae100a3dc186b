"""What every attack is made of. Standard library only: all of this package becomes the code of an app.

An attack returns what it got hold of, or raises what stopped it; the table says by which wall it must be stopped.
Those marked `outside` work without a sandbox, which shows that it is the sandbox that stops them.
"""

import errno
import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass

CANARY = "canary-5d0c41e7b93a"
TOKEN = "the listener of the host answers"


@dataclass(frozen=True)
class Attack:
    """What is tried, and what may stop it: names of errors, or words of ours."""

    name: str
    walls: frozenset[str]
    act: Callable[[dict], object]
    outside: bool


ATTACKS: dict[str, Attack] = {}


class Stopped(Exception):
    """The attack got nothing, for a reason that is no error of a call."""


def attack(name: str, *walls: str, outside: bool = False):
    def keep(act):
        ATTACKS[name] = Attack(name, frozenset(walls), act, outside)
        return act

    return keep


def nothing(found: object) -> object:
    """Raise when there is nothing."""
    if not found:
        raise Stopped("nothing is there")
    return found


def holding(text: bytes, where: str) -> list[str]:
    return [where] if CANARY.encode() in text else []


def tried(one: Attack, targets: dict) -> dict[str, object]:
    """Each in a process of its own: some end it, and what one gained the next shall not have."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        signal.alarm(60)
        try:
            told = {"got": repr(one.act(targets))[:300]}
        except OSError as error:
            told = {"wall": errno.errorcode.get(error.errno, str(error.errno)), "text": str(error)}
        except Stopped as error:
            told = {"wall": str(error)}
        except BaseException as error:  # noqa: BLE001
            told = {"wall": f"a bug: {error!r}"}
        os.write(writer, json.dumps(told).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        text = file.read()
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return json.loads(text) if text else {"wall": signal.Signals(-ended).name if ended < 0 else f"exit {ended}"}
