"""The menu of an app's card: what the person may have done to it, each with the page that asks for it once more."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from service.domain.access import Permission, Permissions, Person, for_new_code
from service.domain.model import AppState, ReviewApp, Stage
from service.store.overviews import Member, Overview
from service.store.sight import to_app
from service.web import rights
from service.web.api.logs import MAY_READ
from service.web.pages.app_head import RELEASES, path_of
from service.web.pages.signed_in import PATH

_HELD: Final = "held at "
_OF_PRODUCTION: Final = frozenset({Permission.MANAGE, Permission.PROMOTE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Something in a menu; `key` tells it from the others there."""

    key: str
    text: str
    path: str


def menus(it: Overview, by: Person, may: Permissions) -> dict[str, list[Item]]:
    """The menu of each app by its id, empty ones left out; `may` is what the person may do to the pipeline."""
    found, reviews = dict[str, list[Item]](), {each.app_id: each for each in it.reviews if each.app_id is not None}
    for member in it.members:
        app, own = member.app, to_app(by, member.app)
        if app.state is AppState.DESTROYING:
            continue
        if not app.is_review:
            found[app.id] = list(_items(it, member, own, may))
        elif app.id in reviews:
            found[app.id] = list(_of_review(reviews[app.id], member, own, may))
    return {str(app_id): items for app_id, items in found.items() if items}


def _items(it: Overview, member: Member, may: Permissions, may_here: Permissions) -> Iterator[Item]:
    app, path = member.app, path_of(member.app)
    if member.release is not None and not may.isdisjoint(MAY_READ):
        yield Item(key="logs", text="Logs", path=f"{path}/logs")
    if member.release is not None and Permission.OPERATE in may:
        yield Item(key="restart", text="Restart", path=f"{path}/restart")
    if member.release is not None and not may.isdisjoint(RELEASES):
        yield Item(key="back", text="Roll back", path=path)
    if hold := _hold(it, member, may):
        yield Item(key="hold", text=f"{hold} automatic deploys", path=f"{path}/hold")
    if Permission.OPERATE in may:
        switch = "off" if app.maintenance else "on"
        yield Item(key="maintenance", text=f"Switch maintenance {switch}", path=f"{path}/maintenance")
    if may_place(member, may, may_here):
        place = f"{PATH}/couplings/{member.coupling_id}"
        yield Item(key="move", text="Move to another stage", path=f"{place}/move")
        yield Item(key="remove", text="Remove from the pipeline", path=f"{place}/remove")


def _of_review(review: ReviewApp, member: Member, may: Permissions, may_all: Permissions) -> Iterator[Item]:
    """It follows its pull request: it is neither promoted nor moved, and what it is at is built anew.

    What keeps or ends it takes more than a say in this app alone: `may_all` is what the person may do to the pipeline.
    """
    path, changes = path_of(member.app), not may_all.isdisjoint(rights.REVIEWS.permissions)
    if member.release is not None and not may.isdisjoint(MAY_READ):
        yield Item(key="logs", text="Logs", path=f"{path}/logs")
    if changes:
        yield Item(key="pin", text="Unpin" if review.pinned else "Pin", path=f"{path}/pin")
    if member.release is not None and Permission.OPERATE in may:
        if member.app.state is AppState.SUSPENDED:
            yield Item(key="resume", text="Resume", path=f"{path}/restart")
        else:
            yield Item(key="suspend", text="Suspend", path=f"{path}/suspend")
    if changes:
        yield Item(key="rebuild", text="Rebuild", path=f"{path}/rebuild")
        yield Item(key="destroy", text="Destroy", path=f"{path}/destroy")


def _hold(it: Overview, member: Member, may: Permissions) -> str:
    """Whether automatic deploys can be held or resumed; empty where there are none, or the person may do neither."""
    app = member.app
    if it.pipeline.repository_id is None or not (app.auto_deploy or app.auto_deploy_branch):
        return ""
    if app.auto_deploy and not member.waits.startswith(_HELD):
        return "Hold" if Permission.DEPLOY in may else ""
    return "Resume" if for_new_code(member.stage) <= may else ""


def may_place(member: Member, may: Permissions, may_here: Permissions) -> bool:
    """Whether the person may move the app or take it out, by what they may do to it and to the pipeline."""
    manages = Permission.MANAGE in may | may_here
    return manages and (member.stage is not Stage.PRODUCTION or not may.isdisjoint(_OF_PRODUCTION))
