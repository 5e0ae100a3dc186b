"""Waiting for a review app: why it does not come yet, its build and release phase, and how all of that ended."""

import time

from service.cli import following, output
from service.cli.client import Client, Json, path
from service.cli.errors import Stop

_COMING = ("waiting", "creating")
_LOOKED_THROUGH = 20
"""Of an app's newest requests: after a deploy come config vars and restarts, and few of them."""


def label(review: Json) -> str:
    """What it is for, as people call it: `#12` or a branch."""
    return f"#{review['pr_number']}" if review["pr_number"] else str(review["branch"])


def follow(client: Client, review: Json, *, quiet: bool) -> Json:
    """Wait until the review app is live or not coming; says why it waits, and shows build and release phase."""
    said = ""
    with output.waiting(f"Waiting for the review app of {label(review)}") as sign:
        while True:
            review = client.get(path("review-apps", review["id"]))
            deploy = _newest_deploy(client, review)
            if deploy is not None and following.is_open(deploy):
                sign.hide()
                following.watch(client, review["app"]["name"], deploy["id"], output=True, quiet=quiet)
                continue
            if review["state"] not in _COMING:
                return review
            if review["reason"] and review["reason"] != said:
                said = review["reason"]
                sign.hide()
                output.note(f"{review['state']}: {said}")
            sign.show()
            time.sleep(following.POLL_SECONDS)


def _newest_deploy(client: Client, review: Json) -> Json | None:
    """The last deploy that was asked of its app; it may be there and live while that is still to come."""
    if review["app"] is None:
        return None
    asked = client.newest(path("apps", review["app"]["id"], "requests"), by="seq", limit=_LOOKED_THROUGH)
    return next((each for each in asked if each["kind"] == "Deploy"), None)


def end(client: Client, review: Json, *, waited: bool, json: bool) -> None:
    """Show a review app; who has waited for it is told, by the exit code too, what failed of it."""
    if json:
        output.show_json(review)
    if waited:
        _check(client, review)
    if not json and review["state"] == "live":
        output.say(f"{review['app']['name']} is live: {review['web_url']}")


def _check(client: Client, review: Json) -> None:
    deploy = _newest_deploy(client, review)
    if deploy is not None:
        following.check(following.request(client, deploy["id"]))
    if review["state"] != "live":
        raise Stop(f"The review app is {review['state']}: {review['reason'] or 'no reason is known'}")
