"""What can come between a browser and signing in with GitHub, each as a page: what happened, and what to do now."""

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from service.web.pages.rendering import page

_LONGEST: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHubProblem:
    """One such page. `{said}` in its texts is what GitHub or Towpath said: a login, or why it refused."""

    title: str
    text: str
    advice: str
    status: int
    command: str = ""


DENIED = GitHubProblem(
    title="GitHub was not allowed to say who you are",
    text="The question on GitHub was answered with Cancel. Nothing was changed.",
    advice="You can go there once more. Towpath learns your login and its number, and nothing else.",
    status=403,
)
FOREIGN = GitHubProblem(
    title="This browser was not on its way back",
    text="It has come from GitHub with what is not its own, with what it has brought before, or after more than ten "
    "minutes; or it has gone there from another tab since. For safety, nothing was done.",
    advice="Begin anew.",
    status=403,
)
OVER = GitHubProblem(
    title="GitHub's code is over",
    text="GitHub gives a code that is good once, within ten minutes, and takes this one no more. Nothing was done.",
    advice="Go there once more for another one.",
    status=410,
)
NOT_LINKED = GitHubProblem(
    title="No account here is linked to yours on GitHub",
    text="GitHub says that you are {said}. To be on GitHub lets nobody in here: that takes an account of yours that "
    "you have linked.",
    advice="If you have an account, sign in by the address that this prints, and choose Link GitHub on the page of "
    "your account. If not, ask an administrator for one.",
    command="towpath dashboard",
    status=403,
)
TAKEN = GitHubProblem(
    title="This account on GitHub lets somebody else in",
    text="{said} on GitHub is linked to another account here, and to one at a time. Nothing was changed.",
    advice="If both are yours, sign in to the other one and unlink it there. Or go to GitHub once more after signing "
    "in as somebody else there.",
    status=409,
)
SIGNED_OUT = GitHubProblem(
    title="You are not signed in here any more",
    text="An account on GitHub is linked in the browser and the session in which you asked for it, and that is over. "
    "Nothing was linked.",
    advice="Sign in, and link it on the page of your account.",
    status=401,
)
WRONG_APP = GitHubProblem(
    title="The GitHub App does not let people sign in",
    text="GitHub does not take what Towpath knows of the App, or the address to lead back to. Nothing was changed.",
    advice="This is for an administrator: the App's settings on GitHub have to name the callback URL that the README "
    "says under Sign in with GitHub, and its client secret has to be the one it was made with. Until then sign in "
    "by the address that this prints.",
    command="towpath dashboard",
    status=409,
)
AWAY = GitHubProblem(
    title="GitHub does not answer",
    text="It was asked who you are and did not say. Nothing was changed.",
    advice="Go there once more in a moment, or sign in by the address that this prints.",
    command="towpath dashboard",
    status=503,
)
REFUSED = GitHubProblem(
    title="GitHub did not say who you are",
    text="What it said instead: {said}",
    advice="Go there once more, or sign in by the address that this prints.",
    command="towpath dashboard",
    status=403,
)


def show(problem: GitHubProblem, *, links: bool = False, said: str = "") -> web.Response:
    """The page of a problem; one who was to link an account is led back to the page of theirs here."""
    return page(
        "dashboard/github_problem.html",
        status=problem.status,
        visitor=None,
        problem=problem,
        text=problem.text.replace("{said}", said[:_LONGEST]),
        links=links,
    )
