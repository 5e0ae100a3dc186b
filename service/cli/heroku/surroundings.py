"""What the child finds around it: a home of its own that is thrown away, and an environment that leads to the front."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from service.cli.heroku.front import Front
from service.cli.profile import Profile

_KEPT: Final = frozenset({"HEROKU_APP", "HEROKU_DEBUG", "HEROKU_DEBUG_HEADERS"})
"""Of what is set for Heroku's command line; the rest is about Heroku, like a token that is good there."""
_DROPPED: Final = frozenset(
    {
        *("ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_TLS_REJECT_UNAUTHORIZED", "NETRC"),
        *("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"),
    }
)
_TERMS: Final = ".cache/heroku/terms-of-service"
"""Without it the child begins with a warning about the terms of a service that is not used."""


def furnish(home: Path, *, profile: Profile, front: Front) -> None:
    """Put into the child's home what it looks for there."""
    (home / "ca.pem").write_bytes(front.authority.pem)
    (home / _TERMS).parent.mkdir(parents=True)
    (home / _TERMS).touch()
    (home / "gitconfig").write_text(_git(profile, front), encoding="utf-8")


def _git(profile: Profile, front: Front) -> str:
    """What git is told: who knows the token, and the way to a server without TLS.

    The child knows our remotes by https only, and looks for the whole address in what git says of them; so an address
    that leads to the front has the server's in it. Remotes that `towpath` made of such a server are meant, too.
    """
    here = f"https://{profile.host}/"
    lines = [f'[credential "https://{profile.host}"]', "\thelper = !heroku git:credentials"]
    if is_without_tls(profile):
        lines += [
            f'[url "{front.url}/{here}"]',
            f"\tinsteadOf = {here}",
            f"\tinsteadOf = http://{profile.host}/",
            # With a slash, for the child writes a line of its own for the host that it is told of here.
            f'[credential "{front.url}/"]',
            f"\thelper = !HEROKU_GIT_HOST={front.url.removeprefix('https://')} heroku git:credentials",
        ]
    return "\n".join(lines) + "\n"


def is_without_tls(profile: Profile) -> bool:
    """Whether git, which the child sends to https only, has to go by way of the front."""
    return profile.url.startswith("http://")


def surroundings(environ: Mapping[str, str], *, profile: Profile, front: Front, home: Path) -> dict[str, str]:
    """The child's whole environment: the user's, without what would lead it elsewhere."""
    proxies = {each: front.proxy for name in ("HTTPS_PROXY", "HTTP_PROXY") for each in (name, name.lower())}
    direct = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
    return {
        **{name: value for name, value in environ.items() if _is_kept(name)},
        **proxies,
        **direct,
        "HOME": str(home),
        "GIT_CONFIG_GLOBAL": str(home / "gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
        **({"GIT_SSL_CAINFO": str(home / "ca.pem")} if is_without_tls(profile) else {}),
        "NODE_EXTRA_CA_CERTS": str(home / "ca.pem"),
        "HEROKU_HOST": front.url,
        "HEROKU_API_KEY": profile.token,
        "HEROKU_PARTICLEBOARD_URL": front.url,
        "HEROKU_CI_WEBSOCKET_URL": f"{front.url.replace('https', 'wss', 1)}/socket",
        "HEROKU_LOGIN_HOST": front.url,
        "HEROKU_GIT_HOST": profile.host,
        "HEROKU_NETRC_WRITE": "true",
        "HEROKU_SKIP_ANALYTICS": "1",
        "HEROKU_SKIP_NEW_VERSION_CHECK": "true",
        "HEROKU_DISABLE_AUTOUPDATE": "1",
        "DISABLE_TELEMETRY": "true",
    }


def _is_kept(name: str) -> bool:
    upper = name.upper()
    of_heroku = upper.startswith("HEROKU_") and name not in _KEPT
    return not (of_heroku or upper in _DROPPED or upper.endswith("_PROXY") or upper.startswith("GIT_CONFIG"))
