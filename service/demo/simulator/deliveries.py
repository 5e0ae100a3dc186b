"""The webhook sender: signs, sends in order, waits 10 s for an answer, never repeats by itself, logs all."""

import asyncio
import json
import secrets
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

import aiohttp
import structlog

from service.demo.simulator.chaos import Chaos
from service.demo.simulator.delivery import Delivery, headers
from service.demo.simulator.state import RepositoryHook

log = structlog.get_logger()
Watcher = Callable[[str, dict[str, Any]], None]
# "Your server should respond with a 2XX response within 10 seconds of receiving a webhook delivery."
# (GitHub docs, best practices for using webhooks)
ANSWER_SECONDS = 10.0


class Sender:
    """Sends deliveries one after another in a background task; `settled()` waits until all are out."""

    def __init__(
        self, *, app_id: int, secret: str, chaos: Chaos, now: Callable[[], datetime], timeout: float = ANSWER_SECONDS
    ) -> None:
        self.url = ""
        self.secret = secret
        self.timeout = timeout
        self.log: list[Delivery] = []
        self.watchers: list[Watcher] = []
        self._app_id = app_id
        self._chaos = chaos
        self._now = now
        self._waiting: list[Delivery] = []
        self._open = 0
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None

    def belong_to(self, app_id: int, *, url: str) -> None:
        """Be the hook of another App, with a secret of its own."""
        self._app_id, self.url, self.secret = app_id, url, secrets.token_hex(20)

    async def start(self) -> None:
        """Begin to send."""
        self._session = aiohttp.ClientSession()
        self._spawn(self._run())

    async def stop(self) -> None:
        """End; what was not sent is lost, as with GitHub."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session:
            await self._session.close()

    def send(
        self,
        event: str,
        payload: dict[str, Any],
        *,
        installation_id: int | None,
        repository_id: int | None,
        hook: RepositoryHook | None = None,
    ) -> None:
        """Queue an event, for the App's hook or for a repository's; without a URL it goes nowhere."""
        for watcher in self.watchers:
            watcher(event, payload)
        if not (hook.url if hook else self.url) or self._lost():
            return
        delivery = Delivery(
            id=10_000_000 + len(self.log) + 1,
            guid=str(uuid.uuid4()),
            event=event,
            action=payload.get("action"),
            payload=payload,
            installation_id=installation_id,
            repository_id=repository_id,
            delivered_at=self._now(),
            hook=hook,
        )
        self._queue(delivery)

    def redeliver(self, delivery_id: int) -> Delivery | None:
        """Send again on request, with the same GUID (GitHub docs, X-GitHub-Delivery)."""
        first = self.find(delivery_id)
        if first is None:
            return None
        again = Delivery(
            id=10_000_000 + len(self.log) + 1,
            guid=first.guid,
            event=first.event,
            action=first.action,
            payload=first.payload,
            installation_id=first.installation_id,
            repository_id=first.repository_id,
            delivered_at=self._now(),
            redelivery=True,
            hook=first.hook,
        )
        self._queue(again)
        return again

    def find(self, delivery_id: int) -> Delivery | None:
        """One entry of the log."""
        return next((one for one in self.log if one.id == delivery_id), None)

    async def settled(self, *, seconds: float = 30.0) -> None:
        """Wait until nothing is queued or under way."""
        async with asyncio.timeout(seconds):
            await self._idle.wait()

    def _queue(self, delivery: Delivery) -> None:
        self.log.append(delivery)
        self._waiting.append(delivery)
        self._open += 1
        self._idle.clear()
        self._wake.set()

    def _lost(self) -> bool:
        switches = self._chaos.webhooks
        if switches.vanish_next > 0:
            switches.vanish_next -= 1
            return True
        return self._chaos.rolls(switches.vanish)

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self) -> None:
        while True:
            if self._chaos.webhooks.hold or self._chaos.outage:
                await asyncio.sleep(0.02)
            elif not self._waiting:
                self._wake.clear()
                await self._wake.wait()
                if self._chaos.webhooks.reorder > 1:
                    # A shuffle needs several at once: leave the next ones a moment to arrive.
                    await asyncio.sleep(0.05)
            else:
                # Side by side: which of a shuffled few comes first is nobody's decision.
                await asyncio.gather(*map(self._one, self._take()))

    def _take(self) -> list[Delivery]:
        width = max(1, self._chaos.webhooks.reorder)
        batch, self._waiting = self._waiting[:width], self._waiting[width:]
        self._chaos.dice.shuffle(batch)
        return batch

    async def _one(self, delivery: Delivery) -> None:
        switches = self._chaos.webhooks
        copies = 1
        if switches.duplicate_next > 0:
            switches.duplicate_next -= 1
            copies = 2
        elif self._chaos.rolls(switches.duplicate):
            copies = 2
        if switches.drop_next > 0 or self._chaos.rolls(switches.drop):
            switches.drop_next = max(0, switches.drop_next - 1)
            delivery.status, copies = "failed to connect to host", 0
        if switches.delay and copies:
            self._spawn(self._late(delivery, copies, switches.delay))
            return
        await self._attempts(delivery, copies)

    async def _late(self, delivery: Delivery, copies: int, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._attempts(delivery, copies)

    async def _attempts(self, delivery: Delivery, copies: int) -> None:
        for _ in range(copies):
            await self._attempt(delivery)
        if delivery.hook is not None:
            delivery.hook.remember(delivery.status, delivery.status_code)
        self._open -= 1
        if not self._open:
            self._idle.set()

    async def _attempt(self, delivery: Delivery) -> None:
        assert self._session is not None
        delivery.copies += 1
        body = json.dumps(delivery.payload, separators=(",", ":")).encode()
        hook = delivery.hook
        secret = hook.secret if hook else self.secret
        delivery.request_headers = headers(delivery, body, secret=secret, app_id=self._app_id)
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with self._session.post(
                hook.url if hook else self.url,
                data=body,
                headers=delivery.request_headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=self.timeout),
            ) as answer:
                delivery.response_body = (await answer.text(errors="replace"))[:4096]
                delivery.response_headers = dict(answer.headers)
                delivery.status_code = answer.status
                delivery.status = (
                    "OK" if answer.ok and answer.status < 300 else f"Invalid HTTP Response: {answer.status}"
                )
        except TimeoutError:
            delivery.status, delivery.status_code = "timed out", 0
        except aiohttp.ClientError as error:
            log.info("webhook not delivered", guid=delivery.guid, hook_event=delivery.event, error=str(error))
            delivery.status, delivery.status_code = "failed to connect to host", 0
        delivery.duration = round(loop.time() - began, 3)
