"""The way into the dashboard for whoever has a token: a link that signs a browser in, once."""

from aiohttp import web

from service.web import rights
from service.web.api import answers, shapes
from service.web.keys import CALLER, CONTEXT


async def create(request: web.Request) -> web.Response:
    """POST /account/sign-in-links: an address that signs a browser in as oneself, once, within ten minutes.

    The session has all that its person may do, so it takes a token for everything, and ends with that.
    """
    context, caller = request.app[CONTEXT], request[CALLER]
    secret, expires = await context.enactor.make_sign_in_link(
        user_id=caller.user_id, token_id=caller.token.id, actor=caller.actor
    )
    shown = {
        "url": f"{context.settings.url}/dashboard/sign-in/{secret}",
        "expires_at": shapes.moment(expires),
        "user": {"id": caller.user_id, "email": caller.user.email},
    }
    return answers.answer(request, shown, status=201, headers=answers.OF_SECRETS)


ROUTES = [rights.post("/account/sign-in-links", create, rights.ACCOUNT)]
