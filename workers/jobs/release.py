"""Release a slug with a config: number, release phase, healthy processes, traffic. The former serves until then."""

import secrets as stdlib_secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import structlog

from service.domain.decisions import ChangeConfig, ReleaseSlug, Restart, Rollback, Scale, Suspend
from service.domain.errors import Refused
from service.domain.lifecycle import LONGEST_COMMAND
from service.domain.manifest import Manifest, resolve_env
from service.domain.model import (
    FORKS,
    App,
    Release,
    ReleaseState,
    RepositoryId,
    RequestState,
    ReviewApp,
    ReviewState,
    Sha,
    Slug,
    SlugId,
    Stage,
    Trust,
)
from service.domain.review_rules import LOST
from service.enact import Transaction, app_or_refuse
from service.store import (
    activity,
    approvals,
    apps,
    builds,
    logs,
    pipelines,
    releases,
    requests,
    reviews,
    routes,
    spaces,
)
from service.store.requests import TakenWork
from service.store.secrets import request_context
from workers.context import Context
from workers.jobs import command, fenced, settle, together
from workers.jobs.built_from import BuiltFrom
from workers.jobs.locked import check_unlocked
from workers.jobs.rollout import LIVE, Rollout, go, spec_of

log = structlog.get_logger()

COMMAND_SECONDS = LONGEST_COMMAND.total_seconds()
_WHOSE = {Trust.OWN: "review apps", Trust.FORK: "forks", Trust.SENT: "review apps"}
RELEASE_ATTEMPTS = 3


class NotItsTurn(Exception):
    """Numbers were given while this was built: they come first, and it is taken up again behind them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a release is made of, known when its turn starts; `description` is for one that has no number yet."""

    slug_id: SlugId | None
    commit: Sha | None
    repository_id: RepositoryId | None
    config: Mapping[str, str]
    formation: Mapping[str, int]
    postdeploy: str = ""
    description: str = ""


async def release_slug(
    context: Context, taken: TakenWork, *, slug: Slug, source: BuiltFrom, manifest: Manifest
) -> None:
    """Release what was just built."""

    def plan(tx: Transaction) -> Plan:
        app = _app(tx, taken)
        review = reviews.of_app(tx.conn, app.id) if app.is_review else None
        config = first_config(tx, app, review, manifest, slug.trust)
        asked = manifest.formation if app.current_release_id is None or app.is_review else {}
        return Plan(
            slug_id=slug.id,
            commit=source.commit,
            repository_id=source.repository_id,
            description=source.description,
            config=config,
            formation=formation_of(app, slug, asked, scaled=_scaled(tx, app)),
            postdeploy=manifest.scripts.get("postdeploy", "")
            if review is not None and not reviews.postdeploy_done(tx.conn, review.id)
            else "",
        )

    await _release(context, taken, plan)


async def release(context: Context, taken: TakenWork) -> None:
    """Work off a number: a promotion, a retry, a change of config or a rollback, on top of what succeeded last."""

    def plan(tx: Transaction) -> Plan:
        app = _app(tx, taken)
        wanted = taken.work
        slug_id: SlugId | None
        commit: Sha | None
        repository_id: RepositoryId | None
        match wanted:
            case ReleaseSlug():
                config = apps.config(tx.conn, tx.vault, app.id)
                slug_id, commit, repository_id = wanted.slug_id, wanted.commit, wanted.repository_id
            case ChangeConfig():
                last = releases.last_succeeded(tx.conn, app.id)
                assert taken.sealed is not None
                config = tx.vault.unseal_vars(taken.sealed, request_context(app.id))
                slug_id, commit, repository_id = _slug_of(last)
            case Rollback():
                former = releases.get(tx.conn, wanted.release_id)
                if former is None or former.state is not ReleaseState.SUCCEEDED:
                    raise Refused(f"v{wanted.version} cannot be rolled back to: it did not succeed or has expired")
                config = releases.config(tx.conn, tx.vault, former.id)
                if wanted.keep_config:
                    config = apps.config(tx.conn, tx.vault, app.id)
                slug_id, commit, repository_id = _slug_of(former)
            case _:
                raise AssertionError(f"{taken.request.kind} is no release")
        slug = builds.slug(tx.conn, slug_id) if slug_id else None
        return Plan(
            slug_id=slug_id,
            commit=commit,
            repository_id=repository_id,
            config=config,
            formation=formation_of(app, slug, {}, scaled=app.formation) if slug else dict(app.formation),
        )

    await _release(context, taken, plan)


async def _release(context: Context, taken: TakenWork, plan: Callable[[Transaction], Plan]) -> None:
    def begin(tx: Transaction) -> tuple[Release, Plan, Rollout | None]:
        check_unlocked(context, taken, tx.conn)
        together.check(tx.conn, taken)
        return _make(tx, taken, plan(tx))

    made, fixed, rollout = await fenced.commit(context, taken, begin)
    if rollout is None:
        await settle.end(context, taken, state=RequestState.SUCCEEDED, outcome=made.description)
        return
    async with fenced.log(context, taken, made.log_id, secrets=rollout.config.values()) as sink:
        spec = await spec_of(context, rollout)
        if phase := rollout.slug.process_types.get("release", ""):
            await _release_phase(context, taken, rollout, phase, sink)
        if fixed.postdeploy:
            await _postdeploy(context, taken, rollout, fixed.postdeploy, sink)
        await together.join(context, taken)
        await fenced.step(context, taken, "start")
        await go(context, taken, spec=spec, rollout=rollout, log=sink)
    await settle.end(context, taken, state=RequestState.SUCCEEDED, outcome=f"released v{made.version}")


def _make(tx: Transaction, taken: TakenWork, plan: Plan) -> tuple[Release, Plan, Rollout | None]:
    """Find the release or, for what was just built, make it; fix what it runs with unless a predecessor did."""
    app = _app(tx, taken)
    made = releases.of_request(tx.conn, taken.request.id) or _made(tx, taken, plan)
    if not releases.is_fixed(tx.conn, made.id):
        made = releases.fix(
            tx.conn,
            release_id=made.id,
            slug_id=plan.slug_id,
            commit=plan.commit,
            repository_id=plan.repository_id,
            sealed_config=tx.vault.seal_vars(plan.config, releases.config_context(made.id)),
            now=tx.now,
        )
        tx.show_release(made.id)
        if plan.commit is not None:
            tx.show_commit(app.id, plan.commit)
    slug = builds.slug(tx.conn, made.slug_id) if made.slug_id else None
    if slug is None:
        return made, plan, None
    routes.announce(tx.conn, app=app)
    return (
        made,
        plan,
        Rollout(
            app=app,
            release=made,
            slug=slug,
            config=releases.config(tx.conn, tx.vault, made.id),
            formation=plan.formation,
            incarnation=requests.incarnation(tx.conn, app.id),
            review=reviews.of_app(tx.conn, app.id) if app.is_review else None,
            driver=spaces.driver_of(tx.conn, app.space_id),
        ),
    )


def _made(tx: Transaction, taken: TakenWork, plan: Plan) -> Release:
    if requests.number_waits(tx.conn, taken.request.app_id):
        raise NotItsTurn
    return releases.create(
        tx.conn,
        app_id=taken.request.app_id,
        request_id=taken.request.id,
        slug_id=plan.slug_id,
        commit=plan.commit,
        repository_id=plan.repository_id,
        description=plan.description,
        actor=taken.actor,
        log_id=logs.open_log(tx.conn, tx.now),
        now=tx.now,
    )


async def _release_phase(
    context: Context, taken: TakenWork, rollout: Rollout, command_line: str, sink: logs.LogSink
) -> None:
    """Run the release command; it may be repeated, and is when a machine's death hid how it ended."""
    await fenced.step(context, taken, "release")
    for attempt in range(1, RELEASE_ATTEMPTS + 1):
        name = f"release-{rollout.release.id}" + (f"-{attempt}" if attempt > 1 else "")
        code = await command.once(
            context, taken, rollout, step="release", name=name, command=command_line, sink=sink, seconds=COMMAND_SECONDS
        )
        if code is not None:
            return _check("release", code, command_line)
    raise Refused(f"release command was cut off {RELEASE_ATTEMPTS} times: {command_line}")


async def _postdeploy(
    context: Context, taken: TakenWork, rollout: Rollout, command_line: str, sink: logs.LogSink
) -> None:
    """Run the review app's script; it is done with once it has succeeded, or nobody knows whether it has."""
    await fenced.step(context, taken, "postdeploy")
    name = f"postdeploy-{rollout.release.id}"
    code = await command.once(
        context, taken, rollout, step="postdeploy", name=name, command=command_line, sink=sink, seconds=COMMAND_SECONDS
    )
    review = rollout.review
    if not code and review is not None:
        await fenced.commit(context, taken, lambda tx: reviews.set_postdeploy_done(tx.conn, review.id))
    if code is None:
        raise Refused(f"postdeploy command was cut off and is not run again; deploy again to go on: {command_line}")
    _check("postdeploy", code, command_line)


def _check(step: str, code: int, command_line: str) -> None:
    if code:
        raise Refused(f"{step} command failed with exit code {code}: {command_line}")


async def reshape(context: Context, taken: TakenWork) -> None:
    """Scale, restart or suspend: the current release in another number or anew; no new release."""
    if isinstance(taken.work, Suspend) and await _overtaken(context, taken, taken.work):
        return

    def plan(tx: Transaction) -> Rollout:
        app = _app(tx, taken)
        current = releases.get(tx.conn, app.current_release_id) if app.current_release_id else None
        slug = builds.slug(tx.conn, current.slug_id) if current and current.slug_id else None
        if current is None or slug is None:
            raise Refused(f"{app.name} has no release yet")
        formation, incarnation = dict(app.formation), requests.incarnation(tx.conn, app.id)
        match taken.work:
            case Scale(formation=wanted):
                formation |= wanted
            case Restart():
                incarnation += 0 if taken.step == LIVE else 1
            case Suspend():
                formation = dict.fromkeys(formation, 0)
            case _:
                raise AssertionError(f"{taken.request.kind} changes no shape")
        return Rollout(
            app=app,
            release=current,
            slug=slug,
            config=releases.config(tx.conn, tx.vault, current.id),
            formation=formation,
            incarnation=incarnation,
            review=None,
            driver=spaces.driver_of(tx.conn, app.space_id),
            suspended=taken.work.reason if isinstance(taken.work, Suspend) else None,
        )

    rollout = await fenced.commit(context, taken, plan)
    async with fenced.log(context, taken, rollout.release.log_id, secrets=rollout.config.values()) as sink:
        await go(context, taken, spec=await spec_of(context, rollout), rollout=rollout, log=sink)
    await settle.end(context, taken, state=RequestState.SUCCEEDED, outcome=taken.request.reason)


async def _overtaken(context: Context, taken: TakenWork, wanted: Suspend) -> bool:
    """Whether an idle app is to run on: a deploy waits behind it, or it was pinned.

    Without access it stops anyway, and so does one that a person stops.
    """
    newer, review = await context.db.read(
        lambda conn: (requests.newer_deploy(conn, taken.request), reviews.of_app(conn, taken.request.app_id))
    )
    is_pinned = review is not None and review.pinned and review.state is not ReviewState.SUSPENDED
    if wanted.reason == LOST or taken.request.by_person or not (newer or is_pinned):
        return False
    outcome = f"superseded by {(newer.sha or '')[:7]}" if newer else "superseded: it is pinned"
    await settle.end(context, taken, state=RequestState.SUPERSEDED, outcome=outcome)
    return True


def formation_of(app: App, slug: Slug, asked: Mapping[str, int], *, scaled: Collection[str]) -> dict[str, int]:
    """Say how many of each type run: of those that were `scaled` as before, else as app.json asks, else one `web`."""
    types = [kind for kind in slug.process_types if kind != "release"]
    kept = {kind: app.formation[kind] for kind in scaled if kind in app.formation}
    return {kind: kept.get(kind, asked.get(kind, int(kind == "web"))) for kind in types}


def _scaled(tx: Transaction, app: App) -> Collection[str]:
    """Name the process types of which app.json does not say how many: of a review app those that a person scaled."""
    return activity.by_hand(tx.conn, app.id, Scale.__name__) if app.is_review else app.formation


def first_config(
    tx: Transaction, app: App, review: ReviewApp | None, manifest: Manifest, trust: Trust
) -> Mapping[str, str]:
    """Return the wanted config; a review app's comes from its pipeline and from app.json, read at each push.

    A value that app.json gives counts as it says now, unless the pipeline or a person has set it.
    Code of a fork gets what was set for forks, and nothing that the review apps of our own branches get. So does our
    own in the app of a fork's pull request: what that app was given stays in its config.
    """
    config = apps.config(tx.conn, tx.vault, app.id)
    if review is None:
        return config
    trust = Trust.FORK if _is_of_fork(tx, review) else trust
    stage = FORKS if trust is Trust.FORK else Stage.REVIEW
    of_stage = pipelines.stage_config(tx.conn, tx.vault, review.pipeline_id, stage)
    kept = {*of_stage, *activity.by_hand(tx.conn, app.id, ChangeConfig.__name__)}
    from_file = {name for name, var in manifest.env.items() if var.value is not None} - kept
    given = of_stage | {name: value for name, value in config.items() if name not in from_file}
    injected = {"HEROKU_APP_NAME": app.name, "HEROKU_BRANCH": review.branch}
    if review.ref.startswith("pr:"):
        injected["HEROKU_PR_NUMBER"] = review.ref.removeprefix("pr:")
    resolved = {
        **given,
        **resolve_env(manifest, given, lambda: stdlib_secrets.token_hex(32), whose=_WHOSE[trust]),
        **injected,
    }
    if resolved != config:
        apps.set_config(tx.conn, tx.vault, app_id=app.id, vars=resolved, now=tx.now)
    return resolved


def _is_of_fork(tx: Transaction, review: ReviewApp) -> bool:
    """Whether a commit of its pull request was ever approved: no fork's has an app before, and no other needs it."""
    kind, _, number = review.ref.partition(":")
    if kind != "pr":
        return False
    return bool(
        approvals.shas(tx.conn, pipeline_id=review.pipeline_id, repository_id=review.repository_id, number=int(number))
    )


def _app(tx: Transaction, taken: TakenWork) -> App:
    return app_or_refuse(tx.conn, taken.request.app_id)


def _slug_of(found: Release | None) -> tuple[SlugId | None, Sha | None, RepositoryId | None]:
    return (found.slug_id, found.commit, found.repository_id) if found else (None, None, None)
