"""Who we are to GitHub at this moment: what the environment says, else the App that the set-up's pages have made.

An App that is set up takes effect in every process within a second, without a restart: its webhook secret in web, its
key wherever GitHub is called. An App given by the environment goes before it as a whole, its secret included; a token
comes last, as it does when the environment names both.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import structlog

from service.domain.errors import Refused
from service.domain.model import Repository
from service.github import hooks, sign_in
from service.github.app import AppApi, convert
from service.github.app_auth import AppTokens, Credentials, credentials
from service.github.hints import InstallationState
from service.github.payloads import clean
from service.github.purposes import Purpose
from service.github.transport import Reply, Transport
from service.settings import Settings
from service.store import github_app
from service.store.database import Database
from service.store.github_app import GitHubApp
from service.store.secrets import Vault

FOLLOW_SECONDS: Final = 1.0

log = structlog.get_logger()


class Identity:
    """The current credentials; itself `Credentials`, so that whoever holds it always uses the newest."""

    def __init__(self, *, settings: Settings, transport: Transport, db: Database, vault: Vault) -> None:
        """Raises `Refused` when the environment's App or key cannot be used."""
        self._settings = settings
        self._transport = transport
        self._db = db
        self._vault = vault
        self._given = credentials(settings, transport)
        self._current = self._given
        self._version: object = None
        self._stored: GitHubApp | None = None

    @property
    def is_given(self) -> bool:
        """Whether the App is the environment's, and what is stored does not count."""
        return isinstance(self._given, AppTokens)

    @property
    def stored(self) -> GitHubApp | None:
        """The App that was set up, if it is the one in use."""
        return self._stored

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        """What webhooks may be signed with: repositories' own hooks use the server's secret, the App's its own."""
        stored = (self._stored.webhook_secret,) if self._stored else ()
        return tuple(secret for secret in (self._settings.github_webhook_secret, *stored) if secret)

    @property
    def api(self) -> AppApi | None:
        """The API of the App itself; None without one."""
        current = self._current
        return AppApi(transport=self._transport, tokens=current) if isinstance(current, AppTokens) else None

    async def refresh(self) -> None:
        """Take up the stored App if it is another than before; one that cannot be used is logged and left out."""
        if self.is_given:
            return
        version = await self._db.read(github_app.version)
        if version == self._version:
            return
        stored = await self._db.read(lambda conn: github_app.get(conn, self._vault))
        self._current = self._given if stored is None else self._tokens(stored)
        self._stored, self._version = stored, version
        log.info("github app taken up", app=stored.id if stored else None)

    def _tokens(self, stored: GitHubApp) -> AppTokens:
        return AppTokens(transport=self._transport, app_id=str(stored.id), private_key=stored.private_key)

    async def convert(self, code: str) -> GitHubApp:
        """Have the secrets of the App that a person has just made, proved to be usable; nothing is kept yet.

        Raises `Refused` and `Transient` as `service.github.app.convert`.
        """
        made = await convert(self._transport, code)
        app = GitHubApp(
            id=made.id,
            slug=made.slug,
            name=clean(made.name),
            html_url=made.html_url,
            private_key=made.pem,
            webhook_secret=made.webhook_secret or secrets.token_hex(32),
            client_id=made.client_id,
            client_secret=made.client_secret,
        )
        tokens = self._tokens(app)
        if not made.webhook_secret:
            # GitHub's description allows for none. Without one every webhook would be refused.
            await AppApi(transport=self._transport, tokens=tokens).set_webhook_secret(app.webhook_secret)
        return app

    @property
    def signs_in(self) -> bool:
        """Whether people can sign in with GitHub: that takes an App that was set up here, whose secrets are known."""
        return self._client is not None

    @property
    def _client(self) -> sign_in.Client | None:
        stored = self._stored
        if stored is None or not (stored.client_id and stored.client_secret):
            return None
        return sign_in.Client(id=stored.client_id, secret=stored.client_secret)

    def sign_in_url(self, *, redirect_uri: str, state: str, verifier: str) -> str:
        """Where a browser goes in order to say who it is on GitHub; raises `Refused` when there is no such way."""
        return sign_in.authorize_url(
            github_url=self._settings.github_url,
            client=self._client_or_refuse(),
            redirect_uri=redirect_uri,
            state=state,
            verifier=verifier,
        )

    async def signed_in_as(self, code: str, *, redirect_uri: str, verifier: str) -> sign_in.Account:
        """Who has come back from there; raises `Refused` and `Transient` as `service.github.sign_in.account`."""
        return await sign_in.account(
            pages=self._transport.at(self._settings.github_url),
            api=self._transport,
            client=self._client_or_refuse(),
            code=code,
            redirect_uri=redirect_uri,
            verifier=verifier,
        )

    def _client_or_refuse(self) -> sign_in.Client:
        client = self._client
        if client is None:
            raise Refused(
                "Nobody signs in with GitHub here: that takes a GitHub App that was set up with towpath github:setup.",
                code="not_found",
            )
        return client

    async def examine_hook(
        self, repository: str, *, url: str, arrived: Callable[[], Awaitable[bool]]
    ) -> list[hooks.Finding]:
        """Look at a repository's own webhook with the environment's token; see `service.github.hooks.examine`."""
        return await hooks.examine(
            transport=self._transport,
            token=self._settings.github_token,
            repository=repository,
            url=url,
            arrived=arrived,
        )

    async def follow(self) -> None:
        """Look for a new App for ever; a database that is away or keys that do not fit are waited for."""
        told = ""
        while True:
            await asyncio.sleep(FOLLOW_SECONDS)
            try:
                await self.refresh()
            except Exception as error:  # whatever goes wrong in one look, the next one may find another App
                if repr(error) != told:
                    log.exception("stored github app not readable")
                told = repr(error)

    # Credentials

    @property
    def app_id(self) -> int:
        """Our App's id as last seen, 0 without one."""
        return self._current.app_id

    async def installation_id(self, repository: Repository) -> int:
        """The installation that covers the repository."""
        return await (await self._newest()).installation_id(repository)

    async def installed_on(self, repository: Repository) -> int | None:
        """The installation that covers the repository now."""
        return await (await self._newest()).installed_on(repository)

    async def is_suspended(self, repository: Repository) -> bool:
        """Whether GitHub says so of the installation that covers the repository."""
        return await (await self._newest()).is_suspended(repository)

    async def token(self, repository: Repository, purpose: Purpose) -> str:
        """A token that is good for this."""
        return await (await self._newest()).token(repository, purpose)

    async def git_token(self, repository: Repository) -> str:
        """The password of user `x-access-token` for git."""
        return await (await self._newest()).git_token(repository)

    def drop(self, token: str) -> bool:
        """GitHub refused the token; whether another one may be had."""
        return self._current.drop(token)

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        etag: str = "",
        raw: bool = False,
    ) -> Reply:
        """Ask as the App itself; raises `Refused` without a GitHub App."""
        current = await self._newest()
        return await current.ask(method, path, body=body, params=params, etag=etag, raw=raw)

    async def installation_state(self, installation_id: int) -> InstallationState | None:
        """What an installation is now, whatever events have said; None without a GitHub App."""
        return await (await self._newest()).installation_state(installation_id)

    async def _newest(self) -> Credentials:
        """Without an App it is looked for at once: the first work for a new one comes sooner than the next look."""
        if not self._current.app_id:
            await self.refresh()
        return self._current
