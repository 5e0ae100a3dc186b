"""What an app deploys by itself, as a form sends it: of the pipeline's settings or of the app's own Deploy tab."""

from dataclasses import dataclass

from aiohttp import web

from service.domain.errors import Refused
from service.domain.model import App
from service.web.api.finding import Asked
from service.web.api.repositories import check_auto_deploy, deploying
from service.web.keys import CONTEXT, VISITOR
from service.web.pages.signed_in import Form


@dataclass(frozen=True, slots=True, kw_only=True)
class Switched:
    """What is wanted; without a branch it is the repository's default one, whichever that is."""

    enabled: bool
    branch: str
    waits: bool


def branch_of(app: App) -> str:
    """The branch that somebody named; empty where it is the default one."""
    return "" if app.follows_default else app.auto_deploy_branch


def of_app(app: App) -> Switched:
    """What the app does now."""
    return Switched(enabled=app.auto_deploy, branch=branch_of(app), waits=app.wait_for_ci)


def entered(form: Form, app: App) -> Switched:
    """What somebody has entered. What is as the form has shown it stays as others have put it meanwhile.

    Refused where something would be deployed by what they have said and what others have: nobody has seen the two
    together.
    """
    enabled, waits, branch = form.get("auto") == "on", form.get("wait") == "on", str(form.get("branch", "")).strip()
    now, sent = of_app(app), Switched(enabled=enabled, branch=branch, waits=waits)
    wanted = Switched(
        enabled=now.enabled if form.get("seen") == _box(checked=enabled) else enabled,
        branch=now.branch if form.get("seen_branch") == branch else branch,
        waits=now.waits if form.get("seen_wait") == _box(checked=waits) else waits,
    )
    if wanted.enabled and wanted not in (sent, now):
        raise Refused(
            f"Meanwhile somebody else has changed what {app.name} deploys by itself: it is shown as it is now. Nothing "
            "was changed.",
            code="conflict",
        )
    return wanted


def _box(*, checked: bool) -> str:
    return "on" if checked else "off"


def check_follows(app: App) -> None:
    """Refuse to let a review app follow a branch."""
    if app.is_review:
        raise Refused(f"{app.name} is a review app: it follows its pull request.")


async def switch(request: web.Request, app: App, wanted: Switched) -> None:
    """Have the app do so from now on, if it does not yet; refused as the API refuses it."""
    check_follows(app)
    context, visitor, before = request.app[CONTEXT], request[VISITOR], of_app(app)
    if wanted == before:
        return
    asked = Asked(by=visitor.person, name=app.id)
    found = await context.db.read(lambda conn: deploying(conn, asked))
    named = wanted.branch if wanted.branch != before.branch else ""
    stops = not wanted.enabled and (wanted.branch, wanted.waits) == (before.branch, before.waits)
    await check_auto_deploy(context, visitor, found, branch=named or None, stops=stops)
    await context.enactor.set_auto_deploy(
        app_id=app.id,
        enabled=wanted.enabled,
        branch=wanted.branch or None,
        follow_default=not wanted.branch,
        wait_for_ci=wanted.waits,
        actor=visitor.actor,
        resumes=wanted.enabled != before.enabled,
    )
