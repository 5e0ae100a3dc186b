"""What a transaction changed becomes events and deliveries of those who listen, in the same transaction.

Where nothing changed that anybody could hear of, this costs nothing; where nobody listens, one look by an index.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, RowMapping, Table, select

from service.domain.decisions import DeployArchive
from service.domain.happenings import Asked, Change, Engine, Happening, Known, Thing, happenings
from service.domain.model import App, AppState, Build, Promotion, PromotionTarget, Release, ReviewApp
from service.domain.webhooks import EventId, OutboundState
from service.store import rows, spaces, webhooks
from service.store.apps import as_app
from service.store.builds import as_slug
from service.store.database import new_id
from service.store.promotions import as_promotion, targets_of
from service.store.releases import as_release
from service.store.tables import apps, pipelines, promotions, releases, requests, slugs, teams, users
from service.store.tables import webhook_deliveries as deliveries
from service.store.tables import webhook_events as events
from service.store.tables import webhooks as webhook_rows
from service.store.webhooks import Listener

SYSTEM: Final = "towpath"


def tell(conn: Connection, changes: Sequence[Change], *, actor: str, now: datetime) -> list[str]:
    """Put down what those who listen are to hear of; returns the ids of the webhooks that have something to hear.

    What was done by the system is told as done by whoever asked for it, where that is known.
    """
    if not changes:
        return []
    promoted = _promotions(conn, changes)
    pipeline_ids = {each.after.pipeline_id for each in changes if isinstance(each.after, ReviewApp)}
    pipeline_ids |= {each.pipeline_id for each in promoted.values()}
    left = {it.after.id: it.left for it in changes if isinstance(it.after, App) and it.left is not None}
    listening = webhooks.listening(conn, app_ids=_apps_of(changes), pipeline_ids=pipeline_ids, left=left)
    if not listening:
        return []
    gone = [it.after.id for it in changes if isinstance(it.after, App) and it.after.state is AppState.GONE]
    if gone:
        webhooks.stop(conn, webhook_rows.c.app_id.in_(gone), reason=webhooks.APP_GONE, now=now)
    known, woken = _known(conn, changes, promoted), set()
    for change in changes:
        for happening in happenings(change, known):
            hearing = [each for each in listening if _hears(each, happening)]
            if hearing:
                _put_down(conn, happening, hearing, actor=actor, now=now)
                woken |= {each.id for each in hearing}
    webhooks.wake(conn, woken, now=now)
    return sorted(woken)


def _hears(listener: Listener, it: Happening) -> bool:
    same = listener.app_id == it.app_id if it.app_id is not None else listener.pipeline_id == it.pipeline_id
    return same and it.include in listener.include


def _put_down(conn: Connection, it: Happening, hearing: Collection[Listener], *, actor: str, now: datetime) -> None:
    values = {
        "id": EventId(new_id()),
        "app_id": it.app_id,
        # An app's event is also its pipeline's where a webhook of that hears it.
        "pipeline_id": it.pipeline_id or next((each.pipeline_id for each in hearing if each.pipeline_id), None),
        "include": it.include,
        "action": it.action,
        "actor": (it.actor or actor) if actor == SYSTEM else actor,
        "data": rows.to_json(it.data),
        "previous": rows.to_json(it.previous),
        "created_at": now,
    }
    seq = conn.execute(events.insert().values(values).returning(events.c.seq)).scalar_one()
    made = [
        {
            "id": new_id(),
            "webhook_id": each,
            "event_seq": seq,
            "state": OutboundState.PENDING,
            "since": now,
            "next_attempt_at": now,
            "created_at": now,
            "updated_at": now,
        }
        for each in sorted({each.id for each in hearing})
    ]
    conn.execute(deliveries.insert(), made)


def _apps_of(changes: Iterable[Change]) -> set[str]:
    """The apps that something happened to."""
    found: set[str] = set()
    for each in changes:
        match each.after:
            case App(id=app_id) | Build(app_id=app_id) | Release(app_id=app_id) | Engine(app=App(id=app_id)):
                found.add(app_id)
            case _:
                pass
    return found


def _promotions(conn: Connection, changes: Iterable[Change]) -> dict[str, Promotion]:
    """The promotions that something happened to, by id."""
    made = {each.after.id: each.after for each in changes if isinstance(each.after, Promotion)}
    found = {each.after.promotion_id for each in changes if isinstance(each.after, PromotionTarget)}
    query = select(promotions).where(promotions.c.id.in_(found - made.keys()))
    read = [as_promotion(row) for row in conn.execute(query).mappings()] if found - made.keys() else []
    return {str(each.id): each for each in [*made.values(), *read]}


def _known(conn: Connection, changes: Sequence[Change], promoted: dict[str, Promotion]) -> Known:
    """Read what is told beside the changed things: a few look-ups by ids, and only when somebody listens."""
    targets = targets_of(conn, promoted)
    reviews = [each.after for each in changes if isinstance(each.after, ReviewApp)]
    app_ids = {
        *_apps_of(changes),
        *(each.app_id for of_one in targets.values() for each in of_one),
        *(each.source_app_id for each in promoted.values()),
        *(each.app_id for each in reviews if each.app_id),
    }
    shown = {str(app.id): app for app in map(as_app, _rows(conn, apps, app_ids))}
    current = {str(it.id): it for it in map(as_release, _rows(conn, releases, _running(changes)))}
    slug_ids = {it.slug_id for it in current.values() if it.slug_id} | _built(changes)
    pipeline_ids = {each.pipeline_id for each in promoted.values()} | {each.pipeline_id for each in reviews}
    owners = {app.owner_id for app in shown.values() if app.owner_id}
    named = {row["id"]: row["name"] for row in _rows(conn, teams, owners)}
    return Known(
        apps=shown,
        spaces={str(space.id): space for space in spaces.listing(conn)},
        current=current,
        slugs={str(slug.id): slug for slug in map(as_slug, _rows(conn, slugs, slug_ids))},
        pipelines={row["id"]: row["name"] for row in _rows(conn, pipelines, pipeline_ids)},
        owners={row["id"]: row["email"] for row in _rows(conn, users, owners)},
        teams=named,
        asked=_asked(conn, {each.after.request_id for each in changes if isinstance(each.after, Build)}),
        promotions=promoted,
        targets=targets,
    )


def _running(changes: Iterable[Change]) -> set[str]:
    """The releases that the apps run whose own data are told, before and after."""
    found: set[str] = set()
    for each in _things(changes):
        match each:
            case App(current_release_id=release_id) | Engine(app=App(current_release_id=release_id)) if release_id:
                found.add(release_id)
            case _:
                pass
    return found


def _built(changes: Iterable[Change]) -> set[str]:
    """The slugs of builds and releases, before and after."""
    found: set[str] = set()
    for each in _things(changes):
        match each:
            case Build(slug_id=slug_id) | Release(slug_id=slug_id) if slug_id:
                found.add(slug_id)
            case _:
                pass
    return found


def _things(changes: Iterable[Change]) -> Iterator[Thing]:
    for each in changes:
        yield from filter(None, (each.before, each.after))


def _asked(conn: Connection, request_ids: Collection[str]) -> dict[str, Asked]:
    its = requests.c
    asked = (its.id, its.actor, its.reason, its.created_at, its.kind, its.work)
    query = (
        select(*asked, releases.c.id.label("release_id"), releases.c.version)
        .outerjoin(releases, releases.c.request_id == requests.c.id)
        .where(requests.c.id.in_(request_ids))
    )
    found = conn.execute(query) if request_ids else ()
    return {
        row.id: Asked(
            actor=row.actor,
            reason=row.reason,
            created_at=row.created_at,
            archive=rows.from_json(row.work, DeployArchive) if row.kind == DeployArchive.__name__ else None,
            release_id=row.release_id,
            version=row.version,
        )
        for row in found
    }


def _rows(conn: Connection, table: Table, ids: Collection[str]) -> Sequence[RowMapping]:
    return conn.execute(select(table).where(table.c.id.in_(ids))).mappings().all() if ids else ()
