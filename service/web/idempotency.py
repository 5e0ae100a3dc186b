"""`Idempotency-Key`: a client that does not know whether it was heard says it again and is not obeyed twice.

The key is claimed before anything is done and the answer is kept after it, sealed, for a day. What was refused before
anything was written was not done, so its key is free again. Between the two a process can die or break; then nobody
knows what was done, and a repetition is told just that. So it is after an answer that tells a secret: it is not kept.
"""

import re
from hashlib import sha256
from typing import Final, assert_never

import msgspec
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from service.domain.errors import Refused, Transient
from service.enact import WROTE
from service.store import idempotency
from service.store.database import Conflict
from service.store.idempotency import Answered, Begun
from service.web.api import answers
from service.web.api.raw import raw_body
from service.web.keys import CALLER, CONTEXT

HEADER: Final = "Idempotency-Key"
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_WRITING: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_KEPT_HEADERS: Final = (hdrs.CONTENT_TYPE, hdrs.ETAG, "Towpath-Request")
_FINGERPRINT: Final = "idempotency"


class _Answer(msgspec.Struct, frozen=True, array_like=True):
    status: int
    headers: dict[str, str]
    body: bytes


@web.middleware
async def once(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Carry a request with a key out once, and answer its repetitions as it was answered."""
    key = request.headers.get(HEADER)
    if key is None or request.method not in _WRITING or CALLER not in request:
        return await handler(request)
    if not _KEY.fullmatch(key):
        raise Refused(f"{HEADER}: 1 to 255 printable ASCII characters without spaces, like a UUID", code="bad_request")
    match await _begin(request, key):
        case Answered(sealed=sealed):
            return _again(request, key, sealed)
        case Begun.OTHER:
            raise Refused(f"{HEADER}: this key was given to another request in the last 24 hours; take a new one")
        case Begun.RUNNING:
            raise Refused(
                "A request with this Idempotency-Key is being answered or was cut off; if it does not answer within a "
                "minute, look whether it was carried out, and send it with a new key if it was not.",
                code="conflict",
            )
        case Begun.FIRST:
            return await _carried_out(request, key, handler)
        case never:
            assert_never(never)


async def _begin(request: web.Request, key: str) -> Begun | Answered:
    context, user_id = request.app[CONTEXT], request[CALLER].user_id
    body = sha256(await raw_body(request)).hexdigest()
    text = f"{request.method} {request.path_qs}\n{body}"
    # Signed, not only hashed: a digest would let a reader of the database try out what was sent.
    fingerprint, now = context.vault.sign(text, _FINGERPRINT), context.db.now()
    return await context.db.write(
        lambda conn: idempotency.begin(
            conn,
            user_id=user_id,
            key=key,
            fingerprint=fingerprint,
            is_same=lambda known: context.vault.has_signed(known, text, _FINGERPRINT),
            now=now,
        )
    )


async def _carried_out(request: web.Request, key: str, handler: Handler) -> web.StreamResponse:
    context, user_id = request.app[CONTEXT], request[CALLER].user_id
    WROTE.set(False)
    try:
        response = await handler(request)
    except (Refused, Transient, Conflict, web.HTTPException):
        if not WROTE.get():
            await context.db.write(lambda conn: idempotency.free(conn, user_id=user_id, key=key))
        raise
    if response.status >= 400 or not isinstance(response, web.Response):
        await context.db.write(lambda conn: idempotency.free(conn, user_id=user_id, key=key))
        return response
    if answers.OF_SECRETS.items() <= response.headers.items():
        return response  # it tells a secret, which is told once and kept nowhere: the key stays taken
    body = response.body if isinstance(response.body, bytes) else b""
    headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    answer = msgspec.msgpack.encode(_Answer(status=response.status, headers=headers, body=body))
    sealed = context.vault.seal(answer, idempotency.context(user_id, key))
    await context.db.write(lambda conn: idempotency.answer(conn, user_id=user_id, key=key, sealed=sealed))
    return response


def _again(request: web.Request, key: str, sealed: bytes) -> web.Response:
    opened = request.app[CONTEXT].vault.unseal(sealed, idempotency.context(request[CALLER].user_id, key))
    answer = msgspec.msgpack.decode(opened, type=_Answer)
    return web.Response(
        status=answer.status, body=answer.body, headers={**answer.headers, "Idempotency-Replayed": "true"}
    )
