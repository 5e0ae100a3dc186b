"""What the server lends to every build: the uv program, certificates, and where packages come from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import uv

from workers.builds.runtimes import MOUNT
from workers.platforms.base import Bind

UV = "/opt/towpath/bin/uv"
CERTIFICATES = "/opt/towpath/ca.pem"

_BUNDLES = (
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/etc/pki/tls/certs/ca-bundle.crt"),
    Path("/etc/ssl/ca-bundle.pem"),
    Path("/etc/ssl/cert.pem"),
)
_CERTIFICATE_VARIABLES = (
    *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO"),
    "npm_config_cafile",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Host paths bound into the sandbox, and `indexes`: the index settings of uv, pip and npm as variables."""

    runtimes: Path
    uv: Path
    certificates: Path | None = None
    indexes: Mapping[str, str] = field(default_factory=dict, repr=False)

    def binds(self) -> tuple[Bind, ...]:
        """Where the tools are seen, all of it read-only."""
        binds = [Bind(host=self.runtimes, inside=MOUNT), Bind(host=self.uv, inside=UV)]
        if self.certificates is not None:
            binds.append(Bind(host=self.certificates, inside=CERTIFICATES))
        return tuple(binds)

    def environment(self) -> dict[str, str]:
        """Return the variables that point to them."""
        trusted = dict.fromkeys(_CERTIFICATE_VARIABLES, CERTIFICATES) if self.certificates is not None else {}
        return {**trusted, **self.indexes}


def find_tools(runtimes: Path, *, indexes: Mapping[str, str] | None = None) -> Tools:
    """Return the tools of this installation; `indexes` replaces the public PyPI and npm."""
    certificates = next((path for path in _BUNDLES if path.is_file()), None)
    return Tools(
        runtimes=runtimes,
        uv=Path(uv.find_uv_bin()),
        certificates=certificates,
        indexes=dict(indexes or {}),
    )
