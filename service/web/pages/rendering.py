"""Pages for people: templates with everything escaped, and headers that let a page load nothing but our own files."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from aiohttp import hdrs, web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from service.web import rights

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"))


def ago(moment: datetime, now: datetime) -> str:
    """How long ago that was, by its largest unit; `dashboard.js` says it in the same words when time has passed."""
    seconds = max(0, int((now - moment).total_seconds()))
    for length, unit in _UNITS:
        if seconds >= length:
            return f"{seconds // length} {unit} ago"
    return "just now"


def exact(moment: datetime) -> str:
    """The time to the second, for whoever asks."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


_HERE: Final = Path(__file__).parent
_ENVIRONMENT: Final = Environment(
    loader=FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_ENVIRONMENT.globals["ago"] = ago
_ENVIRONMENT.filters["exact"] = exact
_TYPES: Final = {".css": "text/css", ".js": "text/javascript"}


def page(template: str, *, status: int = 200, forms_to: str = "", **values: Any) -> web.Response:
    """A page from a template; `forms_to` is the one other origin that its forms may be sent to."""
    policy = (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        f"form-action 'self'{' ' + forms_to if forms_to else ''}; frame-ancestors 'none'; base-uri 'none'"
    )
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        # An address may hold a link's secret, which is not for other hosts.
        "Referrer-Policy": "same-origin",
        hdrs.CACHE_CONTROL: "no-store",
    }
    text = _ENVIRONMENT.get_template(template).render(values)
    return web.Response(text=text, status=status, content_type="text/html", headers=headers)


def add_static(app: web.Application) -> None:
    """Serve our style and scripts, read once: nothing that is asked for ever becomes a path."""
    for path in sorted((_HERE / "static").iterdir()):
        if path.suffix in _TYPES:
            serve = _serve(path.read_bytes(), _TYPES[path.suffix])
            rights.add(app, [rights.get(f"/static/{path.name}", serve, rights.OPEN)])


def _serve(body: bytes, content_type: str) -> Any:
    etag = hashlib.sha256(body).hexdigest()[:32]

    async def serve(request: web.Request) -> web.Response:
        headers = {hdrs.ETAG: f'"{etag}"', hdrs.CACHE_CONTROL: "no-cache", "X-Content-Type-Options": "nosniff"}
        if f'"{etag}"' in request.headers.get(hdrs.IF_NONE_MATCH, ""):
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, content_type=content_type, charset="utf-8", headers=headers)

    return serve
