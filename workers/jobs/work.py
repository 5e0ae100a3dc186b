"""Work the apps' queues, each in order, under the app's lease.

A request that is running when its worker dies is taken over by another after the lease: every step below looks at what
is there before it acts, so that it may be begun twice. A worker that lost its lease, or whose request was cancelled,
stops at its next step and leaves everything to its successor.
"""

import asyncio
from datetime import timedelta
from typing import assert_never

import structlog

from service.domain.decisions import (
    ChangeConfig,
    Deploy,
    DeployArchive,
    Destroy,
    ReleaseSlug,
    Restart,
    Rollback,
    Scale,
    Suspend,
)
from service.domain.errors import Refused, Transient
from service.github.app_auth import Stranger
from service.store import generations, requests
from service.store.requests import TakenWork
from workers.context import Context
from workers.jobs import archives, deploy, destroy, fenced, release, restart, settle
from workers.jobs.release import NotItsTurn
from workers.jobs.together import PAUSE, Waits
from workers.platforms.base import Fenced, Unhealthy

log = structlog.get_logger()

LONGEST_REST = 60.0
MAX_ATTEMPTS = 40
"""Half an hour: GitHub or the runner may be away for as long, and nothing but other builds waits for it.

A key or a clock that is wrong is waited out for as long as a request may run: it is known who can put it right.
"""


class Stopped(Exception):
    """The lease is lost or the request was cancelled: somebody else's business from here on."""


async def work(context: Context, app_id: str) -> None:
    """Do one request after the other, each of the app that is most urgent then, whichever was rung for.

    Until nothing is ready: who rang while every place was taken is not rung for again.
    """
    log.debug("rung", app=app_id)
    while (taken := await _take(context)) is not None:
        await _one(context, taken)


async def _take(context: Context) -> TakenWork | None:
    return await context.db.write(
        lambda conn: requests.take(conn, terms=context.terms, now=context.db.now(), cap=context.work_cap)
    )


async def _give_back(context: Context, taken: TakenWork, *, seconds: float | None = None, counted: bool = True) -> None:
    retry_at = None if seconds is None else context.db.now() + timedelta(seconds=seconds)
    await context.db.write(
        lambda conn: requests.give_back(
            conn,
            app_id=taken.request.app_id,
            token=taken.token,
            holder=context.terms.holder,
            retry_at=retry_at,
            counted=counted,
        )
    )


async def _one(context: Context, taken: TakenWork) -> None:
    """Do one request and give its app back."""
    with structlog.contextvars.bound_contextvars(app=taken.request.app_id, request=taken.request.id):
        rest: float | None = None
        counted = True
        try:
            rest = await _attempt(context, taken)
        except Stopped:
            log.info("work left to its successor", kind=taken.request.kind)
            await deploy.clear_away(context, taken)
        except Waits as others:
            log.info("work waits for other targets of its promotion", kind=taken.request.kind, apps=str(others))
            rest, counted = PAUSE, False
        except NotItsTurn:
            log.info("work goes on behind numbers that were given meanwhile", kind=taken.request.kind)
        except Fenced as overtaken:
            log.info("work left to its successor", kind=taken.request.kind, fenced=str(overtaken))
            await deploy.clear_away(context, taken)
            await context.db.write(lambda conn: generations.catch_up(conn, taken))
            rest = 1.0
        except asyncio.CancelledError:
            await asyncio.shield(_give_back(context, taken))
            raise
        await _give_back(context, taken, seconds=rest, counted=counted)


async def _attempt(context: Context, taken: TakenWork) -> float | None:
    """Bring the request to a final state (None), or say how many seconds it rests before the next attempt."""
    try:
        await _under_lease(context, taken)
    except (Stopped, Fenced, NotItsTurn, Waits):
        raise
    except (Refused, Unhealthy) as error:
        return await _failed(context, taken, str(error))
    except Transient as error:
        if taken.attempts + 1 >= MAX_ATTEMPTS and not isinstance(error, Stranger):
            return await _failed(context, taken, f"given up after {MAX_ATTEMPTS} attempts: {error.message}")
        return await _rest(context, taken, error.message, at_least=error.retry_after or 0.0)
    except Exception:  # the one place where a bug ends: logged whole, shown as "internal error"
        log.exception("work failed", kind=taken.request.kind)
        return await _failed(context, taken, "internal error")
    return None


async def _failed(context: Context, taken: TakenWork, cause: str) -> float | None:
    """End the request. A destroy is never given up: what is to go must not be left behind.

    Nor is a suspension at once: nobody reads that it failed, and its plan would only ask for it again.
    """
    patient = isinstance(taken.work, Suspend) and taken.attempts + 1 < MAX_ATTEMPTS
    if patient or isinstance(taken.work, Destroy):
        return await _rest(context, taken, cause)
    await settle.failed(context, taken, cause)
    return None


async def _rest(context: Context, taken: TakenWork, cause: str, *, at_least: float = 0.0) -> float:
    wait = max(at_least, min(2.0 ** min(taken.attempts, 8), LONGEST_REST))
    await fenced.commit(context, taken, lambda tx: requests.set_trouble(tx.conn, taken.request.id, cause=cause))
    log.warning("work is tried again", kind=taken.request.kind, error=cause, retry_seconds=wait)
    return wait


async def _under_lease(context: Context, taken: TakenWork) -> None:
    """Run the request while the lease is renewed beside it; raises `Stopped` when it is lost."""
    job = asyncio.ensure_future(_do(context, taken))
    heartbeat = asyncio.ensure_future(_heartbeat(context, taken))
    try:
        await asyncio.wait((job, heartbeat), return_when=asyncio.FIRST_COMPLETED)
        if not job.done():
            raise Stopped
        await job
    finally:
        for task in (job, heartbeat):
            task.cancel()
        await asyncio.gather(job, heartbeat, return_exceptions=True)


async def _heartbeat(context: Context, taken: TakenWork) -> None:
    """Renew until the lease is lost; returns then. A database that is away for a moment is not yet a lost lease."""
    clock = asyncio.get_running_loop().time
    lost_at = clock() + context.terms.seconds
    while clock() < lost_at:
        await asyncio.sleep(context.terms.seconds / 4)
        begun = clock()
        try:
            async with asyncio.timeout_at(lost_at):  # a database that hangs does not say so
                if not await context.db.write(lambda conn: requests.renew(conn, taken=taken, terms=context.terms)):
                    return
            lost_at = begun + context.terms.seconds
        except (Transient, TimeoutError) as error:
            log.warning("lease not renewed yet", error=str(error) or "the database does not answer")


async def _do(context: Context, taken: TakenWork) -> None:
    log.info("work started", kind=taken.request.kind, attempt=taken.attempts + 1)
    match taken.work:
        case Deploy():
            await deploy.deploy(context, taken, taken.work)
        case DeployArchive():
            await archives.deploy_archive(context, taken, taken.work)
        case ReleaseSlug() | ChangeConfig() | Rollback():
            await release.release(context, taken)
        case Restart(process=process) if process:
            await restart.restart_some(context, taken, process)
        case Scale() | Restart() | Suspend():
            await release.reshape(context, taken)
        case Destroy():
            await destroy.destroy(context, taken, taken.work)
        case _:
            assert_never(taken.work)
    log.info("work done", kind=taken.request.kind)
