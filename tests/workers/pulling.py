"""A worker that fetches what the simulated GitHub cannot send, and short ways to see what it took."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from service.demo.simulator.delivery import Delivery
from service.demo.simulator.state import RepositoryHook
from service.github.client import GitHub
from service.store import deliveries, pull_sources
from service.store.deliveries import Inbox, Receipt
from service.store.pull_sources import PullSource
from tests.github_contract.fixtures import GitHub as GitHubServer
from tests.workers.conftest import Yard
from workers.jobs.pull import Puller
from workers.jobs.react import react

NOWHERE = "http://127.0.0.1:1/github/webhooks"
"""Nobody listens there, and the path says that it is meant for us."""


@dataclass(kw_only=True)
class Pulled:
    """One worker's puller on a yard."""

    yard: Yard
    puller: Puller
    inbox: Inbox

    @property
    def sim(self) -> GitHubServer:
        return self.yard.edge.sim

    async def round(self) -> None:
        """One round, and the reactions to what it brought."""
        await self.poll()
        await self.hear()

    async def poll(self) -> None:
        """One round."""
        await self.sim.settled()
        await self.puller.once(self.puller.context)

    async def hear(self) -> None:
        """The reactions to what rounds brought."""
        for args in self.yard.bell.heard("react"):
            await react(self.yard.context, *args)
        await self.yard.calm()

    async def taken(self) -> list[Receipt]:
        """What the inbox holds, the oldest first."""
        return (await self.yard.see(lambda conn: deliveries.listing(conn, 10_000)))[::-1]

    async def told(self) -> list[str]:
        return [f"{each.event}.{each.action}" if each.action else each.event for each in await self.taken()]

    async def source(self, name: str) -> PullSource:
        found = await self.yard.see(pull_sources.listing)
        return next(each for each in found if each.name == name)

    def later(self, seconds: float) -> None:
        """Let our clocks, GitHub's and that of the round go ahead."""
        self.yard.clock.ahead += timedelta(seconds=seconds)
        self.yard.edge.clock.seconds += seconds
        self.sim.advance(seconds)
        then = self.puller.clock
        self.puller.clock = lambda: then() + seconds

    def successor(self, github: GitHub | None = None) -> "Pulled":
        """Another worker, which remembers nothing."""
        context = replace(self.yard.another(), github=github or self.yard.context.github)
        return replace(self, puller=Puller(context=context, inbox=self.inbox))

    def asked(self, pattern: str) -> int:
        return self.yard.edge.requests(pattern)

    def logged(self, count: int, *, repository_id: int, **changed: Any) -> list[Delivery]:
        """Entries that GitHub's log has although nobody here ever saw them: status events."""
        made = []
        for _ in range(count):
            number = 10_000_000 + len(self.sim.sender.log) + 1
            payload = {"id": number, "sha": "a" * 40, "context": "ci", "repository": self.repository_payload()}
            entry = Delivery(
                id=number,
                guid=f"00000000-0000-4000-8000-{number:012}",
                event="status",
                action=None,
                payload=payload,
                installation_id=1,
                repository_id=repository_id,
                delivered_at=self.sim.now(),
                status="failed to connect to host",
            )
            for name, value in changed.items():
                setattr(entry, name, value)
            self.sim.sender.log.append(entry)
            made.append(entry)
        return made

    def repository_payload(self) -> dict[str, Any]:
        known = self.yard.repository
        return {"id": known.id, "full_name": known.full_name, "default_branch": known.default_branch}


def add_hook(sim: GitHubServer, *, active: bool = True) -> None:
    """Give acme/shop a webhook of its own that is meant for us and reaches nobody."""
    sim.repository("acme/shop").hook = RepositoryHook(
        id=sim.next_id(),
        url=NOWHERE,
        secret="unused",
        content_type="form",
        insecure_ssl="0",
        events=list(sim.app.events),
        active=active,
        created_at=sim.now(),
    )


def watermark_of(conn: Connection, name: str) -> datetime | None:
    return next((each.watermark for each in pull_sources.listing(conn) if each.name == name), None)
