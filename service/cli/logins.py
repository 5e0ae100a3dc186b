"""The file of login profiles: servers with what lets us in, for its owner's eyes only."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.cli.errors import Stop

Logins = Mapping[str, "Login"]
"""By the name of the profile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A server, a token for it and whose it is. `plain` is whether its owner accepted an unencrypted way to it."""

    url: str
    token: str = field(repr=False)
    email: str
    plain: bool = False


def read(path: Path) -> Logins:
    """The profiles; none when there is no file. Stops when it is not ours alone or holds something else."""
    try:
        with path.open(encoding="utf-8") as file:
            _check_owner(path, os.fstat(file.fileno()))
            found = json.load(file)
        return {str(name): _login(it) for name, it in found["profiles"].items()}
    except FileNotFoundError:
        return {}
    except PermissionError:
        raise somebody_elses(path) from None
    except OSError as error:
        raise Stop(f"{path} cannot be read ({error.strerror or type(error).__name__}).") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Stop(f"{path} holds no profiles: mend it, or remove it and log in again (towpath login URL).") from None


def somebody_elses(path: Path) -> Stop:
    """Why a file that says how to get in is not used, and what to do."""
    return Stop(f"{path} belongs to another user: run as that user, or set TOWPATH_URL and TOWPATH_TOKEN.")


def _check_owner(path: Path, found: os.stat_result) -> None:
    """Refuse a file that others could have written or can read: what is in it lets them in as us."""
    if os.name != "posix":
        return
    if found.st_uid != os.geteuid():
        raise somebody_elses(path)
    if found.st_mode & 0o077:
        raise Stop(
            f"{path} is open to others, and tokens are in it: chmod 600 {path}. If somebody may have read it, put "
            "others in their place: towpath authorizations:rotate ID."
        )


def _login(it: Any) -> Login:
    url, token, email, plain = it["url"], it["token"], it["email"], it.get("plain", False)
    if not (isinstance(url, str) and isinstance(token, str) and isinstance(email, str) and isinstance(plain, bool)):
        raise TypeError
    return Login(url=url, token=token, email=email, plain=plain)


def write(path: Path, logins: Logins) -> None:
    """Put other profiles in the place of those there are: whole or not at all, readable by their owner alone."""
    from tempfile import mkstemp  # only who logs in needs it

    shown = {
        name: {"url": it.url, "token": it.token, "email": it.email, "plain": it.plain}
        for name, it in sorted(logins.items())
    }
    # Where it is a link, as in a directory of such files, what it leads to is meant.
    place = path.resolve()
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, fresh = mkstemp(dir=place.parent, prefix=f".{place.name}.")  # with mode 600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump({"profiles": shown}, file, indent=2)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            Path(fresh).replace(place)
        except BaseException:
            Path(fresh).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Stop(f"{path} cannot be written ({error.strerror or type(error).__name__}).") from None
