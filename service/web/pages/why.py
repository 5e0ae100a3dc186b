"""The decision trail of a commit, a pull request or an app, as `towpath why` tells it."""

from typing import Final

from aiohttp import web

from service.domain.errors import Refused
from service.web import rights
from service.web.api import trail
from service.web.errors import STATUS_OF_ID
from service.web.keys import CONTEXT, VISITOR
from service.web.pages.rendering import page
from service.web.pages.signed_in import PATH

_LONGEST: Final = 255


async def why(request: web.Request) -> web.Response:
    """GET /dashboard/why?q=COMMIT|PR|APP; without a question, what may be asked."""
    context, visitor = request.app[CONTEXT], request[VISITOR]
    question, now = request.query.get("q", "").strip()[:_LONGEST], context.db.now()
    about, entries, error, status = "", list[trail.Entry](), "", 200
    if question:
        try:
            about, entries = await context.db.read(lambda conn: trail.of(conn, question, visitor.person, now))
        except Refused as refused:
            error, status = refused.message, STATUS_OF_ID.get(refused.code, 422)
    return page(
        "dashboard/why.html",
        status=status,
        visitor=visitor,
        question=question,
        about=about,
        entries=entries,
        error=error,
        now=now,
    )


ROUTES = [rights.get(f"{PATH}/why", why, rights.page(rights.CALLER))]
