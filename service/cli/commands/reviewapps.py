"""`towpath reviewapps`: a running app for each pull request."""

from typing import Annotated, Any

import typer

from service.cli import asking, following, leaving, output, reviewing, target
from service.cli.client import Client, Json, path
from service.cli.commands import ps
from service.cli.errors import ExitCode, Stop
from service.cli.options import (
    AppOption,
    ConfirmOption,
    JsonLinesOption,
    JsonOption,
    PipelineOption,
    RemoteOption,
    WaitOption,
)
from service.cli.profile import load

_DIGITS = 9
ForArgument = Annotated[str | None, typer.Argument(metavar="PR|BRANCH", help="Such as 12 or my-branch.")]


def listing(pipeline: PipelineOption = None, app: AppOption = None, json: JsonOption = False) -> None:
    """List review apps with their state and the reason for it."""
    client = Client(profile=load())
    found = target.pipeline(client, pipeline, app=app)
    reviews = client.everything(path("pipelines", found["id"], "review-apps"))
    if json:
        output.show_json(reviews)
        return
    if not reviews:
        output.say(f"Pipeline {found['name']} has no review app.")
        return
    rows = [
        [
            reviewing.label(it),
            it["app"]["name"] if it["app"] else "",
            it["state"] + (", pinned" if it["pinned"] else ""),
            (it["commit"] or "")[:7],
            "  ".join(filter(None, [it["web_url"] if it["state"] == "live" else "", it["reason"]])),
        ]
        for it in reviews
    ]
    output.table(rows, header=["for", "app", "state", "commit", ""])


def create(
    wanted: ForArgument = None,
    *,
    pipeline: PipelineOption = None,
    number: Annotated[int | None, typer.Option("--pr", metavar="NUMBER", min=1, help="The pull request.")] = None,
    branch: Annotated[str | None, typer.Option("--branch", "-b", metavar="BRANCH", help="The branch.")] = None,
    wait: WaitOption = True,
    json: JsonOption = False,
) -> None:
    """Create the review app of a pull request or branch."""
    client = Client(profile=load())
    body: Json = _reference(wanted, number, branch)
    found = target.pipeline(client, pipeline)
    what = f"#{body['pr_number']}" if "pr_number" in body else body["branch"]
    with output.action(f"Creating review app for {what} in {found['name']}", quiet=json):
        review = client.call("POST", "/review-apps", body | {"pipeline": found["id"]}).data
    if wait:
        with following.patiently(f"towpath reviewapps -p {found['name']}"):
            review = reviewing.follow(client, review, quiet=json)
    reviewing.end(client, review, waited=wait, json=json)


def _reference(wanted: str | None, number: int | None, branch: str | None) -> Json:
    if sum(each is not None for each in (wanted, number, branch)) != 1:
        raise Stop("Name one pull request (12) or one branch.", code=ExitCode.USAGE)
    plain = (wanted or "").removeprefix("#")
    if number is not None or plain.isdecimal():
        return {"pr_number": number if number is not None else pull_number(plain)}
    return {"branch": branch or wanted}


def pull_number(word: str) -> int:
    """The number of a pull request that is meant by `12` or `#12`."""
    plain = word.removeprefix("#")
    if not plain.isdecimal() or len(plain) > _DIGITS:
        raise Stop(f"{word[:40]!r} is not the number of a pull request.")
    return int(plain)


def destroy(
    wanted: ForArgument = None,
    *,
    pipeline: PipelineOption = None,
    app: AppOption = None,
    confirm: ConfirmOption = None,
    json: JsonOption = False,
) -> None:
    """Destroy a review app."""
    client = Client(profile=load())
    review = _find(client, wanted, pipeline, app)
    name = _name(review)
    asking.confirm(name, confirm, danger=f"This destroys review app {name}.")
    with output.action(f"Destroying review app {name}", quiet=json):
        destroyed = client.call("DELETE", path("review-apps", review["id"])).data
    if json:
        output.show_json(destroyed)


def _find(client: Client, wanted: str | None, pipeline: str | None, app: str | None) -> Json:
    if app is not None:
        named: Json = client.get(path("apps", app, "review-app"))
        return named
    reference = _reference(wanted, None, None)
    found = target.pipeline(client, pipeline)
    return one_of(client.everything(path("pipelines", found["id"], "review-apps")), reference, found)


def _name(review: Json) -> str:
    return str(review["app"]["name"]) if review["app"] else reviewing.label(review)


def pin(
    wanted: ForArgument = None, *, pipeline: PipelineOption = None, app: AppOption = None, json: JsonOption = False
) -> None:
    """Keep a review app however long it is idle."""
    _pin("Pinning", wanted, pipeline, app, pinned=True, json=json)


def unpin(
    wanted: ForArgument = None, *, pipeline: PipelineOption = None, app: AppOption = None, json: JsonOption = False
) -> None:
    """Let a review app go when it is idle, as the settings say."""
    _pin("Unpinning", wanted, pipeline, app, pinned=False, json=json)


def _pin(doing: str, wanted: str | None, pipeline: str | None, app: str | None, *, pinned: bool, json: bool) -> None:
    client = Client(profile=load())
    review = _find(client, wanted, pipeline, app)
    with output.action(f"{doing} review app {_name(review)}", quiet=json):
        changed = client.call("PATCH", path("review-apps", review["id"]), {"pinned": pinned}).data
    if json:
        output.show_json(changed)


def logs(
    wanted: ForArgument = None,
    *,
    pipeline: PipelineOption = None,
    app: AppOption = None,
    tail: ps.TailOption = False,
    number: ps.LinesOption = 100,
    dyno: ps.DynoOption = None,
    json: JsonLinesOption = False,
) -> None:
    """Show what a review app writes."""
    client = Client(profile=load())
    review = _find(client, wanted, pipeline, app)
    if review["app"] is None:
        raise Stop(
            f"There is no app for {reviewing.label(review)} yet: it is {review['state']} ({review['reason'] or '-'})."
        )
    following.logs(client, review["app"]["name"], lines=number, tail=tail, process=dyno, as_json=json)


def one_of(reviews: list[Json], reference: Json, pipeline: Json) -> Json:
    """The review app of a pull request or branch; stops with those there are."""
    wanted = next(iter(reference.values()))
    found = [review for review in reviews if all(review[key] == value for key, value in reference.items())]
    # A pull request comes from a branch too, maybe from one of that name in a fork: the branch's own goes first.
    if own := [review for review in found if "pr_number" in reference or review["pr_number"] is None]:
        return own[0]
    if len(found) == 1:
        return found[0]
    if found:
        several = " and ".join(sorted(map(reviewing.label, found), key=lambda it: int(it.removeprefix("#"))))
        raise Stop(f"Which one? {several} come from a branch {wanted}: name the pull request.", code=ExitCode.USAGE)
    known = ", ".join(reviewing.label(review) for review in reviews) or "none"
    raise Stop(f"Pipeline {pipeline['name']} has no review app for {wanted}; it has: {known}.")


StaleDays = Annotated[
    int | None, typer.Option("--destroy-stale-days", metavar="N", min=1, max=30, help="Destroy after N idle days.")
]
Automatic = Annotated[
    bool | None,
    typer.Option("--automatic/--no-automatic", "--autodeploy/--no-autodeploy", help="For every pull request."),
]
WaitForCi = Annotated[bool | None, typer.Option("--wait-for-ci/--no-wait-for-ci", help="Create after CI has passed.")]
DestroyStale = Annotated[
    bool | None,
    typer.Option("--destroy-stale/--no-destroy-stale", "--autodestroy/--no-autodestroy", help="Destroy idle ones."),
]


CiCounts = Annotated[
    str | None,
    typer.Option(
        "--ci-counts",
        metavar="all|required|protected",
        help="Which statuses and checks must succeed: all, those named by --required-context, or those that the "
        "branch's protection and rulesets require.",
    ),
]
Contexts = Annotated[
    list[str] | None, typer.Option("--required-context", metavar="NAME", help="Must succeed. May be repeated.")
]
Ignored = Annotated[
    list[str] | None,
    typer.Option("--ignored-context", metavar="NAME", help="Never counts, required or not. May be repeated."),
]
Settle = Annotated[
    float | None,
    typer.Option("--settle-seconds", metavar="N", min=0, help="How long CI has to begin before green counts."),
]

Forks = Annotated[
    str | None, typer.Option("--forks", metavar="never|approve", help="Of forks and bots: none, or approved commits.")
]
ApprovalBlocks = Annotated[
    bool | None,
    typer.Option("--approval-blocks/--no-approval-blocks", help="Awaited approval keeps a required check waiting."),
]


def enable(
    pipeline: PipelineOption = None,
    app: AppOption = None,
    remote: RemoteOption = None,
    automatic: Automatic = None,
    wait_for_ci: WaitForCi = None,
    destroy_stale: DestroyStale = None,
    destroy_stale_days: StaleDays = None,
    base_name: Annotated[str | None, typer.Option("--base-name", metavar="NAME", help="Begins their names.")] = None,
    max_review_apps: Annotated[
        int | None, typer.Option("--max", metavar="N", min=0, help="At most N at a time; 0 for no limit.")
    ] = None,
    drafts: Annotated[bool | None, typer.Option("--drafts/--no-drafts", help="For drafts too.")] = None,
    comment: Annotated[bool | None, typer.Option("--comment/--no-comment", help="Comment on pull requests.")] = None,
    ci_counts: CiCounts = None,
    required_contexts: Contexts = None,
    ignored_contexts: Ignored = None,
    settle_seconds: Settle = None,
    forks: Forks = None,
    approval_blocks: ApprovalBlocks = None,
    confirm: ConfirmOption = None,
    json: JsonOption = False,
) -> None:
    """Enable review apps, or change their settings. What takes review apps away asks first."""
    if destroy_stale_days is not None and destroy_stale is None:
        destroy_stale = True
    settings = {
        "automatic_review_apps": automatic,
        "wait_for_ci": wait_for_ci,
        "destroy_stale_apps": destroy_stale,
        "stale_days": destroy_stale_days,
        "base_name": base_name,
        "max_review_apps": max_review_apps,
        "drafts": drafts,
        "comment": comment,
        "ci_counts": ci_counts,
        "required_contexts": required_contexts or None,
        "ignored_contexts": ignored_contexts or None,
        "settle_seconds": settle_seconds,
        "forks": forks,
        "approval_blocks": approval_blocks,
    }
    client = Client(profile=load())
    found = target.pipeline(client, pipeline, app=app, remote=remote)
    _configure(client, found, settings, confirm, json=json)


def _configure(client: Client, found: Json, settings: Json, confirm: str | None, *, json: bool) -> None:
    where = path("pipelines", found["id"], "review-app-config")
    body = {key: value for key, value in settings.items() if value is not None}
    config = leaving.change(
        client,
        "POST" if client.get_if_any(where) is None else "PATCH",
        where,
        body,
        pipeline=found,
        given=confirm,
        doing=f"Configuring {found['name']} pipeline",
        quiet=json,
    )
    if json:
        output.show_json(config)
    else:
        _show(config)


def _show(config: Json) -> None:
    def switch(value: Any) -> str:
        return {True: "on", False: "off"}.get(value, str(value))

    stale = f"after {config['stale_days']} days" if config["destroy_stale_apps"] else "off"
    named = {"labels": "labels", "base_branches": "base branches", "paths": "paths"}
    rows = {
        "automatic": switch(config["automatic_review_apps"]),
        "wait for CI": switch(config["wait_for_ci"]),
        f"{config['idle_action']} stale": stale,
        "base name": config["base_name"] or "the pipeline's",
        "at most": str(config["max_review_apps"] or "no limit"),
        "drafts": switch(config["drafts"]),
        "comment": switch(config["comment"]),
        "CI counts": _counted(config),
        "forks and bots": "approved commits only" if config["forks"] == "approve" else "never",
        **{label: ", ".join(config[name]) for name, label in named.items() if config[name]},
    }
    output.table([[f"{key}:", value] for key, value in rows.items()])


def _counted(config: Json) -> str:
    """Which statuses and checks decide."""
    match config["ci_counts"]:
        case "protected":
            chosen = "what the branch's protection and rulesets require"
        case "required":
            chosen = ", ".join(config["required_contexts"])
        case _:
            chosen = "all statuses and checks"
    ignored = f", but for {', '.join(config['ignored_contexts'])}" if config["ignored_contexts"] else ""
    return f"{chosen}{ignored}, after {config['settle_seconds']:g} s"


def disable(
    pipeline: PipelineOption = None,
    app: AppOption = None,
    remote: RemoteOption = None,
    confirm: ConfirmOption = None,
    json: JsonOption = False,
) -> None:
    """Disable review apps. Those there are get destroyed, which asks first."""
    client = Client(profile=load())
    found = target.pipeline(client, pipeline, app=app, remote=remote)
    config = leaving.change(
        client,
        "DELETE",
        path("pipelines", found["id"], "review-app-config"),
        pipeline=found,
        given=confirm,
        doing=f"Disabling review apps of {found['name']} pipeline",
        quiet=json,
    )
    if json:
        output.show_json(config)


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command("reviewapps")(listing)
    cli.command("reviewapps:create")(create)
    cli.command("reviewapps:destroy")(destroy)
    cli.command("reviewapps:pin")(pin)
    cli.command("reviewapps:unpin")(unpin)
    cli.command("reviewapps:logs")(logs)
    cli.command("reviewapps:enable")(enable)
    cli.command("reviewapps:disable")(disable)
