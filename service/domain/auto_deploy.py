"""Whether an app that follows a branch should deploy that branch's head now."""

from dataclasses import dataclass
from datetime import datetime

from service.domain.facts import CiSignals, Fact, Head
from service.domain.model import App, QueuedRequest, Repository, Stage, Toggles


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoDeployView:
    """Everything `plan` may know, from one snapshot.

    `branch` is the one the app follows (its own setting, else the default branch). `ci` is about `head`'s commit.
    `queue` holds the app's open requests in order. `last_deploy` is the app's newest deploy that is running or over,
    `last_auto_deploy` the newest one, in whatever state, that no person asked for. `stage` is None outside a pipeline.
    `toggles` are the pipeline's. `held` says why nothing is deployed by itself ("held at v12"), else it is empty.
    """

    now: datetime
    app: App
    repository: Repository | None
    branch: str
    head: Fact[Head] | None
    ci: Fact[CiSignals] | None
    queue: tuple[QueuedRequest, ...]
    last_deploy: QueuedRequest | None
    last_auto_deploy: QueuedRequest | None
    stage: Stage | None
    toggles: Toggles
    held: str = ""
    our_app_id: int = 0
