"""Webhooks in: Towpath as users run it, beside Probot with a Redis write of each delivery.

Both sides are given the same bytes by the same client in turn. Ours are in the database when they are answered, and a
worker is at them meanwhile; Probot's are in a Redis that writes to disk once a second.

Both are run as their users run them, by the start and with the settings that they have by themselves. For Probot that
is its own server (`run`, which is what `probot run` calls), with a line in the log for each delivery: on Node 24 this
and Probot as a silent middleware differ by less than its rounds do.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import peers
from tests.bench.load import Order, Taken, sent
from tests.bench.processes import cpu, free_port, listening, redis, running
from tests.bench.rows import Row, against, alone, spread
from tests.github.examples import INDEX, example
from tests.waiting import until
from tests.walk.stage import Stage

ROUNDS = 5
REQUESTS = 2000
CONNECTIONS = 32
PEER = "probot + ioredis"


@dataclass(slots=True, kw_only=True)
class _Side:
    """Where to send to, whose CPU counts, and what was seen."""

    port: int
    pids: Mapping[str, int]
    taken: list[Taken] = field(default_factory=list)
    used: list[dict[str, float]] = field(default_factory=list)

    async def round(self, order: Order, place: Path) -> None:
        """Send all of it once; raises `RuntimeError` when anything was refused."""
        before = {name: cpu(pid) for name, pid in self.pids.items()}
        taken = await sent(order, place)
        if sum(count for status, count in taken.statuses.items() if status in {"200", "202"}) != order.requests:
            raise RuntimeError(f"not all deliveries were taken: {taken.statuses}")
        self.taken.append(taken)
        self.used.append({name: (cpu(pid) - before[name]) / order.requests * 1e6 for name, pid in self.pids.items()})

    def whole(self) -> list[float]:
        """Microseconds of CPU for a request, of all processes together, by round."""
        return [sum(each.values()) for each in self.used]

    def part(self, name: str) -> list[float]:
        """The same of one process."""
        return [each[name] for each in self.used]


async def ingest(stage: Stage, place: Path) -> list[Row]:
    """Rows about taking webhooks in."""
    if not INDEX.exists():
        raise RuntimeError("GitHub's example payloads are not in build/npm: install npm, then run `make npm`")
    body = json.dumps(example("pull_request", "synchronize"), separators=(",", ":"))
    ours = _Side(port=stage.port, pids={name: stage.pid(name) for name in ("router", "web", "redis")})
    async with AsyncExitStack() as stack:
        try:
            theirs = await _probot(stack, stage, place)
        except peers.NoPeer as error:
            print(f"  no peer: {error}", flush=True)
            theirs = None
        for number in range(ROUNDS + 1):
            for side in filter(None, (ours, theirs)):
                order = _order(side.port, stage.github.webhook_secret, body, REQUESTS if number else REQUESTS // 4)
                await side.round(order, place)
                await until(lambda: _handled(stage), seconds=60, what="the worker has done what was sent")
        for side in filter(None, (ours, theirs)):
            del side.taken[0], side.used[0]  # the first round warms both up
    return _rows(ours, theirs, len(body))


def _rows(ours: _Side, theirs: _Side | None, size: int) -> list[Row]:
    what = f"durable ingest, {size / 1000:.0f} KB, c={CONNECTIONS}"
    rate, tail = [REQUESTS / each.seconds for each in ours.taken], [each.p99 * 1000 for each in ours.taken]
    parts = [
        alone(f"  of that {name}", ours.part(name), "us", note=_beside(theirs, name))
        for name in ("web", "router", "redis")
    ]
    if theirs is None:
        return [
            alone(f"{what}, CPU", ours.whole(), "us"),
            *parts,
            alone(f"{what}, rate", rate, "req/s"),
            alone(f"{what}, p99", tail, "ms"),
        ]
    return [
        against(f"{what}, CPU", ours.whole(), "us", peer=PEER, theirs=theirs.whole(), most=0.5),
        *parts,
        against(
            f"{what}, rate",
            rate,
            "req/s",
            peer=PEER,
            theirs=[REQUESTS / each.seconds for each in theirs.taken],
            least=2,
        ),
        against(f"{what}, p99", tail, "ms", peer=PEER, theirs=[each.p99 * 1000 for each in theirs.taken], most=0.25),
    ]


def _beside(theirs: _Side | None, name: str) -> str:
    if theirs is None or name == "router":
        return ""
    name = "probot" if name == "web" else name
    return f"{name}: {spread(theirs.part(name))} us"


def _order(port: int, secret: str, body: str, requests: int) -> Order:
    signature = hmac.new(secret.encode(), body.encode(), hashlib.sha256).hexdigest()
    lines = (
        "POST /github/webhooks HTTP/1.1",
        f"Host: localhost:{port}",
        "User-Agent: GitHub-Hookshot/7c3f3d6",
        "Accept: */*",
        "Content-Type: application/json",
        "X-GitHub-Event: pull_request",
        "X-GitHub-Delivery: {guid}",
        "X-GitHub-Hook-ID: 42",
        f"X-Hub-Signature-256: sha256={signature}",
        f"Content-Length: {len(body.encode())}",
    )
    head = "\r\n".join(lines) + "\r\n\r\n"
    return Order(port=port, head=head, body=body, requests=requests, connections=CONNECTIONS)


async def _probot(stack: AsyncExitStack, stage: Stage, place: Path) -> _Side:
    program = await peers.probot()
    redis_pid, socket = await stack.enter_async_context(redis(place / "redis"))
    port = free_port()
    env = {
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "WEBHOOK_PATH": "/github/webhooks",
        "REDIS_SOCKET": str(socket),
        "APP_ID": "1",
        "PRIVATE_KEY": Path(stage.env["TOWPATH_GITHUB_PRIVATE_KEY_FILE"]).read_text(),
        "WEBHOOK_SECRET": stage.github.webhook_secret,
        "NODE_ENV": "production",
    }
    pid = await stack.enter_async_context(running([str(peers.NODE), str(program)], env, log=place / "probot.log"))
    await listening(port)
    return _Side(port=port, pids={"probot": pid, "redis": redis_pid})


async def _handled(stage: Stage) -> bool:
    return not await stage.rows("SELECT 1 FROM deliveries WHERE state = 'received' LIMIT 1")
