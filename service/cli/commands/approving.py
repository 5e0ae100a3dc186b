"""`towpath reviewapps:approve`: let one commit of a fork's or bot's pull request run; and which ones may."""

from typing import Annotated

import typer

from service.cli import asking, following, output, reviewing, target
from service.cli.client import Client, Json, path
from service.cli.commands.reviewapps import one_of, pull_number
from service.cli.options import JsonOption, PipelineOption, WaitOption
from service.cli.profile import load


def approve(
    number: Annotated[str, typer.Argument(metavar="PR", help="Such as 12.")],
    *,
    pipeline: PipelineOption = None,
    sha: Annotated[
        str | None, typer.Option("--sha", metavar="SHA", help="The commit that was looked at, 7 to 40 digits of it.")
    ] = None,
    wait: WaitOption = True,
    json: JsonOption = False,
) -> None:
    """Let one commit of a fork's pull request run."""
    client = Client(profile=load())
    found = target.pipeline(client, pipeline)
    wanted = pull_number(number)
    review = _of_pull_request(client, found, wanted)
    commit = sha or _asked(review)
    with output.action(f"Approving {commit[:7]} of #{wanted} in {found['name']}", quiet=json):
        review = client.call("POST", path("review-apps", review["id"], "approvals"), {"sha": commit}).data
    if wait:
        with following.patiently(f"towpath reviewapps -p {found['name']}"):
            review = reviewing.follow(client, review, quiet=json)
    reviewing.end(client, review, waited=wait, json=json)


def listing(
    number: Annotated[str, typer.Argument(metavar="PR", help="Such as 12.")],
    *,
    pipeline: PipelineOption = None,
    json: JsonOption = False,
) -> None:
    """List which commits of a fork's pull request were approved, and by whom."""
    client = Client(profile=load())
    found = target.pipeline(client, pipeline)
    review = _of_pull_request(client, found, pull_number(number))
    approved = client.everything(path("review-apps", review["id"], "approvals"))
    if json:
        output.show_json(approved)
    elif not approved:
        output.say(f"No commit of #{review['pr_number']} was approved.")
    else:
        rows = [
            [it["sha"][:7], it["by"], it["how"], output.ago(it["created_at"]), "now" * (it["sha"] == review["commit"])]
            for it in approved
        ]
        output.table(rows, header=["commit", "by", "how", "when", "head"])


def _of_pull_request(client: Client, pipeline: Json, number: int) -> Json:
    reviews = client.everything(path("pipelines", pipeline["id"], "review-apps"))
    return one_of(reviews, {"pr_number": number}, pipeline)


def _asked(review: Json) -> str:
    """Show where the pull request is and have the person say that this is what they looked at."""
    output.note(f"#{review['pr_number']} ({review['branch']}) is at {review['commit']}")
    return asking.ask("Which commit do you approve", default="", option="--sha SHA").strip()


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command("reviewapps:approve")(approve)
    cli.command("reviewapps:approvals")(listing)
