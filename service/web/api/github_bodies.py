"""What is accepted about an app's automatic deploys."""

from typing import Any, Literal

from pydantic import StrictBool

from service.web.api.bodies import Body, Words


class PullRequests(Body):
    """The review apps of an app's pipeline, as Heroku's clients switch them with the app's deploys."""

    enabled: StrictBool | None = None
    auto_deploy: StrictBool | None = None
    auto_destroy: StrictBool | None = None


class ChangeGitHub(Body):
    """PATCH /apps/APP/github."""

    auto_deploy: StrictBool | None = None
    wait_for_ci: StrictBool | None = None
    branch: Words | None = None
    follow_default_branch: Literal[True] | None = None
    pull_requests: PullRequests | None = None
    repo: Any = None
