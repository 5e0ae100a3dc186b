"""What `POST /app-setups` accepts."""

from typing import Any

from pydantic import Field

from service.domain.model import Stage
from service.web.api.bodies import AppName, Body, ConfigName, ConfigValue, Identity, SourceBlob


class NewApp(Body):
    """The app of an app setup."""

    name: AppName | None = None
    space: Identity | None = None
    region: Identity | None = None
    stack: Identity | None = None
    organization: Identity | None = None
    locked: bool | None = None
    personal: bool | None = None


class Place(Body):
    """Where in a pipeline an app setup's app goes."""

    pipeline: Identity
    stage: Stage


class Overrides(Body):
    """What an app setup's app has otherwise than its app.json says."""

    env: dict[ConfigName, ConfigValue] = Field(default={}, max_length=1000)
    buildpacks: list[Any] | None = None


class CreateAppSetup(Body):
    """POST /app-setups."""

    app: NewApp = NewApp()
    source_blob: SourceBlob = SourceBlob()
    overrides: Overrides = Overrides()
    pipeline_coupling: Place | None = None
