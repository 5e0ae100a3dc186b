"""Where the check of a commit is shown: a pipeline gets other names, and another repository, while it is shown."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection

from service.domain.ci_gate import OUR_PREFIX
from service.domain.facts import FactKey, FactKind
from service.domain.model import App, Pipeline, RepositoryId, Sha
from service.store import facts, pipelines, reports, reviews
from service.store.reports import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A repository, and what the pipeline is called in its checks."""

    repository_id: RepositoryId
    name: str


def now(conn: Connection, pipeline: Pipeline | None, sha: Sha, *, shown: Report | None) -> Place | None:
    """Where the pipeline is, if the commit is there; else where it was `shown`, by the name that it had there.

    The name that the pipeline has now may be another pipeline's in a repository that it has left.
    """
    if pipeline is None or pipeline.repository_id is None:
        return of(shown) if shown is not None else None
    if shown is None or shown.repository_id == pipeline.repository_id or _has(conn, pipeline, sha):
        return Place(repository_id=pipeline.repository_id, name=pipeline.check_name)
    return of(shown)


def of(shown: Report) -> Place:
    """Where that is shown."""
    return Place(repository_id=shown.repository_id, name=shown.shown_as.removeprefix(OUR_PREFIX))


def may_go(shown: Report, place: Place) -> bool:
    """Whether that can be shown there instead. A check run can be given another name, a status cannot."""
    was = of(shown)
    renames = shown.kind == "check" or was.name == place.name
    return not shown.begun or (was.repository_id == place.repository_id and renames)


def moved(
    conn: Connection, known: Report | None, formers: Iterable[Report], *, kind: str, place: Place
) -> tuple[Report | None, list[Report]]:
    """What is shown there, and what besides: what cannot be shown there is set aside, what was there comes back."""
    besides = list(formers)
    if known is not None and known.begun and may_go(known, place):
        return known, besides
    aside = [each for each in besides if each.aside_of is not None and each.kind == kind and each.begun]
    back = next((each for each in aside if may_go(each, place)), None)
    if known is not None and (back is not None or not may_go(known, place)):
        if known.begun:
            besides.append(reports.set_aside(conn, known))
        else:
            reports.drop(conn, known)
        known = None
    if back is not None:
        besides.remove(back)
        known = reports.take_back(conn, back)
    return known, besides


def followed(app: App) -> FactKey | None:
    """The head that the app deploys by itself: it waits with that commit."""
    if not app.auto_deploy or app.repository_id is None:
        return None
    return FactKey(FactKind.HEAD, app.repository_id, app.auto_deploy_branch)


def heads_at(conn: Connection, members: Iterable[App], sha: Sha) -> set[FactKey]:
    """The heads that apps deploy by themselves, if they are at the commit."""
    heads = facts.load_all(conn, {key for app in members if (key := followed(app))})
    return {key for key, head in heads.items() if head.value is not None and head.value.sha == sha}


def _has(conn: Connection, pipeline: Pipeline, sha: Sha) -> bool:
    """Whether the commit is known in the pipeline's repository, which may be a copy of the former one."""
    asked = reviews.of_commit(conn, pipeline_id=pipeline.id, sha=sha)
    heads = heads_at(conn, [app for app, _ in pipelines.members(conn, pipeline.id)], sha)
    return pipeline.repository_id in {each.repository_id for each in asked} | {each.repository_id for each in heads}
