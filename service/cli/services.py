"""Whom the services run as when `up` is started as root: a uid each, without any capability.

Each sees of the data directory only what it works on, so none can read what another is for: the router no keys, Redis
no database, and only those that call GitHub its private key. The runner alone stays root.
"""

import os
import subprocess
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import service
from service.settings import Settings

_FIRST, _PER_INSTALLATION, _INSTALLATIONS = 690_000, 16, 128
_NAMES = ("redis", "worker", "web", "router")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO")
_SECRET_VARIABLES = {
    "TOWPATH_GITHUB_TOKEN": frozenset({"worker", "web"}),
    "TOWPATH_GITHUB_WEBHOOK_SECRET": frozenset({"web"}),
    "TOWPATH_DATABASE_URL": frozenset({"worker", "web", "router"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a service needs of the host's private files."""

    keep: tuple[Path, ...] = ()
    lend: tuple[Path, ...] = ()


def uids(settings: Settings) -> dict[str, int]:
    """The services' uids; two installations on one machine rarely share them."""
    block = zlib.crc32(str(settings.data).encode()) % _INSTALLATIONS
    return {name: _FIRST + block * _PER_INSTALLATION + number for number, name in enumerate(_NAMES)}


def make_directories(settings: Settings) -> None:
    """Make what the services keep things in: as themselves they could not."""
    kept = (settings.redis_dir, settings.database_dir, settings.work_dir, settings.sources_dir, settings.pushes_dir)
    for path in (settings.services_dir, *kept):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)


def confined(name: str, argv: tuple[str, ...], settings: Settings, env: Mapping[str, str]) -> tuple[str, ...]:
    """The command line that starts a service as its own user."""
    access = _access(settings)[name]
    keep = (settings.services_dir, *access.keep)
    lend = (*_program(), *access.lend, *(Path(env[each]) for each in _CERTIFICATES if env.get(each)))
    redis = Path(settings.redis.removeprefix("unix://")).parent if settings.redis.startswith("unix://") else None
    show = (settings.run_dir, *([redis] if redis and redis != settings.services_dir else []))
    options = [*_options("--hide", settings.data), *_options("--show", *show)]
    options += [*_options("--keep", *keep), *_options("--lend", *lend)]
    uid = uids(settings)[name]
    return (sys.executable, "-m", "workers.confined", "--uid", str(uid), *options, "--", *argv)


def why_not(settings: Settings, env: Mapping[str, str]) -> str:
    """Why no service can be started as its own user, found out by starting something; empty when that works."""
    if os.geteuid() != 0:
        return "towpath was not started as root"
    argv = confined("worker", ("/bin/true",), settings, env)
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=dict(env))
    return done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}" if done.returncode else ""


def environment(name: str, env: Mapping[str, str]) -> dict[str, str]:
    """The environment of a part without secrets that are not for it."""
    return {key: value for key, value in env.items() if name in _SECRET_VARIABLES.get(key, (name,))}


def _access(settings: Settings) -> dict[str, Access]:
    database = _database_directory(settings)
    key = settings.github_private_key_file
    keys = (settings.keys_file, *([key] if key else []))
    sent = (settings.sources_dir, settings.pushes_dir)
    return {
        "redis": Access(keep=(settings.redis_dir,)),
        "router": Access(keep=database),
        "web": Access(keep=(*database, *sent), lend=keys),
        "worker": Access(keep=(*database, settings.work_dir, *sent), lend=keys),
    }


def _database_directory(settings: Settings) -> tuple[Path, ...]:
    scheme, _, path = settings.sqlalchemy_url.partition(":///")
    return (Path(path.partition("?")[0]).absolute().parent,) if scheme == "sqlite" else ()


def _program() -> list[Path]:
    """Where our code and interpreter are, unless everybody can read them anyway."""
    places = {Path(sys.prefix), Path(sys.base_prefix), Path(service.__file__).parents[1]}
    outside = [path for path in places if not path.is_relative_to("/usr")]
    return [path for path in outside if not any(path != other and path.is_relative_to(other) for other in outside)]


def _options(name: str, *paths: Path) -> list[str]:
    return [word for path in paths for word in (name, os.fspath(path))]
