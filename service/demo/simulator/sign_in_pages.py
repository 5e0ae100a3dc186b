"""Signing in with GitHub as a browser and an App see it: the question, which is answered at once, and the code.

Rules are those of GitHub's docs, Generating a user access token for a GitHub App, and of RFC 7636.
"""

import base64
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from service.demo.simulator.signal_actions import SignalActions
from service.demo.simulator.state import Account

# "The code ... will expire after 10 minutes."
CODE_LASTS = timedelta(minutes=10)
TOKEN_SECONDS = 28800
REFRESH_SECONDS = 15897600


def client_id(app_id: int) -> str:
    """By what GitHub knows an App that speaks for people."""
    return f"Iv23li{app_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a code is good for."""

    account: Account
    redirect_uri: str
    challenge: str
    expires_at: datetime


class SignInPages:
    """The pages; every browser is `sim.visitor`, who says yes at once, or no if `sim.refuses`."""

    def __init__(self, sim: SignalActions) -> None:
        self.sim = sim
        self._codes: dict[str, Given] = {}

    def add(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_get("/login/oauth/authorize", self.authorize)
        app.router.add_post("/login/oauth/access_token", self.exchange)

    async def authorize(self, request: web.Request) -> web.Response:
        """Ask the visitor, and lead back with a code; to no address that the App does not name."""
        sim, query = self.sim, request.query
        if query.get("client_id") != client_id(sim.app.id):
            return web.Response(status=404, text="<h1>404</h1>", content_type="text/html")
        known = sim.app.callback_urls
        back = query.get("redirect_uri", known[0] if known else "")
        method = query.get("code_challenge_method", "S256")
        if back not in known:
            if not known:
                text = "<h1>Be careful!</h1><p>The redirect_uri is not associated with this application.</p>"
                return web.Response(status=200, text=text, content_type="text/html")
            words = "The redirect_uri MUST match the registered callback URL for this application."
            raise _back(known[0], query, error="redirect_uri_mismatch", error_description=words)
        if method != "S256":
            raise _back(back, query, error="invalid_request", error_description="Only S256 is accepted.")
        if sim.refuses:
            words = "The user has denied your application access."
            raise _back(back, query, error="access_denied", error_description=words)
        code = secrets.token_hex(10)
        self._codes[code] = Given(
            account=sim.account(sim.visitor),
            redirect_uri=back,
            challenge=query.get("code_challenge", ""),
            expires_at=sim.now() + CODE_LASTS,
        )
        raise _back(back, query, code=code)

    async def exchange(self, request: web.Request) -> web.Response:
        """A code for a token, once; what is wrong is said with status 200."""
        sent: dict[str, Any] = dict(await request.post())
        if request.content_type == "application/json":
            sent = await request.json()
        said = self._exchanged({name: str(value) for name, value in sent.items()})
        if request.headers.get("Accept") == "application/json":
            return web.json_response(said)
        return web.Response(text=urlencode(said), content_type="application/x-www-form-urlencoded")

    def _exchanged(self, sent: dict[str, str]) -> dict[str, Any]:
        sim = self.sim
        secret = sent.get("client_secret", "").encode()
        is_ours = sent.get("client_id") == client_id(sim.app.id)
        if not is_ours or not hmac.compare_digest(secret, sim.client_secret.encode()):
            return _wrong("incorrect_client_credentials", "The client_id and/or client_secret passed are incorrect.")
        given = self._codes.pop(sent.get("code", ""), None)
        if given is None or given.expires_at <= sim.now() or not _is_proved(given.challenge, sent):
            return _wrong("bad_verification_code", "The code passed is incorrect or expired.")
        if sent.get("redirect_uri", given.redirect_uri) != given.redirect_uri:
            words = "The redirect_uri MUST match the registered callback URL for this application."
            return _wrong("redirect_uri_mismatch", words)
        return {
            "access_token": sim.keys.of_user(given.account),
            "expires_in": TOKEN_SECONDS,
            "refresh_token": "ghr_" + secrets.token_urlsafe(57),
            "refresh_token_expires_in": REFRESH_SECONDS,
            "token_type": "bearer",
            "scope": "",
        }


def _is_proved(challenge: str, sent: dict[str, str]) -> bool:
    """Whether it is whoever asked for the code that brings it; one asked for without a challenge needs no proof."""
    digest = sha256(sent.get("code_verifier", "").encode()).digest()
    return not challenge or challenge == base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _wrong(error: str, description: str) -> dict[str, Any]:
    return {"error": error, "error_description": description, "error_uri": "https://docs.github.com/apps"}


def _back(url: str, query: Any, **told: str) -> web.HTTPFound:
    if "state" in query:
        told["state"] = query["state"]
    return web.HTTPFound(f"{url}?{urlencode(told)}")
