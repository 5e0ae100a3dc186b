"""Pipelines, the apps coupled to them, and the config of their stages."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict, Unpack

from sqlalchemy import Connection, RowMapping, Select, or_, select

from service.domain.errors import Refused
from service.domain.model import (
    App,
    AppState,
    Coupling,
    CouplingId,
    Pipeline,
    PipelineId,
    RepositoryId,
    ReviewState,
    Stage,
    Toggles,
    UserId,
)
from service.domain.names import check_name
from service.store import rows, tables
from service.store.apps import as_app
from service.store.database import new_id
from service.store.secrets import Vault
from service.store.tables import (
    apps,
    names,
    pipeline_config,
    pipelines,
    promotion_targets,
    promotions,
    review_apps,
)


class PipelineChange(TypedDict, total=False):
    """What `update` can change."""

    name: str
    owner_id: str | None
    owner_type: str | None
    repository_id: RepositoryId | None
    root_directory: str
    toggles: Toggles
    connected_by: UserId | None
    right_lost: str


def create(conn: Connection, *, name: str, owner_id: str | None, owner_type: str | None, now: datetime) -> Pipeline:
    """Make an empty pipeline; names need not be unique."""
    values = {
        "id": new_id(),
        "name": name,
        "owner_id": owner_id,
        "owner_type": owner_type,
        "created_at": now,
        "updated_at": now,
    }
    return as_pipeline(conn.execute(pipelines.insert().values(values).returning(pipelines)).mappings().one())


def get(conn: Connection, pipeline_id: str) -> Pipeline | None:
    """One pipeline."""
    row = rows.one(conn, select(pipelines).where(pipelines.c.id == pipeline_id))
    return as_pipeline(row) if row else None


def find(conn: Connection, id_or_name: str) -> list[Pipeline]:
    """Every pipeline of that id or name, oldest first."""
    same = or_(pipelines.c.id == id_or_name, pipelines.c.name == id_or_name)
    found = conn.execute(select(pipelines).where(same).order_by(pipelines.c.created_at, pipelines.c.id))
    return [as_pipeline(row) for row in found.mappings()]


def listing(conn: Connection) -> list[Pipeline]:
    """All pipelines by name."""
    found = conn.execute(select(pipelines).order_by(pipelines.c.name, pipelines.c.created_at))
    return [as_pipeline(row) for row in found.mappings()]


def of_repository(conn: Connection, repository_id: int) -> list[Pipeline]:
    """The pipelines whose source is this repository; a monorepo has one for each component."""
    query = select(pipelines).where(pipelines.c.repository_id == repository_id)
    query = query.order_by(pipelines.c.created_at, pipelines.c.id)
    return [as_pipeline(row) for row in conn.execute(query).mappings()]


def update(conn: Connection, *, pipeline: Pipeline, now: datetime, **change: Unpack[PipelineChange]) -> Pipeline:
    """Change some of it; raises `Conflict` when the pipeline has changed since it was read."""
    values: dict[str, Any] = dict(change)
    if "toggles" in change:
        values["toggles"] = rows.to_json(change["toggles"])
    name, source = change.get("name", pipeline.name), change.get("repository_id", pipeline.repository_id)
    if source is not None and (name, source) != (pipeline.name, pipeline.repository_id):
        values["check_name"] = _check_name(conn, pipeline, name, source)
    return as_pipeline(
        rows.compare_and_set(conn, pipelines, key=pipeline.id, version=pipeline.version, now=now, values=values)
    )


def _check_name(conn: Connection, pipeline: Pipeline, name: str, repository_id: RepositoryId) -> str:
    """One that no other pipeline of the repository has; writers take turns, so that it stays so.

    Who comes back to a repository gets the former one. The reader of a row without one takes the name for it.
    """
    taken = {each.check_name for each in of_repository(conn, repository_id) if each.id != pipeline.id}
    former = pipeline.check_name if pipeline.repository_id is None else ""
    return check_name(pipeline_id=pipeline.id, name=name, taken=taken, former=former)


def delete(conn: Connection, pipeline_id: str) -> None:
    """Take the pipeline away; its apps stay, uncoupled. Refused while it has review apps."""
    over = (ReviewState.DESTROYED, ReviewState.SKIPPED, ReviewState.WAITING)
    own = review_apps.c.pipeline_id == pipeline_id
    if rows.one(conn, select(review_apps.c.id).where(own, review_apps.c.state.not_in(over))):
        raise Refused("The pipeline still has review apps: destroy them first")
    past = select(promotions.c.id).where(promotions.c.pipeline_id == pipeline_id)
    conn.execute(promotion_targets.delete().where(promotion_targets.c.promotion_id.in_(past)))
    conn.execute(promotions.delete().where(promotions.c.pipeline_id == pipeline_id))
    conn.execute(review_apps.delete().where(own))
    conn.execute(names.update().where(names.c.pipeline_id == pipeline_id).values(pipeline_id=None))
    conn.execute(pipelines.delete().where(pipelines.c.id == pipeline_id))


def couple(conn: Connection, *, app_id: str, pipeline_id: str, stage: Stage, now: datetime) -> Coupling:
    """Put the app into a stage; refuses an app that is in a pipeline already."""
    query = (
        select(tables.couplings.c.stage, pipelines.c.name.label("pipeline"), apps.c.name.label("app"))
        .join(pipelines, pipelines.c.id == tables.couplings.c.pipeline_id)
        .join(apps, apps.c.id == tables.couplings.c.app_id)
        .where(tables.couplings.c.app_id == app_id)
    )
    other = rows.one(conn, query)
    if other:
        raise Refused(f"App {other['app']} is already in pipeline {other['pipeline']} ({other['stage']})")
    values = {
        "id": new_id(),
        "app_id": app_id,
        "pipeline_id": pipeline_id,
        "stage": stage,
        "created_at": now,
        "updated_at": now,
    }
    conn.execute(names.update().where(names.c.app_id == app_id).values(pipeline_id=pipeline_id))
    return as_coupling(
        conn.execute(tables.couplings.insert().values(values).returning(tables.couplings)).mappings().one()
    )


def coupling(conn: Connection, coupling_id: str) -> Coupling | None:
    """One coupling."""
    row = rows.one(conn, select(tables.couplings).where(tables.couplings.c.id == coupling_id))
    return as_coupling(row) if row else None


def coupling_of(conn: Connection, app_id: str) -> Coupling | None:
    """Where the app stands, if it is in a pipeline."""
    row = rows.one(conn, select(tables.couplings).where(tables.couplings.c.app_id == app_id))
    return as_coupling(row) if row else None


def of_app(conn: Connection, app_id: str) -> Pipeline | None:
    """The pipeline that an app is in."""
    found = coupling_of(conn, app_id)
    return get(conn, found.pipeline_id) if found else None


def toggles_of(conn: Connection, app_id: str) -> Toggles:
    """The switches that hold for an app: its pipeline's, or the defaults when it is in none."""
    pipeline = of_app(conn, app_id)
    return pipeline.toggles if pipeline else Toggles()


def all_couplings(conn: Connection) -> list[Coupling]:
    """Every coupling, oldest first."""
    found = conn.execute(select(tables.couplings).order_by(tables.couplings.c.created_at, tables.couplings.c.id))
    return [as_coupling(row) for row in found.mappings()]


def couplings(conn: Connection, pipeline_id: str) -> list[Coupling]:
    """The pipeline's couplings, oldest first."""
    query = select(tables.couplings).where(tables.couplings.c.pipeline_id == pipeline_id)
    found = conn.execute(query.order_by(tables.couplings.c.created_at, tables.couplings.c.id))
    return [as_coupling(row) for row in found.mappings()]


def members(conn: Connection, pipeline_id: str) -> list[tuple[App, Stage]]:
    """The pipeline's apps that are not gone with their stages, by name, in one statement."""
    query = (
        select(apps, tables.couplings.c.stage)
        .join(tables.couplings, tables.couplings.c.app_id == apps.c.id)
        .where(tables.couplings.c.pipeline_id == pipeline_id, apps.c.state != AppState.GONE)
        .order_by(apps.c.name)
    )
    return [(as_app(row), Stage(row["stage"])) for row in conn.execute(query).mappings()]


def move(conn: Connection, *, coupling: Coupling, stage: Stage, now: datetime) -> Coupling:
    """Put the app into another stage of its pipeline."""
    change = tables.couplings.update().where(tables.couplings.c.id == coupling.id).values(stage=stage, updated_at=now)
    row = conn.execute(change.returning(tables.couplings)).mappings().first()
    if row is None:
        raise Refused("The app is no longer in the pipeline")
    return as_coupling(row)


def uncouple(conn: Connection, coupling_id: str) -> None:
    """Take the app out of its pipeline; its name is no longer the pipeline's."""
    removed = tables.couplings.delete().where(tables.couplings.c.id == coupling_id).returning(tables.couplings.c.app_id)
    app_id = conn.execute(removed).scalar()
    conn.execute(names.update().where(names.c.app_id == app_id).values(pipeline_id=None))


def auto_deploys(conn: Connection, *, repository_id: int, branch: str | None) -> list[App]:
    """The active apps that follow a branch of the repository, or any of its branches."""
    query = _following().where(apps.c.repository_id == repository_id)
    if branch is not None:
        query = query.where(apps.c.auto_deploy_branch == branch)
    return [as_app(row) for row in conn.execute(query).mappings()]


def all_auto_deploys(conn: Connection) -> list[App]:
    """The active apps that follow a branch of whatever repository."""
    return [as_app(row) for row in conn.execute(_following()).mappings()]


def following_default(conn: Connection, repository_id: int) -> list[App]:
    """The apps that follow the repository's default branch whichever that is, also while automatic deploys are off."""
    own = (apps.c.repository_id == repository_id, apps.c.follows_default, apps.c.state != AppState.GONE)
    return [as_app(row) for row in conn.execute(select(apps).where(*own).order_by(apps.c.name)).mappings()]


def _following() -> Select[Any]:
    return select(apps).where(apps.c.auto_deploy, apps.c.state == AppState.ACTIVE).order_by(apps.c.name)


def stage_config(conn: Connection, vault: Vault, pipeline_id: str, stage: Stage | str) -> dict[str, str]:
    """The config vars that apps of a stage start with, or those that review apps of `FORKS` get."""
    query = select(pipeline_config.c.sealed).where(_of_stage(pipeline_id, stage))
    sealed = conn.execute(query).scalar()
    return vault.unseal_vars(sealed, stage_context(pipeline_id, stage)) if sealed else {}


def set_stage_config(
    conn: Connection,
    vault: Vault,
    *,
    pipeline_id: str,
    stage: Stage | str,
    variables: Mapping[str, str],
    now: datetime,
) -> None:
    """Replace the config vars of a stage."""
    sealed = vault.seal_vars(variables, stage_context(pipeline_id, stage))
    changed = conn.execute(pipeline_config.update().where(_of_stage(pipeline_id, stage)).values(sealed=sealed))
    if not changed.rowcount:
        conn.execute(pipeline_config.insert().values(pipeline_id=pipeline_id, stage=stage, sealed=sealed))
    conn.execute(pipelines.update().where(pipelines.c.id == pipeline_id).values(updated_at=now))


def stage_context(pipeline_id: str, stage: Stage | str) -> str:
    """What a sealed stage config is bound to."""
    return f"pipeline {pipeline_id} {stage} config"


def as_pipeline(row: RowMapping) -> Pipeline:
    """The pipeline of a row."""
    return Pipeline(
        id=PipelineId(row["id"]),
        name=row["name"],
        owner_id=row["owner_id"],
        owner_type=row["owner_type"],
        repository_id=row["repository_id"],
        root_directory=row["root_directory"],
        toggles=rows.from_json(row["toggles"], Toggles),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        version=row["row_version"],
        connected_by=row["connected_by"],
        right_lost=row["right_lost"],
        check_name=row["check_name"] or row["name"],
    )


def as_coupling(row: RowMapping) -> Coupling:
    """The coupling of a row."""
    return Coupling(
        id=CouplingId(row["id"]),
        app_id=row["app_id"],
        pipeline_id=row["pipeline_id"],
        stage=Stage(row["stage"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _of_stage(pipeline_id: str, stage: Stage | str) -> Any:
    return (pipeline_config.c.pipeline_id == pipeline_id) & (pipeline_config.c.stage == stage)
