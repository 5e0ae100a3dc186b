"""How things look in JSON. Heroku's attributes come first, Towpath's own after them.

What Heroku has and Towpath has not (regions, generations, dyno sizes) is filled with one truthful constant, because
clients read it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from service.domain.model import App, Coupling, Pipeline, Space, Stage
from service.settings import Settings
from service.shown import (
    DYNO_SIZE,
    GENERATION,
    Json,
    constant_id,
    git_url,
    moment,
    space_of,
    stack_of,
    team_email,
    user_of,
    web_url,
)

__all__ = [
    "GENERATION",
    "PROMOTION_ORDER",
    "AppShown",
    "Json",
    "app",
    "constant_id",
    "coupling",
    "formation",
    "moment",
    "pipeline",
    "quantity",
    "space",
    "stack_of",
    "team_email",
    "user_of",
    "web_url",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppShown:
    """An app with what is shown beside it."""

    app: App
    owner_email: str | None
    team_name: str | None
    space: Space
    slug_size: int | None
    stack: str | None


def app(shown: AppShown, settings: Settings) -> Json:
    """Show an app."""
    it, named_stack = shown.app, stack_of(shown.stack)
    space = {"id": shown.space.id, "name": shown.space.name}
    team = {"id": it.owner_id, "name": shown.team_name} if shown.team_name else None
    return {
        "acm": False,
        "archived_at": None,
        "build_stack": named_stack,
        "buildpack_provided_description": None,
        "created_at": moment(it.created_at),
        "generation": GENERATION,
        "git_url": git_url(settings, it.name),
        "id": it.id,
        "internal_routing": None,
        "maintenance": it.maintenance,
        "name": it.name,
        "organization": team,
        "owner": {"id": it.owner_id, "email": shown.owner_email or team_email(shown.team_name)},
        "region": space,
        "released_at": moment(it.released_at),
        "repo_size": None,
        "slug_size": shown.slug_size,
        "space": space_of(space),
        "stack": named_stack,
        "team": team,
        "updated_at": moment(it.updated_at),
        "web_url": web_url(settings, it.name, review=it.is_review),
        "state": it.state.value,
        "review": it.is_review,
        "promotable": it.promotable,
    }


def pipeline(it: Pipeline) -> Json:
    """Show a pipeline."""
    owner = {"id": it.owner_id, "type": it.owner_type} if it.owner_id else None
    return {
        "created_at": moment(it.created_at),
        "generation": GENERATION,
        "id": it.id,
        "name": it.name,
        "owner": owner,
        "updated_at": moment(it.updated_at),
    }


def coupling(it: Coupling, *, app_name: str, pipeline_name: str) -> Json:
    """Show a coupling; the names spare clients a look-up."""
    return {
        "app": {"id": it.app_id, "name": app_name},
        "created_at": moment(it.created_at),
        "id": it.id,
        "pipeline": {"id": it.pipeline_id, "name": pipeline_name},
        "stage": it.stage.value,
        "updated_at": moment(it.updated_at),
    }


def space(it: Space) -> Json:
    """Show a space."""
    return {"id": it.id, "name": it.name, "driver": it.driver, "shield": False}


def formation(it: App, process_type: str, command: str) -> Json:
    """Show how many of a process type are wanted; `web` is 1 and others are 0 until somebody says otherwise."""
    return {
        "app": {"id": it.id, "name": it.name},
        "command": command,
        "created_at": moment(it.created_at),
        "dyno_size": DYNO_SIZE,
        "id": constant_id(f"formation:{it.id}:{process_type}"),
        "quantity": quantity(it.formation, process_type),
        "size": "standard",
        "type": process_type,
        "updated_at": moment(it.updated_at),
    }


def quantity(wanted: Mapping[str, int], process_type: str) -> int:
    """How many of a process type are wanted."""
    return wanted.get(process_type, 1 if process_type == "web" else 0)


PROMOTION_ORDER = (Stage.DEVELOPMENT, Stage.STAGING, Stage.PRODUCTION)
