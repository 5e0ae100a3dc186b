"""How git is called: no settings or hooks of the machine, no prompts, literal paths, tokens in the environment."""

import base64
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from service.domain.errors import Refused
from workers.builds.processes import Finished, run

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Git:
    """The git program with the only environment it ever gets.

    `network` holds what reaching the network needs (`GIT_SSL_CAINFO`, `https_proxy`); `protocols` replaces the rule
    "https, and http on loopback" where repositories are reached otherwise.
    """

    network: Mapping[str, str] = field(default_factory=dict, repr=False)
    protocols: tuple[str, ...] = ()

    async def __call__(
        self,
        *args: str | Path,
        at: Path,
        url: str = "",
        token: str = "",
        pinned: str = "",
        seconds: float = 60.0,
        stdin: bytes | IO[bytes] | None = None,
        stdout: IO[bytes] | None = None,
    ) -> Finished:
        """Run `git ARGS` on the repository at `at`; `url` and `token` say what may be reached and as whom.

        `pinned` is what `addresses.pinned` says of the URL: then nothing else is reached, wherever the server sends us.
        """
        env = self.environment(url=url, token=token, pinned=pinned)
        return await run(("git", "-C", at, *args), env=env, seconds=seconds, stdin=stdin, stdout=stdout)

    def environment(self, *, url: str, token: str, pinned: str = "") -> dict[str, str]:
        """Everything git sees; a token is bound to the host of `url` and never part of argv or a file."""
        config = {
            "core.hooksPath": "/dev/null",
            "gc.autoDetach": "false",
            "credential.helper": "",
            # git asks where a redirect led with the header that was for the host before.
            "http.followRedirects": "false",
        }
        if token:
            config[f"http.{_origin(url)}/.extraHeader"] = f"Authorization: basic {_basic(token)}"
        if pinned:
            config["http.curloptResolve"] = pinned
        numbered = {"GIT_CONFIG_COUNT": str(len(config))}
        for number, (key, value) in enumerate(config.items()):
            numbered |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        return {
            **self.network,
            **numbered,
            "PATH": _path(),
            "HOME": "/nonexistent",
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_ALLOW_PROTOCOL": ":".join(self.protocols or _allowed(url)),
        }


def _path() -> str:
    found = shutil.which("git")
    if found is None:
        raise Refused("git is not installed on this machine; install it (apt install git)")
    return os.pathsep.join(dict.fromkeys((str(Path(found).parent), "/usr/bin", "/bin")))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _allowed(url: str) -> tuple[str, ...]:
    return ("https", "http") if urlsplit(url).hostname in _LOOPBACK else ("https",)


def _basic(token: str) -> str:
    # GitHub takes an installation token as the password of this fixed user.
    return base64.b64encode(f"x-access-token:{token}".encode()).decode()
