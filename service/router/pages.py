"""What visitors see when no app answers: each page names the app, says what is so and what to do."""

from dataclasses import dataclass
from html import escape
from typing import assert_never

from service.router.table import Route


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """An answer of the router's own. `code` names it in logs."""

    code: str
    status: int
    title: str
    text: str
    retry_after: int | None = None


REASONS = {
    400: "Bad Request",
    404: "Not Found",
    408: "Request Timeout",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


def no_such_app(host: str) -> Page:
    """Nothing is known under this name."""
    return Page(
        code="no-such-app",
        status=404,
        title="There is no such app",
        text=f"No app answers to {host}. Check the spelling; a review app goes away when its pull request closes.",
    )


def bad_request(why: str) -> Page:
    """The request breaks HTTP's rules; the connection is closed after it."""
    return Page(code="bad-request", status=400, title="That is not a valid request", text=why)


def too_slow() -> Page:
    """The client did not send its request in time."""
    return Page(
        code="request-timeout",
        status=408,
        title="The request took too long to arrive",
        text="The connection was closed because the rest of the request did not come. Try again.",
    )


def web_away() -> Page:
    """Towpath's own web process does not answer."""
    return Page(
        code="web-away",
        status=503,
        title="Towpath is starting",
        text="The dashboard and API are not up yet; apps are not affected. Try again in a moment.",
        retry_after=2,
    )


def unreachable(name: str) -> Page:
    """The app is live, but no connection to it could be made or it closed without an answer."""
    return Page(
        code="unreachable",
        status=502,
        title=f"{name} could not be reached",
        text=f"{name} did not take the request or ended without an answer. Try again; "
        f"if it stays so, see `towpath logs -a {name}`.",
    )


def starting(name: str) -> Page:
    """The app is on its way: for the first time, or back after its process or the machine ended."""
    return Page(
        code="starting",
        status=503,
        title=f"{name} is starting",
        text="Try again in a few seconds.",
        retry_after=2,
    )


def bad_answer(name: str) -> Page:
    """The app answered with something that is not HTTP."""
    return Page(
        code="bad-answer",
        status=502,
        title=f"{name} gave an answer that is not valid HTTP",
        text=f"The router could not read the answer of {name}. See `towpath logs -a {name}`.",
    )


def timed_out(name: str, seconds: float) -> Page:
    """The app did not begin to answer in time."""
    return Page(
        code="timed-out",
        status=504,
        title=f"{name} took too long to answer",
        text=f"{name} did not begin to answer within {seconds:g} seconds. Move long work to a worker process; "
        f"`towpath logs -a {name}` shows what it was doing.",
    )


def not_serving(route: Route) -> Page:
    """The page for an app without an endpoint to send the request to."""
    name = route.app_name
    match route.state:
        case "maintenance":
            return Page(
                code="maintenance",
                status=503,
                title=f"{name} is down for maintenance",
                text=f"Try again later. Its owner ends this by `towpath maintenance:off -a {name}`.",
            )
        case "starting":
            return starting(name)
        case "crashed":
            return Page(
                code="crashed",
                status=503,
                title=f"{name} has crashed",
                text=f"Its web process ended and did not come back up. See `towpath logs -a {name}`, "
                f"then deploy a fix or `towpath ps:restart -a {name}`.",
            )
        case "stopped":
            return Page(
                code="stopped",
                status=503,
                title=f"{name} is stopped",
                text=f"It is not running at present. Its owner starts it by `towpath ps:scale web=1 -a {name}`.",
            )
        case "suspended":
            return Page(
                code="suspended",
                status=503,
                title=f"{name} is suspended",
                text="This review app was stopped because nobody used it, or because its repository is out of reach. "
                f"The next push to it brings it back, and so does `towpath ps:restart -a {name}`.",
            )
        case "live":
            return Page(
                code="no-web",
                status=503,
                title=f"{name} has no web process",
                text=f"No web process is running. Its owner starts one by `towpath ps:scale web=1 -a {name}`.",
            )
        case _:
            assert_never(route.state)


_HTML = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>
:root{{color-scheme:light dark}}
body{{margin:0;min-height:100vh;display:grid;place-items:center;font:1.05rem/1.6 ui-sans-serif,system-ui,sans-serif;
background:#f4f3ee;color:#26302b}}
main{{max-width:34rem;padding:2rem;border-left:.3rem solid #5b8a72}}
h1{{font-size:1.5rem;line-height:1.25;margin:0 0 .6rem}}p{{margin:0 0 .9rem}}small{{color:#66706a}}
code{{font-size:.92em;background:#e5e6de;padding:.1em .35em;border-radius:.25em}}
@media(prefers-color-scheme:dark){{body{{background:#171b19;color:#dfe5e1}}code{{background:#29302c}}small{{color:#93a099}}}}
</style></head><body><main><h1>{title}</h1><p>{text}</p><small>{status} {code} &middot; request {request}</small>
</main></body></html>
"""


def _with_code(text: str) -> str:
    """`text` for HTML, with its backquoted commands marked up."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))


def render(page: Page, *, html: bool, request_id: str, keep_alive: bool, with_body: bool = True) -> bytes:
    """The whole answer as bytes."""
    if html:
        body = _HTML.format(
            title=escape(page.title),
            text=_with_code(page.text),
            status=page.status,
            code=page.code,
            request=escape(request_id),
        ).encode()
    else:
        body = f"{page.title}. {page.text}\n".encode()
    lines = [
        f"HTTP/1.1 {page.status} {REASONS[page.status]}",
        f"Content-Type: text/{'html' if html else 'plain'}; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "X-Robots-Tag: noindex",
        "Via: 1.1 towpath",
        f"X-Request-Id: {request_id}",
        f"Towpath-Router: {page.code}",
    ]
    if page.retry_after is not None:
        lines.append(f"Retry-After: {page.retry_after}")
    lines.append(f"Connection: {'keep-alive' if keep_alive else 'close'}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + (body if with_body else b"")
