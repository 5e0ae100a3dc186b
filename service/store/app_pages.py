"""What the dashboard's pages of one app show beside it, in a number of statements that does not grow."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, select

from service.domain.decisions import Scale
from service.domain.model import App, QueuedRequest, Release, RequestState, Sha, Stage
from service.store.releases import as_release
from service.store.requests import OPEN, as_request
from service.store.rows import from_json
from service.store.tables import apps, builds, couplings, log_chunks, log_streams, pipelines, releases, requests, slugs

_FIRST_CHUNKS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an app stands: what its engine was last seen to do, what it runs, and in which pipeline.

    `queue` is what is asked of it, each with the step it has come to. An app that is in no pipeline has no stage.
    """

    engine_state: str
    release: Release | None
    pipeline_id: str
    pipeline_name: str
    stage: Stage | None
    queue: tuple[tuple[QueuedRequest, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """Something that was asked of an app, by whom and why, and what became of it.

    `formation` is how many of each process type were asked for, if that was it. `release` is the one that it led to;
    `speaks` is whether that one has a release phase whose output can be read.
    """

    id: str
    seq: int
    kind: str
    state: RequestState
    step: str
    reason: str
    outcome: str
    actor: str
    sha: Sha | None
    at: datetime
    has_build: bool
    reused: bool
    formation: Mapping[str, int]
    release: Release | None
    speaks: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The end of a stream of output; `last` is the number of its last chunk, and `cut` says that it began before."""

    text: str
    last: int
    cut: bool
    closed: bool


def place(conn: Connection, app: App) -> Place:
    """Read where an app stands."""
    query = (
        select(apps.c.engine_state, couplings.c.stage, pipelines.c.id, pipelines.c.name)
        .outerjoin(couplings, couplings.c.app_id == apps.c.id)
        .outerjoin(pipelines, pipelines.c.id == couplings.c.pipeline_id)
        .where(apps.c.id == app.id)
    )
    row = conn.execute(query).one()
    serving = conn.execute(select(releases).where(releases.c.id == (app.current_release_id or ""))).mappings().first()
    waiting = select(requests).where(requests.c.app_id == app.id, requests.c.state.in_(OPEN)).order_by(requests.c.seq)
    return Place(
        engine_state=row.engine_state,
        release=as_release(serving) if serving else None,
        pipeline_id=row.id or "",
        pipeline_name=row.name or "",
        stage=Stage(row.stage) if row.stage else None,
        queue=tuple((as_request(each), each.step) for each in conn.execute(waiting)),
    )


def happened(conn: Connection, app_id: str, *, before: int | None, most: int) -> list[Happened]:
    """What was asked of an app last, newest first, or what came before the one of that number in its queue."""
    query = (
        select(requests, builds.c.id.label("build_id"), builds.c.reused)
        .outerjoin(builds, builds.c.request_id == requests.c.id)
        .where(requests.c.app_id == app_id)
        .order_by(requests.c.seq.desc())
        .limit(most)
    )
    if before is not None:
        query = query.where(requests.c.seq < before)
    rows = conn.execute(query).all()
    released = (
        select(releases, slugs.c.process_types)
        .outerjoin(slugs, slugs.c.id == releases.c.slug_id)
        .where(releases.c.request_id.in_([row.id for row in rows]))
    )
    found = {row["request_id"]: row for row in conn.execute(released).mappings()}
    of = {id_: as_release(row) for id_, row in found.items()}
    spoken = {id_: "release" in from_json(row["process_types"] or "{}", dict[str, str]) for id_, row in found.items()}
    return [
        Happened(
            id=row.id,
            seq=row.seq,
            kind=row.kind,
            state=RequestState(row.state),
            step=row.step,
            reason=row.reason,
            outcome=row.outcome,
            actor=row.actor,
            sha=row.sha,
            at=row.created_at,
            has_build=row.build_id is not None,
            reused=bool(row.reused),
            formation=from_json(row.work, Scale).formation if row.kind == Scale.__name__ else {},
            release=of.get(row.id),
            speaks=spoken.get(row.id, False),
        )
        for row in rows
    ]


def request_of(conn: Connection, app_id: str, build_id: str) -> Happened | None:
    """One of an app's builds, by its own id or that of the request for it."""
    own = select(builds.c.request_id).where(builds.c.id == build_id)
    query = select(requests.c.seq).where(
        requests.c.app_id == app_id, (requests.c.id == build_id) | requests.c.id.in_(own)
    )
    seq = conn.execute(query).scalar()
    return None if seq is None else happened(conn, app_id, before=seq + 1, most=1)[0]


def end_of_log(conn: Connection, log_id: str, most: int) -> Part:
    """The last chunks of a stream, as many as hold `most` characters.

    They are read from the end on, a few and then four times as many: how long the stream is does not matter.
    """
    found, size, limit = list[tuple[int, str]](), 0, _FIRST_CHUNKS
    newest = select(log_chunks.c.seq, log_chunks.c.text).where(log_chunks.c.log_id == log_id)
    newest = newest.order_by(log_chunks.c.seq.desc())
    while size < most:
        before = newest.where(log_chunks.c.seq < found[-1][0]) if found else newest
        read = conn.execute(before.limit(limit)).all()
        for seq, text in read:
            if size < most:
                found.append((seq, text))
                size += len(text)
        if len(read) < limit:
            break
        limit *= 4
    closed = conn.execute(select(log_streams.c.closed).where(log_streams.c.log_id == log_id)).scalar()
    return Part(
        text="".join(text for _, text in reversed(found)),
        last=found[0][0] if found else 0,
        cut=bool(found) and found[-1][0] > 1,
        closed=closed is None or closed,
    )
