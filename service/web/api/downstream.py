"""What an app would bring to those downstream of it: commits, and names of config vars."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from aiohttp import web
from sqlalchemy import Connection

from service.domain import downstream, promotion
from service.domain.access import Act, Permission, token_may
from service.domain.downstream import Difference, KeysApart, Running
from service.domain.errors import Refused
from service.domain.facts import Fact, FactKey, ListedCommit
from service.domain.model import App, AppState, Stage
from service.store import apps, facts, pipelines, releases
from service.store.sight import to_app
from service.web import rights
from service.web.api import answers, shapes
from service.web.api.finding import Asked, app_in_path, find_app
from service.web.keys import CALLER, CONTEXT, WebContext

PATIENCE: Final = 5.0
"""How many seconds a client waits for commits to be compared before it is told to ask again."""
_LOOK_SECONDS: Final = 0.05
_ERRORS_LAST: Final = timedelta(minutes=1)
_SECRET: Final = {Permission.DEPLOY, Permission.OPERATE}

Known = Mapping[FactKey, Fact[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The app that is asked about and one downstream of it; the keys only for whoever may read them in both."""

    source: Running
    target: Running
    stage: Stage
    keys: KeysApart | None


def _pairs(conn: Connection, context: WebContext, asked: Asked, *, with_keys: bool) -> list[Pair]:
    app = find_app(conn, asked)
    coupling = pipelines.coupling_of(conn, app.id)
    if coupling is None:
        raise Refused(f"App {app.name} is in no pipeline: nothing is downstream of it.")
    stage = promotion.downstream(coupling.stage)
    if stage is None:
        raise Refused(f"Nothing is downstream of {app.name}: it is in the '{coupling.stage.value}' stage.")
    source = _running(conn, app)

    def keys(target: App) -> KeysApart | None:
        if not with_keys or not all(_SECRET & to_app(asked.by, each) for each in (app, target)):
            return None
        return downstream.keys_apart(*(apps.config(conn, context.vault, each.id) for each in (app, target)))

    return [
        Pair(source=source, target=_running(conn, each), stage=stage, keys=keys(each))
        for each, its_stage in pipelines.members(conn, coupling.pipeline_id)
        if its_stage is stage and each.state is not AppState.DESTROYING and Permission.VIEW in to_app(asked.by, each)
    ]


def _running(conn: Connection, app: App) -> Running:
    found = releases.get(conn, app.current_release_id) if app.current_release_id else None
    return Running(app=app, release=found)


async def _compared(context: WebContext, wanted: Collection[FactKey], *, actor: str) -> Known:
    """What is known of the facts; what is not is looked up by a worker, and waited for a while."""
    before = await _read(context, wanted)
    believed = context.db.now() - _ERRORS_LAST
    lacking = [key for key in wanted if _is_lacking(before.get(key), believed)]
    if not lacking:
        return before
    await context.enactor.look_up(lacking, actor=actor)
    clock = asyncio.get_running_loop().time
    until = clock() + PATIENCE
    while clock() < until:
        known = await _read(context, wanted)
        if all(_told(known.get(key)) not in {None, _told(before.get(key))} for key in lacking):
            return known
        await asyncio.sleep(_LOOK_SECONDS)
    return await _read(context, wanted)


def _is_lacking(fact: Fact[Any] | None, believed: datetime) -> bool:
    """Whether it is to be looked up: commits do not change, but what was in the way may be gone."""
    if fact is None or fact.value is not None:
        return fact is None
    return not fact.error or fact.looked_at is None or fact.looked_at < believed


def _told(fact: Fact[Any] | None) -> tuple[str, datetime | None] | None:
    """What a look has brought, to tell one answer from another; None while there is none."""
    if fact is None or (fact.value is None and not fact.error):
        return None
    return fact.error, fact.looked_at


async def _read(context: WebContext, wanted: Collection[FactKey]) -> Known:
    return await context.db.read(lambda conn: facts.load_all(conn, list(wanted)))


async def listing(request: web.Request) -> web.Response:
    """GET /apps/APP/pipeline-diffs: one for each app of the next stage that one sees."""
    context, asked, caller = request.app[CONTEXT], app_in_path(request), request[CALLER]
    with_keys = token_may(caller.token.scopes, Act.READ_PROTECTED)
    pairs = await context.db.read(lambda conn: _pairs(conn, context, asked, with_keys=with_keys))
    questions = {downstream.question(each.source, each.target) for each in pairs} - {None}
    known = await _compared(context, [key for key in questions if key is not None], actor=caller.actor)

    def shape(pair: Pair) -> shapes.Json:
        key = downstream.question(pair.source, pair.target)
        return _shape(pair, downstream.differ(pair.source, pair.target, known.get(key) if key else None))

    return answers.answer_list(request, pairs, shape, name=lambda it: it.target.app.name)


def _shape(pair: Pair, difference: Difference) -> shapes.Json:
    apart = difference.apart
    return {
        **_shown(pair.target),
        "stage": pair.stage.value,
        "source": _shown(pair.source),
        "relation": difference.relation.value,
        "reason": difference.reason or None,
        "ahead_by": apart.ahead if apart else None,
        "behind_by": apart.behind if apart else None,
        "commits": [_commit(each) for each in apart.ahead_commits] if apart else [],
        "behind_commits": [_commit(each) for each in apart.behind_commits] if apart else [],
        "config_vars": None
        if pair.keys is None
        else {
            "missing": list(pair.keys.missing),
            "extra": list(pair.keys.extra),
            "different": list(pair.keys.different),
        },
    }


def _shown(it: Running) -> shapes.Json:
    return {
        "app": {"id": it.app.id, "name": it.app.name},
        "release": None if it.release is None else {"id": it.release.id, "version": it.release.version},
        "commit": None if it.release is None else it.release.commit,
    }


def _commit(it: ListedCommit) -> shapes.Json:
    return {"sha": it.sha, "author": it.author, "date": shapes.moment(it.at), "message": it.subject}


ROUTES = [rights.get("/apps/{app}/pipeline-diffs", listing, rights.app())]
