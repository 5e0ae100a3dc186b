"""The config vars that a build sees: those that are named for it, as the app that it is for has them."""

from collections.abc import Mapping

from service.domain import build_config
from service.domain.manifest import Manifest
from service.domain.model import Trust
from service.enact import Transaction, app_or_refuse
from service.store import apps, build_configs, reviews
from service.store.logs import LogSink
from service.store.requests import TakenWork
from workers.context import Context
from workers.jobs import fenced
from workers.jobs.release import first_config


async def seen_by_build(
    context: Context, taken: TakenWork, manifest: Manifest, trust: Trust, sink: LogSink
) -> Mapping[str, str]:
    """The values as they are now, kept out of the log from here on; a review app gets its config at this point."""
    names = await context.db.read(lambda conn: build_configs.of_app(conn, taken.request.app_id))
    if not names:
        return {}

    def read(tx: Transaction) -> Mapping[str, str]:
        app = app_or_refuse(tx.conn, taken.request.app_id)
        review = reviews.of_app(tx.conn, app.id) if app.is_review else None
        return first_config(tx, app, review, manifest, trust) if review else apps.config(tx.conn, tx.vault, app.id)

    seen = build_config.seen(names, await fenced.commit(context, taken, read))
    sink.hide(seen.values())
    if seen:
        await sink.write(f"-----> The build sees these config vars: {', '.join(seen)}\n")
    for name in names:
        if name not in seen:
            await sink.write(f" !     {name} is named for builds, but the app has no such config var\n")
    return seen
