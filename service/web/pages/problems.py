"""The set-up's pages for everything that can come in between: what happened, and what to do now."""

from dataclasses import dataclass

from aiohttp import web

from service.web.pages.rendering import page


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One such page.

    `command` is what to run in a terminal, `apps` offers the list of Apps on GitHub, `again` a button that goes there.
    """

    title: str
    text: str
    advice: str
    status: int
    command: str = ""
    again: bool = False
    apps: bool = False


_NEW_LINK = "towpath github:setup"
UNKNOWN = Problem(
    title="This link is not one of ours",
    text="Towpath has given out no such link, or it is so old that it has been forgotten.",
    advice="Look whether all of it was copied. A new link is made, on the machine where Towpath runs, by",
    command=_NEW_LINK,
    status=404,
)
EXPIRED = Problem(
    title="This link has expired",
    text="A link is good for one hour, so that an old one in a chat or a log opens nothing. Nothing was changed.",
    advice="Make a new one, on the machine where Towpath runs, by",
    command=_NEW_LINK,
    status=410,
)
USED = Problem(
    title="This link has been used",
    text="A GitHub App was made with it, and each link makes one. Only the browser that made it can go on.",
    advice="Go on in that browser. Or make a new link, which lets you connect pipelines to the App that there is, by",
    command=_NEW_LINK,
    status=410,
)
FOREIGN = Problem(
    title="This browser has not begun a set-up",
    text="GitHub has led you here, but the set-up was begun in another browser or begun anew since, its hour is over, "
    "or its cookie was deleted. For safety, nothing was done.",
    advice="Go back to the browser in which you pressed the button. Or make a new link by",
    command=_NEW_LINK,
    status=403,
)
CANCELLED = Problem(
    title="Nothing was made",
    text="You came back from GitHub without an App: the form was left or cancelled. Nothing was changed.",
    advice="You can go to GitHub once more.",
    again=True,
    status=400,
)
CODE_GONE = Problem(
    title="GitHub no longer gives out this App's keys",
    text="It does so once, within an hour of making the App. Either the hour is over, or the keys were asked for and "
    "lost on their way here. The App exists on GitHub, but nobody has its keys.",
    advice="Delete it there, under Advanced in its settings, so that its name is free. Then make another one.",
    again=True,
    apps=True,
    status=410,
)
APP_GONE = Problem(
    title="GitHub no longer knows the App",
    text="It does not accept the key that Towpath keeps for it: the App was deleted there, or its key was, or a clock "
    "is wrong.",
    advice='Look at its settings on GitHub. To put another App in its place, choose "Make another App" on the page of',
    command=_NEW_LINK,
    status=410,
)
GIVEN = Problem(
    title="The GitHub App is given by the environment",
    text="Towpath was started with TOWPATH_GITHUB_APP_ID and TOWPATH_GITHUB_PRIVATE_KEY_FILE, and these go before "
    "an App that is set up here.",
    advice="To set one up with these pages, start Towpath without them. To connect a repository to the App there is:",
    command="towpath pipelines:connect PIPELINE -r ORG/REPO",
    status=409,
)
INSTALLED = Problem(
    title="GitHub has told Towpath",
    text="What the App may reach has changed, and Towpath knows. This page belongs to no set-up that is under way, so "
    "there is nothing to do here.",
    advice="Connect a repository to a pipeline in a terminal, by",
    command="towpath pipelines:connect PIPELINE -r ORG/REPO",
    status=200,
)


def show(problem: Problem, *, apps_url: str = "") -> web.Response:
    """The page of a problem; `apps_url` is where GitHub lists a person's or an organization's Apps."""
    return page("problem.html", status=problem.status, problem=problem, apps_url=apps_url, step=0)


def away(reason: str, address: str) -> web.Response:
    """GitHub does not answer; `address` is where to try again, with everything that is needed for it."""
    return page("away.html", status=503, reason=reason, address=address, step=0)


def refused(reason: str) -> web.Response:
    """What was asked for will not work, in GitHub's words or ours."""
    problem = Problem(
        title="That did not work",
        text=reason,
        advice="Nothing was changed. When it is mended, go to GitHub once more.",
        again=True,
        status=422,
    )
    return show(problem)
