"""The web process: receives webhooks, answers the API. Listens on a unix socket; the router passes requests on."""

import asyncio
import sys

import structlog
import uvloop
from aiohttp import web

from service import ending
from service import log as logging
from service.attachments import Attachments
from service.domain.errors import Refused
from service.enactor import Enactor
from service.github.client import GitHub
from service.github.looks import Looks
from service.github.transport import Transport, new_session
from service.identity import Identity
from service.live import LiveLogs
from service.queue import Queue
from service.settings import BadSetting, Settings, from_environment
from service.store.deliveries import Inbox
from service.store.opening import open_store
from service.web.app import build_runner
from service.web.keys import WebContext
from service.web.lookup import GitHubLookup

log = structlog.get_logger()


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM."""
    db, vault = await open_store(settings)
    queue = Queue(settings.redis)
    live = LiveLogs(redis_url=settings.redis, queue=queue)
    inbox = await Inbox.open(settings.sqlalchemy_url)
    async with new_session() as session:
        transport = Transport(session=session, api_url=settings.github_api_url)
        identity = Identity(settings=settings, transport=transport, db=db, vault=vault)
        await identity.refresh()
        if not identity.webhook_secrets:
            raise Refused("TOWPATH_GITHUB_WEBHOOK_SECRET is not set: without it anybody could send events.")
        following = asyncio.create_task(identity.follow())
        github = GitHub(transport=transport, credentials=identity)
        context = WebContext(
            settings=settings,
            db=db,
            vault=vault,
            identity=identity,
            enactor=Enactor(db=db, vault=vault, queue=queue),
            lookup=GitHubLookup(github=github, looks=Looks(github=github, now=db.now)),
            inbox=inbox,
            queue=queue,
            app_logs=live.read,
            attachments=Attachments(redis_url=settings.redis, queue=queue, seconds=settings.lease_seconds),
        )
        runner = build_runner(context)
        await runner.setup()
        settings.services_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings.web_socket.unlink(missing_ok=True)
        await web.UnixSite(runner, str(settings.web_socket)).start()
        log.info("web is ready")
        await _until_told()
        await runner.cleanup()
        following.cancel()
    await inbox.close()
    await live.close()
    await queue.close()
    await db.close()


async def _until_told() -> None:
    stop = asyncio.Event()
    ending.when_told(stop.set)
    await stop.wait()


def main() -> int:
    """Run the process."""
    try:
        settings = from_environment()
        logging.configure(settings.log_format)
        # Threads that talk to the database give the interpreter away at every call, and wait so long to get it back.
        sys.setswitchinterval(0.0005)
        uvloop.run(serve(settings))
    except (Refused, BadSetting) as error:
        print(str(error), file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
