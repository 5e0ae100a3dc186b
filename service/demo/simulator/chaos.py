"""What can go wrong between GitHub and us, as switches: for its webhooks and for its answers."""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

_KINDS = {"error", "rate_limit", "secondary_limit", "html", "reset", "reset_after", "delay", "unseen"}
_SHA = re.compile(r"[0-9a-f]{40}")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True, kw_only=True)
class WebhookChaos:
    """Switches for deliveries. Probabilities are 0 to 1; `*_next` count deliveries."""

    drop: float = 0.0
    drop_next: int = 0
    vanish: float = 0.0
    vanish_next: int = 0
    duplicate: float = 0.0
    duplicate_next: int = 0
    delay: float = 0.0
    reorder: int = 0
    hold: bool = False


@dataclass(slots=True, kw_only=True)
class AnswerRule:
    """One kind of bad answer, for requests whose `METHOD /path` matches."""

    kind: str
    pattern: str
    times: int | None
    status: int
    seconds: float
    retry_after: int | None


@dataclass(slots=True)
class Chaos:
    """`sim.chaos`: the switches. Everything is off at the start; `calm()` turns all off again.

    `turned_away` counts the requests that came in an outage.
    """

    seed: int = 1
    webhooks: WebhookChaos = field(default_factory=WebhookChaos)
    outage: bool = False
    turned_away: int = 0
    rules: list[AnswerRule] = field(default_factory=list)
    dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)  # noqa: S311 - repeatable on purpose

    def calm(self) -> None:
        """Turn every switch off."""
        self.webhooks = WebhookChaos()
        self.outage = False
        self.rules.clear()

    def answer(
        self,
        kind: str,
        *,
        pattern: str = "",
        times: int | None = 1,
        status: int = 503,
        seconds: float = 0.0,
        retry_after: int | None = None,
    ) -> None:
        """Answer the next `times` (None: all) requests matching `pattern` badly.

        Kinds: `error` (`status` with JSON), `rate_limit` (429), `secondary_limit` (403),
        `html` (200 with a page), `reset` (the connection breaks), `reset_after` (it was done, but the
        answer is lost), `delay` (`seconds`, then the true answer), `unseen` (422: the server that
        answers has not heard of the commit yet).
        """
        if kind not in _KINDS:
            raise ValueError(f"no such kind of answer: {kind}")
        self.rules.append(
            AnswerRule(kind=kind, pattern=pattern, times=times, status=status, seconds=seconds, retry_after=retry_after)
        )

    def rolls(self, probability: float) -> bool:
        """Whether a thing of this probability happens now."""
        return probability > 0 and self.dice.random() < probability

    def rule_for(self, request: web.Request) -> AnswerRule | None:
        """The rule that hits this request; counts it."""
        line = f"{request.method} {request.path}"
        for rule in self.rules:
            if rule.times != 0 and re.search(rule.pattern, line):
                rule.times = None if rule.times is None else rule.times - 1
                return rule
        return None

    async def act(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request through the switches."""
        if self.outage:
            self.turned_away += 1
            return _page(503, "<html><body><h1>Unicorn!</h1></body></html>")
        rule = self.rule_for(request)
        if rule is None:
            return await handler(request)
        if rule.kind == "delay":
            await asyncio.sleep(rule.seconds)
            return await handler(request)
        if rule.kind == "reset_after":
            await handler(request)
        if rule.kind.startswith("reset"):
            return _cut(request)
        if rule.kind == "unseen":
            return await _unseen(request)
        return _bad_answer(rule)


def _bad_answer(rule: AnswerRule) -> web.Response:
    if rule.kind == "html":
        return _page(200, "<html><body>We are having trouble</body></html>")
    status, text = {
        "rate_limit": (429, "API rate limit exceeded. Please include the request ID if you reach out."),
        "secondary_limit": (403, "You have exceeded a secondary rate limit. Please wait a few minutes."),
    }.get(rule.kind, (rule.status, "Server Error"))
    return web.json_response({"message": text}, status=status, headers=_retry(rule))


async def _unseen(request: web.Request) -> web.Response:
    """What GitHub says of a commit that is not there, in the words of each of its endpoints."""
    if request.path.endswith("/git-upload-pack"):
        said = b"ERR upload-pack: not our ref"
        return web.Response(body=b"%04x" % (len(said) + 4) + said, content_type="application/x-git-upload-pack-result")
    named = _SHA.search(request.path + await request.text())
    what = "No ref found for" if request.path.endswith("/deployments") else "No commit found for SHA"
    return web.json_response({"message": f"{what}: {named.group() if named else ''}"}, status=422)


def _retry(rule: AnswerRule) -> dict[str, str]:
    return {} if rule.retry_after is None else {"retry-after": str(rule.retry_after)}


def _page(status: int, html: str) -> web.Response:
    return web.Response(status=status, text=html, content_type="text/html")


def _cut(request: web.Request) -> web.Response:
    """Break the connection: the client sees it closed without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=503)
