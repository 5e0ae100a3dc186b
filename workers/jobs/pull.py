"""Fetch what GitHub cannot send: deliveries from its log of them, and by polling what no delivery told.

One round every ten seconds, in one worker, under a lease. Both ways end in the inbox that webhooks come in by. A
repository whose deliveries arrive is polled now and then only: a hook that is switched off does not say so. Where
GitHub can send, only what did not arrive is fetched, every few minutes, and nothing is polled. Of many repositories
each round asks some, those first that wait longest, and none for what is left of the hour's last requests. What
stands in a source's way is kept for people to see, and asked about less and less often; nothing is lost by waiting,
for the watermark stays where it is.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection

from service.domain.errors import Refused, Transient
from service.domain.model import Repository, RepositoryId
from service.domain.pulling import ASKED_PER_ROUND, OFTEN, SELDOM, affordable, back_off, logs_per_round
from service.github.hook_log import Hook, HookLog, hooks_of
from service.github.pace import spread
from service.github.transport import Reply
from service.store import leases, pipelines, pull_sources, repositories
from service.store.deliveries import Inbox
from service.store.leases import LeaseTerms
from service.store.pull_sources import APP, PullSource, PullState
from workers.context import Context
from workers.jobs.poll import Poller
from workers.jobs.pull_log import Pass, Passed

log = structlog.get_logger()

LOOP: Final = "pull"
SETTINGS_SECONDS: Final = 300.0
"""How often a repository is asked for what rarely changes: its hook, its name, its default branch."""
_HOOK_SECONDS: Final = 3600.0
"""The same of its hook where GitHub can send: the log of one that is known costs nothing as long as it has no news."""
_LONGEST_WAIT: Final = timedelta(hours=2)
_NOTED: Final = timedelta(seconds=60)
"""A source that goes on as it was is written down no more often."""


class _Lost(Exception):
    """Another worker has the lease: it goes on from here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Followed:
    """What a round is about: the repositories that are used and reached, their followed branches, all known ids."""

    repositories: Mapping[RepositoryId, Repository]
    branches: Mapping[RepositoryId, Sequence[str]]
    known: frozenset[int]
    sources: Mapping[str, PullSource]


@dataclass(slots=True, kw_only=True)
class Puller:
    """One worker's part in it; what it remembers only spares requests. `polls` is false where GitHub can send."""

    context: Context
    inbox: Inbox
    polls: bool = True
    clock: Callable[[], float] = field(default_factory=lambda: asyncio.get_running_loop().time)
    poller: Poller = field(init=False)
    _etags: dict[str, str] = field(default_factory=dict)
    _silent: set[str] = field(default_factory=set)
    _telling: set[RepositoryId] = field(default_factory=set)
    _read_at: dict[RepositoryId, float] = field(default_factory=dict)
    _hooks: dict[RepositoryId, tuple[float, Hook | str]] = field(default_factory=dict)
    _polled_at: dict[RepositoryId, float] = field(default_factory=dict)
    _itself_at: dict[RepositoryId, float] = field(default_factory=dict)
    _renewed_at: float = 0.0
    _app_id: int | None = None

    def __post_init__(self) -> None:
        self.poller = Poller(context=self.context, inbox=self.inbox)

    async def once(self, _: Context) -> None:
        """One round: the logs first, then what is due to be polled. Without credentials the audit has to do."""
        if not self.context.github.app_id and not self.context.settings.github_token:
            return
        followed = self._as_ours(await self.context.db.read(self._followed))
        self._renewed_at = self.clock()
        try:
            telling = await self._logs(followed)
            if self.polls:
                await self._poll(followed, telling)
        except _Lost:
            return
        names = {APP} | {name(each) for each in followed.repositories for name in _NAMES}
        if set(followed.sources) - names:
            await self.context.db.write(lambda conn: pull_sources.forget_others(conn, names))

    def _followed(self, conn: Connection) -> _Followed:
        used, known = repositories.in_use(conn), repositories.listing(conn)
        branches: dict[RepositoryId, list[str]] = {}
        for app in pipelines.all_auto_deploys(conn):
            if app.repository_id is not None:
                branches.setdefault(app.repository_id, []).append(app.auto_deploy_branch)
        return _Followed(
            repositories={each.id: each for each in known if each.id in used and each.accessible},
            branches={number: sorted(set(names)) for number, names in branches.items()},
            known=frozenset(each.id for each in known),
            sources={each.name: each for each in pull_sources.listing(conn)},
        )

    def _as_ours(self, followed: _Followed) -> _Followed:
        """Begin anew for another App than in the last round: what the former one was refused says nothing of it."""
        former, self._app_id = self._app_id, self.context.github.app_id
        if former in {None, self._app_id}:
            return followed
        clocks = (self._read_at, self._polled_at, self._itself_at)
        for remembered in (self._etags, self._hooks, self._silent, self._telling, *clocks):
            remembered.clear()
        self.poller = Poller(context=self.context, inbox=self.inbox)
        return replace(
            followed, sources={name: replace(each, retry_at=None) for name, each in followed.sources.items()}
        )

    @property
    def every(self) -> float:
        """Seconds between rounds."""
        return self.context.settings.pull_seconds if self.polls else self.context.settings.audit_seconds

    async def _renew(self) -> None:
        """Keep the lease in a round that takes long."""
        terms = self.context.terms
        terms = LeaseTerms(holder=terms.holder, seconds=min(terms.seconds, 3 * self.every))
        if self.clock() - self._renewed_at < terms.seconds / 3:
            return
        if not await self.context.db.write(lambda conn: leases.take(conn, f"loop:{LOOP}", terms=terms)):
            raise _Lost
        self._renewed_at = self.clock()

    # The logs ---------------------------------------------------------------------------------------

    async def _logs(self, followed: _Followed) -> set[RepositoryId]:
        """Take what the logs hold; returns the repositories whose events they tell."""
        github = self.context.github
        if github.app_id:
            tells = await self._log(APP, followed, partial(_ready, HookLog.of_app(github)))
            return set(followed.repositories) if tells else set()
        left = logs_per_round(self.every)
        for repository in self._longest_unread_first(followed):
            asks = self._asks(repository, followed)
            if asks and left <= 0:
                continue
            await self._renew()
            left -= asks
            if await self._own_log(repository, followed, asks=asks):
                self._telling.add(repository.id)
            else:
                self._telling.discard(repository.id)
        return self._telling & set(followed.repositories)

    def _longest_unread_first(self, followed: _Followed) -> list[Repository]:
        """In the order in which they are read; of the rounds before us we know what was written down."""

        def read_at(repository: Repository) -> tuple[float, float]:
            source = followed.sources.get(pull_sources.hook_of(repository.id))
            known = source.checked_at if source is not None else None
            return self._read_at.get(repository.id, -math.inf), known.timestamp() if known is not None else 0.0

        return sorted(followed.repositories.values(), key=read_at)

    def _asks(self, repository: Repository, followed: _Followed) -> bool:
        """Whether GitHub is asked when the repository's log is read now: it may wait, or be known to have none."""
        source = followed.sources.get(pull_sources.hook_of(repository.id))
        return (source is None or not self._waits(source)) and not isinstance(self._known_hook(repository), str)

    async def _own_log(self, repository: Repository, followed: _Followed, *, asks: bool) -> bool:
        """Pass over the log of the repository's own hook, if that can be afforded; whether it can be relied on."""
        name = pull_sources.hook_of(repository.id)
        if asks and not self._may_spend(repository):
            source = followed.sources.get(name) or PullSource(name=name)
            self._etags.pop(name, None)  # "no news" would say that it still waits
            await self._keep(source, _settled(source, PullState.WAITING, _SPARED))
            return False
        if asks:
            self._read_at[repository.id] = self.clock()
        return await self._log(name, followed, partial(self._hook_log, repository))

    async def _log(self, name: str, followed: _Followed, find: Callable[[], Awaitable[HookLog | str]]) -> bool:
        """Pass over one log and keep what came of it; whether it can be relied on to tell."""
        source = followed.sources.get(name) or PullSource(name=name, state=PullState.EMPTY)
        if self._waits(source):
            return False
        try:
            found = await find()
            if isinstance(found, str):
                await self._keep(source, _settled(source, PullState.OFF, found))
                return False
            one = Pass(self.context, inbox=self.inbox, log=found, known_repositories=followed.known, renew=self._renew)
            passed = await one.run(watermark=source.watermark, etag=self._etags.pop(name, ""))
        except (Transient, Refused) as error:
            self._etags.pop(name, None)
            await self._keep(source, self._failed(source, error))
            return False
        return await self._conclude(source, passed)

    async def _conclude(self, source: PullSource, passed: Passed) -> bool:
        name = source.name
        if passed.refused is not None:
            self._hooks.pop(_repository_of(name), None)
            refusal = Refused(f"GitHub does not show the deliveries: {passed.refused.message}")
            await self._keep(source, self._failed(source, refusal, PullState.OFF))
            return False
        self._etags[name] = passed.etag
        if passed.taken:
            self._silent.discard(name)
            log.info("deliveries pulled", source=name, deliveries=passed.taken)
        for number in passed.repositories:
            self._polled_at[RepositoryId(number)] = self.clock()
        if passed.unchanged:
            state, reason = source.state, source.reason
        elif passed.missed:
            state, reason = PullState.OK, f"{passed.missed} of the deliveries could not be read yet"
        elif not passed.listed:
            state, reason = PullState.EMPTY, _NOTHING_LISTED + (_INSTEAD if self.polls else "")
        else:
            state, reason = PullState.OK, ""
        if name in self._silent and state is PullState.OK:
            reason = _SILENT
        await self._keep(source, _settled(source, state, reason, newest=passed.newest))
        return state is PullState.OK and name not in self._silent

    async def _hook_log(self, repository: Repository) -> HookLog | str:
        """The log of the repository's own hook, or why there is none to read."""
        hook = self._known_hook(repository)
        if hook is None:
            hook = _chosen(await hooks_of(self.context.github, repository))
            self._hooks[repository.id] = (self.clock(), hook)
        if isinstance(hook, str):
            return hook + (_INSTEAD if self.polls else _NOT_FETCHED)
        return HookLog.of_hook(self.context.github, repository, hook)

    def _known_hook(self, repository: Repository) -> Hook | str | None:
        """The hook, or why there is none to read; None when it is time to ask GitHub."""
        period = SETTINGS_SECONDS if self.polls else _HOOK_SECONDS
        asked_at, hook = self._hooks.get(repository.id, (-math.inf, ""))
        return hook if self.clock() - asked_at < period else None

    # Polling ----------------------------------------------------------------------------------------

    async def _poll(self, followed: _Followed, telling: set[RepositoryId]) -> None:
        """Ask the repositories that are due, those first that wait longest, as many as one round may."""
        left, now = ASKED_PER_ROUND, self.clock()
        often = min(OFTEN, self.context.settings.pull_seconds)
        oldest_first = sorted(followed.repositories.values(), key=lambda each: self._polled_at.get(each.id, -SELDOM))
        for repository in oldest_first:
            source = followed.sources.get(pull_sources.poll_of(repository.id)) or PullSource(
                name=pull_sources.poll_of(repository.id)
            )
            period = SELDOM if repository.id in telling else often
            due = now - self._polled_at.get(repository.id, -SELDOM) >= period
            if left <= 0 or not due or self._waits(source):
                continue
            await self._renew()
            left -= await self._poll_one(repository, source, followed, tells=repository.id in telling)

    async def _poll_one(self, repository: Repository, source: PullSource, followed: _Followed, *, tells: bool) -> int:
        """Poll one repository and keep what came of it; returns how many requests that took."""
        self._polled_at[repository.id] = self.clock()
        if not self._may_spend(repository):
            await self._keep(source, _settled(source, PullState.WAITING, _SPARED))
            return 0
        branches = followed.branches.get(repository.id, ())
        try:
            asked_at = self._itself_at.get(repository.id, -SETTINGS_SECONDS)
            itself = self.clock() - asked_at >= SETTINGS_SECONDS
            polled = await self.poller.poll(repository, branches, itself=itself)
            if itself:
                self._itself_at[repository.id] = self.clock()
        except (Transient, Refused) as error:
            await self._keep(source, self._failed(source, error))
            return 1 + len(branches)
        if polled.refused:
            await self._keep(source, self._failed(source, Refused(polled.refused)))
            return polled.asked
        if polled.found:
            log.info("news polled", repository=repository.full_name, news=polled.found)
        if polled.found and tells:
            self._silent.add(APP if self.context.github.app_id else pull_sources.hook_of(repository.id))
        await self._keep(source, _settled(source, PullState.OK, ""))
        return polled.asked

    def _may_spend(self, repository: Repository) -> bool:
        quota = self.context.github.quotas().get(repository.installation_id)  # none of an hour that is over
        return quota is None or affordable(limit=quota.limit, remaining=quota.remaining, resets_in=quota.resets_in)

    # What is kept -----------------------------------------------------------------------------------

    def _waits(self, source: PullSource) -> bool:
        if source.retry_at is None:
            return False
        left = source.retry_at - self.context.db.now()
        return timedelta() < left <= _LONGEST_WAIT  # more is a clock that was set back

    def _failed(
        self, source: PullSource, error: Transient | Refused, state: PullState = PullState.WAITING
    ) -> PullSource:
        log.warning("not pulled", source=source.name, error=error.message)
        asked = error.retry_after if isinstance(error, Transient) else None
        wait = timedelta(seconds=spread(back_off(source.attempts, asked)))
        retry_at = self.context.db.now() + wait
        return replace(source, state=state, reason=error.message[:500], retry_at=retry_at, attempts=source.attempts + 1)

    async def _keep(self, before: PullSource, now: PullSource) -> None:
        """Write it down when it is news, or that it still is so."""
        moment = self.context.db.now()
        if now.retry_at is None:
            now = replace(now, checked_at=moment)
        stood = replace(before, checked_at=now.checked_at) == now
        if stood and before.checked_at is not None and moment - before.checked_at < _NOTED:
            return
        await self.context.db.write(lambda conn: pull_sources.keep(conn, now))


_NAMES: Final = (pull_sources.hook_of, pull_sources.poll_of)
_INSTEAD: Final = "; pull requests and branches are polled instead"
_NOTHING_LISTED: Final = "GitHub lists no delivery: the webhook is not active, or nothing has happened yet"
_SILENT: Final = (
    "something happened of which no delivery told: the webhook may have been switched off; "
    "pull requests and branches are polled instead"
)
_SPARED: Final = "what is left of this hour's requests is kept for what somebody waits for"
_NOT_FETCHED: Final = "; what GitHub cannot deliver is not fetched"
_NO_HOOK: Final = "the repository has no webhook for Towpath"
_INACTIVE: Final = "the repository's webhook is switched off"
_PARTIAL: Final = "the repository's webhook lacks push or pull_request"


async def _ready(log_of_app: HookLog) -> HookLog:
    return log_of_app


def _chosen(found: list[Hook] | Reply) -> Hook | str:
    """The hook to read, or why there is none."""
    if isinstance(found, Reply):
        return f"GitHub does not show the webhooks ({found.message})"
    active = [hook for hook in found if hook.active]
    whole = [hook for hook in active if hook.tells_all]
    if whole:
        return whole[0]
    return _PARTIAL if active else _INACTIVE if found else _NO_HOOK


def _settled(source: PullSource, state: PullState, reason: str, *, newest: datetime | None = None) -> PullSource:
    return replace(source, state=state, reason=reason, watermark=newest or source.watermark, retry_at=None, attempts=0)


def _repository_of(name: str) -> RepositoryId:
    kind, _, number = name.partition(":")
    return RepositoryId(int(number) if kind == "hook" else 0)
