"""Who somebody is on GitHub: the web flow of our App, to learn a number and a login, and nothing that is kept.

The browser goes to GitHub and comes back with a code, which is good once, together with the proof that it is the
browser that was sent there (RFC 7636). The token that GitHub gives for it opens what the person opens to the App. It
is asked who they are and given back at once; it is in memory for as long, and never anywhere else.
"""

import base64
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final
from urllib.parse import urlencode

import structlog
from msgspec import Struct

from service.domain.errors import Refused, Transient
from service.github.payloads import Id, clean
from service.github.transport import Transport

CODE_OVER: Final = "sign_in_code"
"""The code of a refusal that says: GitHub takes this code no longer, or not from this browser."""
MISREGISTERED: Final = "sign_in_app"
"""The code of a refusal that says: the App on GitHub is not as we think, its secret or its callback URL."""
_AUTHORIZE: Final = "/login/oauth/authorize"
_EXCHANGE: Final = "/login/oauth/access_token"
_OF_CODE: Final = frozenset({"bad_verification_code", "invalid_grant", "bad_code_verifier"})
_JSON: Final = "application/json"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Our App, as it speaks for people."""

    id: str
    secret: str = field(repr=False)


class Account(Struct, frozen=True):
    """Somebody on GitHub."""

    id: Id
    login: str


class _Token(Struct, frozen=True):
    access_token: str = ""
    error: str = ""

    def __repr__(self) -> str:
        """Show no secret."""
        return f"_Token({self.error})"


def challenge(verifier: str) -> str:
    """What GitHub is told of the proof that only the browser's return brings along."""
    return base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")


def authorize_url(*, github_url: str, client: Client, redirect_uri: str, state: str, verifier: str) -> str:
    """Where to send a browser. No scope is asked for: what the App may do is said in its permissions."""
    query = {
        "client_id": client.id,
        "redirect_uri": redirect_uri,
        "state": state,
        "code_challenge": challenge(verifier),
        "code_challenge_method": "S256",
    }
    return f"{github_url}{_AUTHORIZE}?{urlencode(query)}"


async def account(
    *, pages: Transport, api: Transport, client: Client, code: str, redirect_uri: str, verifier: str
) -> Account:
    """Who has come back with the code. `pages` is where GitHub's pages are, `api` its API.

    Raises `Refused` with `CODE_OVER` or `MISREGISTERED`, and `Transient` when GitHub does not answer: the code may be
    used up then.
    """
    token = await _exchange(pages, client, code=code, redirect_uri=redirect_uri, verifier=verifier)
    try:
        reply = await api.send("GET", "/user", token=token)
        if not reply.ok:
            raise Refused(f"GitHub does not say who that is: {reply.message}", code="github")
        found = reply.read(Account)
    finally:
        await _give_back(api, client, token)
    return Account(id=found.id, login=clean(found.login, limit=100))


async def _exchange(pages: Transport, client: Client, *, code: str, redirect_uri: str, verifier: str) -> str:
    body = {
        "client_id": client.id,
        "client_secret": client.secret,
        "code": code,
        "redirect_uri": redirect_uri,
        "code_verifier": verifier,
    }
    reply = await pages.send("POST", _EXCHANGE, body=body, accept=_JSON)
    # GitHub refuses with 200 and names what is wrong; a server of somebody else's may use 400.
    said = reply.read(_Token) if isinstance(reply.data, dict) else _Token()
    if said.access_token:
        return said.access_token
    if said.error in _OF_CODE:
        raise Refused("GitHub takes the code no longer.", code=CODE_OVER)
    named = clean(said.error, limit=60) or f"HTTP {reply.status}"
    raise Refused(f"GitHub does not take Towpath for its App ({named}).", code=MISREGISTERED)


async def _give_back(api: Transport, client: Client, token: str) -> None:
    """End the token. If GitHub does not, nobody has it any more all the same."""
    try:
        path, body = f"/applications/{client.id}/token", {"access_token": token}
        reply = await api.send("DELETE", path, body=body, client=(client.id, client.secret))
    except (Transient, Refused) as trouble:
        log.warning("sign-in token not given back", reason=trouble.message)
        return
    if not reply.ok:
        log.warning("sign-in token not given back", status=reply.status)
