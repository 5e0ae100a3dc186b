"""What the API accepts, checked by pydantic: only used here and in the other modules that are named so.

Fields that Heroku's clients send and that mean nothing here are named and ignored; any other unknown field is refused,
because a misspelt switch that silently does nothing is worse than an error.
"""

import json
from typing import Annotated, Any, Literal, TypeVar

from aiohttp import web
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    StrictBool,
    StrictInt,
    StringConstraints,
    ValidationError,
)
from pydantic_core import ErrorDetails

from service.domain.errors import Refused
from service.domain.model import CiCounts, IdleAction, Stage
from service.web.api import characters
from service.web.api.raw import raw_body

AppName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,28}[a-z0-9]$")]
PipelineName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{2,29}$")]
ConfigName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=256)]
ConfigValue = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$", max_length=65536)]
DeliveryId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{8,64}$")]
Words = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Quantity = Annotated[StrictInt, Field(ge=0, le=100)] | Annotated[str, StringConstraints(pattern=r"^[+-]?[0-9]{1,3}$")]
"""How many, or how many more or fewer: Heroku's command line sends `2`, `+1` and `-1` as texts."""
ProcessType = Annotated[str, StringConstraints(pattern=r"^[-\w]{1,128}$")]


class Body(BaseModel):
    """A request body: an object with known fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Reference(Body):
    """Something named by its id or name, as `{"id": ...}` or `{"name": ...}`."""

    id: Words | None = None
    name: Words | None = None


Identity = Words | Reference
"""Heroku's clients write a reference as a plain text or as an object with its id."""


class CreateApp(Body):
    """POST /apps."""

    name: AppName | None = None
    space: Identity | None = None
    region: Identity | None = None
    stack: Identity | None = None
    team: Identity | None = None
    locked: bool | None = None
    personal: bool | None = None
    feature_flags: list[str] | None = None


class ChangeApp(Body):
    """PATCH /apps/APP. `promotable` is Towpath's own."""

    name: AppName | None = None
    maintenance: StrictBool | None = None
    promotable: StrictBool | None = None
    build_stack: Identity | None = None


class Filter(Body):
    """The ids a filter asks for."""

    id: list[str] = Field(max_length=1000)


class FilterApps(Body):
    """POST /filters/apps."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    wanted: Filter = Field(alias="in")


class Owner(Body):
    """Who owns a pipeline."""

    id: Words
    type: Literal["user", "team"]


class CreatePipeline(Body):
    """POST /pipelines."""

    name: PipelineName
    owner: Owner | None = None
    generation: Identity | None = None


class ChangePipeline(Body):
    """PATCH /pipelines/PIPELINE."""

    name: PipelineName


class Couple(Body):
    """POST /pipeline-couplings."""

    app: Identity
    pipeline: Identity
    stage: Stage


class Move(Body):
    """PATCH /pipeline-couplings/COUPLING."""

    stage: Stage


class Rollback(Body):
    """POST /apps/APP/releases: a rollback to `release`, or `slug` once more. The last two are Towpath's own."""

    release: str | StrictInt | None = None
    slug: Words | None = None
    description: str | None = None
    keep_config: StrictBool = False
    override_lock: StrictBool = False


class SourceBlob(Body):
    """What to build: a branch or commit of the connected repository, or a packed source at an address."""

    version: Words | None = None
    url: str | None = None
    checksum: str | None = None
    version_description: str | None = None


class CreateBuild(Body):
    """POST /apps/APP/builds. The last two are Towpath's own."""

    source_blob: SourceBlob = SourceBlob()
    buildpacks: list[Any] | None = None
    rebuild: StrictBool = False
    override_lock: StrictBool = False


class LockDeploys(Body):
    """POST of deploy-locks: until a time, for so many seconds, or without either until it is taken off."""

    reason: str
    expires_at: AwareDatetime | None = None
    expires_in: Annotated[StrictInt, Field(ge=1, le=366 * 24 * 3600)] | None = None


class FormationUpdate(Body):
    """How many of one process type, or how many more or fewer."""

    type: ProcessType
    quantity: Quantity
    size: Any = None
    dyno_size: Any = None


class ChangeFormation(Body):
    """PATCH /apps/APP/formation."""

    updates: list[FormationUpdate] = Field(min_length=1, max_length=100)


class ChangeQuantity(Body):
    """PATCH /apps/APP/formation/TYPE."""

    quantity: Quantity
    size: Any = None
    dyno_size: Any = None


class ConfigVars(RootModel[dict[ConfigName, ConfigValue | None]]):
    """PATCH of config vars: a text sets, null unsets."""


class BuildConfig(Body):
    """PUT of build-config: the names of the config vars that builds see."""

    names: list[ConfigName] = Field(max_length=1000)


class CreateReviewApp(Body):
    """POST /review-apps: for a pull request by its number, else for a branch."""

    pipeline: Identity
    branch: Words | None = None
    pr_number: Annotated[StrictInt, Field(ge=1)] | None = None
    source_blob: Any = None
    environment: Any = None
    fork_repo_id: Any = None


class CreateTestRun(Body):
    """POST /test-runs."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    pipeline: Identity


class Approve(Body):
    """POST /review-apps/REVIEW_APP/approvals."""

    sha: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{7,40}$")]


class ChangeReviewApp(Body):
    """PATCH /review-apps/REVIEW_APP."""

    pinned: StrictBool


class PipelineSettings(RootModel[dict[Words, Any]]):
    """PATCH /pipelines/PIPELINE/settings: by name, each checked by `domain/toggles.py`."""


class ReviewAppConfig(Body):
    """POST and PATCH of review-app-config; the last group is Towpath's own."""

    repo: Words | StrictInt | None = None
    pipeline: Any = None
    deploy_target: Any = None
    automatic_review_apps: StrictBool | None = None
    wait_for_ci: StrictBool | None = None
    destroy_stale_apps: StrictBool | None = None
    stale_days: Annotated[StrictInt, Field(ge=1, le=30)] | None = None
    base_name: Annotated[str, StringConstraints(pattern=r"^([a-z][a-z0-9-]{0,20})?$")] | None = None
    max_review_apps: Annotated[StrictInt, Field(ge=0, le=1000)] | None = None
    drafts: StrictBool | None = None
    ci_counts: CiCounts | None = None
    forks: Literal["never", "approve"] | None = None
    approval_blocks: StrictBool | None = None
    idle_action: IdleAction | None = None
    labels: list[Words] | None = None
    base_branches: list[Words] | None = None
    paths: list[Words] | None = None
    required_contexts: list[Words] | None = None
    ignored_contexts: list[Words] | None = None
    deploy_without_ci: StrictBool | None = None
    settle_seconds: Annotated[float, Field(ge=0, le=3600)] | None = None
    gate_seconds: Annotated[float, Field(ge=1, le=86400)] | None = None
    comment: StrictBool | None = None


class ConnectRepository(Body):
    """POST /pipelines/PIPELINE/repository: "org/name", or the id of a repository that is known already."""

    repository: Words | StrictInt


class ChangeRepository(Body):
    """PATCH /pipelines/PIPELINE/repository."""

    ci: StrictBool | None = None
    organization: Any = None
    review_apps: StrictBool | None = None
    automatic_review_apps: StrictBool | None = None


class BeginSetup(Body):
    """POST /github/setups."""

    organization: Annotated[str, StringConstraints(max_length=100)] | None = None


class Webhook(Body):
    """POST /github/webhook."""

    repository: Words


class ReplayDeliveries(Body):
    """POST /delivery-replays: those named, or those that failed, since a time, or both."""

    deliveries: Annotated[list[DeliveryId], Field(max_length=200)] | None = None
    failed: StrictBool | None = None
    since: AwareDatetime | None = None


class LogSession(Body):
    """POST /apps/APP/log-sessions."""

    lines: Annotated[StrictInt, Field(ge=1, le=1500)] = 100
    tail: StrictBool = False
    dyno: str | None = None
    source: str | None = None
    type: str | None = None


class CreateSpace(Body):
    """POST /spaces."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,28}[a-z0-9]$")]
    driver: Literal["process"]  # what workers have no driver for would be an app that cannot even be destroyed


Model = TypeVar("Model", bound=BaseModel)
AnyBody = type[BaseModel]


# pydantic puts these between the fields when a value may be one of several kinds.
_KINDS = frozenset({"[key]", "str", "int", "constrained-str", "constrained-int", "Reference"})


_PATTERNS = {
    "deliveries": "the id of a delivery has 8 to 64 letters, digits and dashes",
    "sha": "name the commit by 7 to 40 digits of its id, in lower case",
    "name": "starts with a letter and has 3 to 30 lowercase letters, digits and dashes",
}


def _words(error: ErrorDetails) -> str:
    """Say which field is wrong and how, in the user's words where pydantic's are patterns."""
    field = ".".join(str(part) for part in error["loc"] if part not in _KINDS)
    match error["type"]:
        case "extra_forbidden":
            return f"{field}: unknown field"
        case "missing":
            return f"{field}: is required"
        case "string_pattern_mismatch" if error["loc"][-1:] == ("[key]",):
            return f"{field}: the name of a config var has letters, digits and _, and does not start with a digit"
        case "string_pattern_mismatch" if told := _PATTERNS.get(field.partition(".")[0]):
            return f"{field}: {told}"
        case _:
            return f"{field}: {error['msg']}" if field else error["msg"]


async def parse(request: web.Request, model: type[Model]) -> Model:
    """Read the body as `model`; 400 for what is not JSON, 422 naming every field that cannot be used."""
    raw = await raw_body(request)
    try:
        data = json.loads(raw) if raw else {}
    except (ValueError, RecursionError):
        raise Refused("The body is not JSON.", code="bad_request") from None
    if b"\\u" in raw:
        characters.refuse_halves(data)
    body = checked(model, data)
    if b"\\u0000" in raw:
        characters.refuse_nul(data)
    return body


def checked(model: type[Model], data: Any) -> Model:
    """Make a `model` of data; refuses with 422 what cannot be used, naming every field."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = dict.fromkeys(_words(problem) for problem in error.errors(include_url=False))
        raise Refused("; ".join(problems)) from None


def identity(reference: Identity) -> str:
    """The id or name in a reference."""
    if isinstance(reference, str):
        return reference
    named = reference.id or reference.name
    if named is None:
        raise Refused("A reference needs an id or a name.")
    return named
