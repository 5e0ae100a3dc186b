"""Logs never hold a secret, wherever in a line it stands and whoever writes it."""

import subprocess
import sys
from pathlib import Path

import pytest

GITHUB = "ghs_4711_" + "abcdefgh.ijkl-mnop" * 3
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiI0NzExIn0.c2lnbmF0dXJlLW9mLWl0"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nsecret-of-the-key\n-----END RSA PRIVATE KEY-----"

SECRETS = {
    "an installation token": (GITHUB, "4711_abc"),
    "a personal token": ("github_pat_" + "A1b2" * 10, "A1b2A1b2"),
    "one of our own tokens": ("towpath-" + "x7Yz_-" * 7, "x7Yz"),
    "a JWT": (JWT, "c2lnbmF0dXJl"),
    "a private key": (PEM, "secret-of-the-key"),
    "a password in an address": ("https://x-access-token:hunter22@github.com/a/b.git", "hunter22"),
    "a password without a user": ("redis://:hunter22@localhost:6379/0", "hunter22"),
}
PLACES = {
    "a field": "log.info('x', field=secret)",
    "the event": "log.info('x ' + secret)",
    "a list within": "log.info('x', args=('a', [secret]))",
    "a mapping within": "log.info('x', data={'a': {secret: secret}})",
    "bytes": "log.info('x', body=secret.encode())",
    "an exception as it is": "log.info('x', error=ValueError(secret))",
    "a traceback": "\ntry:\n    raise ValueError(secret)\nexcept ValueError:\n    log.exception('x')",
    "a library's line": "logging.getLogger('aiohttp.server').error('x %s', secret)",
    "a library's traceback": "\ntry:\n    raise ValueError(secret)\nexcept ValueError:\n    logging.exception('x')",
}
START = "import logging, structlog, sys; from service.log import configure; configure(sys.argv[1]); "
START += "log = structlog.get_logger(); secret = sys.stdin.read(); "


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_secret_is_logged_wherever_it_stands(form: str) -> None:
    lines = "".join(f"\nfor secret in secrets:\n{_indented(code)}" for code in PLACES.values())
    secrets = [secret for secret, _ in SECRETS.values()]
    logged = _run(f"{START}\nsecrets = secret.split('|')\n{lines}", form, "|".join(secrets))
    assert logged.count("[redacted]") >= len(PLACES) * len(SECRETS)
    assert [name for name, (_, telling) in SECRETS.items() if telling in logged] == []


def test_what_is_no_secret_is_logged_as_it_is() -> None:
    code = "log.info('deployed', url='http://shop.localhost:5080/a', n=3, args=('a', 1), none=None, ok=True)"
    logged = _run(START + code, "json", "")
    assert '"url": "http://shop.localhost:5080/a", "n": 3, "args": ["a", 1], "none": null, "ok": true' in logged


def _indented(code: str) -> str:
    return "".join(f"    {line}\n" for line in code.splitlines())


def _run(code: str, form: str, given: str) -> str:
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code, form], input=given, capture_output=True, text=True, cwd=root, check=True
    )
    return done.stderr
