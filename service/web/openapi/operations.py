"""Which route takes what and answers what: one line for each, in the order of their paths."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from service.web.api import bodies
from service.web.api.setup_bodies import CreateAppSetup


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What a route answers when all is well; `thing` of None is plain text, `status` of None is never well."""

    thing: str | None = None
    status: int | None = 200
    is_list: bool = False
    body: bodies.AnyBody | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    is_open: bool = False


def _one(thing: str, **query: str) -> Operation:
    return Operation(thing=thing, query=query)


def _many(thing: str, query: Mapping[str, str] | None = None) -> Operation:
    return Operation(thing=thing, is_list=True, query=query or {})


def _made(thing: str, body: bodies.AnyBody | None = None, status: int = 201) -> Operation:
    return Operation(thing=thing, status=status, body=body)


def _changed(thing: str, body: bodies.AnyBody | None = None) -> Operation:
    return Operation(thing=thing, body=body)


def _text(**query: str) -> Operation:
    return Operation(query=query, is_open=True)


_REFUSED: Final = Operation(status=None)
_KEY: Final = "The key in the address that the thing itself shows; with a token it is not needed."

OPERATIONS: Final[Mapping[str, Operation]] = {
    "GET /account": _one("account"),
    "GET /account/features": _many("account-feature"),
    "GET /account/features/{feature}": _one("account-feature"),
    "GET /account/rate-limits": _one("rate-limit"),
    "GET /activity": _many("activity", {"app": "Only of this app.", "pipeline": "Only of this pipeline."}),
    "POST /app-setups": _made("app-setup", CreateAppSetup, status=202),
    "GET /app-setups/{setup}": _one("app-setup"),
    "GET /apps": _many("app"),
    "POST /apps": _made("app", bodies.CreateApp),
    "GET /apps/{app}": _one("app"),
    "PATCH /apps/{app}": _changed("app", bodies.ChangeApp),
    "DELETE /apps/{app}": _changed("app"),
    "POST /apps/{app}/acm": _REFUSED,
    "PATCH /apps/{app}/acm": _REFUSED,
    "DELETE /apps/{app}/acm": _REFUSED,
    "GET /apps/{app}/addon-attachments": _many("absent"),
    "GET /apps/{app}/addons": _many("absent"),
    "DELETE /apps/{app}/build-cache": _REFUSED,
    "GET /apps/{app}/build-config": _one("build-config"),
    "PUT /apps/{app}/build-config": _changed("build-config", bodies.BuildConfig),
    "GET /apps/{app}/buildpack-installations": _many("absent"),
    "PUT /apps/{app}/buildpack-installations": _REFUSED,
    "GET /apps/{app}/builds": _many("build"),
    "POST /apps/{app}/builds": _made("build", bodies.CreateBuild),
    "GET /apps/{app}/builds/{build}": _one("build"),
    "DELETE /apps/{app}/builds/{build}": _REFUSED,
    "GET /apps/{app}/collaborators": _many("collaborator"),
    "GET /apps/{app}/config-vars": _one("config-vars"),
    "PATCH /apps/{app}/config-vars": _changed("config-vars", bodies.ConfigVars),
    "GET /apps/{app}/deploy-locks": _many("deploy-lock"),
    "POST /apps/{app}/deploy-locks": _made("deploy-lock", bodies.LockDeploys),
    "GET /apps/{app}/domains": _many("domain"),
    "POST /apps/{app}/domains": _REFUSED,
    "GET /apps/{app}/domains/{domain}": _one("domain"),
    "DELETE /apps/{app}/domains/{domain}": _REFUSED,
    "GET /apps/{app}/dynos": _many("dyno"),
    "POST /apps/{app}/dynos": _REFUSED,
    "DELETE /apps/{app}/dynos": _made("nothing", status=202),
    "GET /apps/{app}/dynos/{dyno}": _one("dyno"),
    "DELETE /apps/{app}/dynos/{dyno}": _made("nothing", status=202),
    "POST /apps/{app}/dynos/{dyno}/actions/stop": _made("nothing", status=202),
    "GET /apps/{app}/features": _many("absent"),
    "GET /apps/{app}/features/{feature}": _REFUSED,
    "PATCH /apps/{app}/features/{feature}": _REFUSED,
    "GET /apps/{app}/formation": _many("formation"),
    "PATCH /apps/{app}/formation": Operation(thing="formation", is_list=True, body=bodies.ChangeFormation),
    "GET /apps/{app}/formation/{type}": _one("formation"),
    "PATCH /apps/{app}/formation/{type}": _changed("formation", bodies.ChangeQuantity),
    "DELETE /apps/{app}/formations/{type}": _made("nothing", status=202),
    "POST /apps/{app}/formations/{type}/actions/stop": _made("nothing", status=202),
    "GET /apps/{app}/github": _one("github"),
    "PATCH /apps/{app}/github": _changed("github", bodies.ChangeGitHub),
    "GET /apps/{app}/log-drains": _many("absent"),
    "POST /apps/{app}/log-sessions": _made("log-session", bodies.LogSession),
    "GET /apps/{app}/pipeline-couplings": _one("pipeline-coupling"),
    "GET /apps/{app}/releases": _many("release"),
    "POST /apps/{app}/releases": _made("new-release", bodies.Rollback),
    "GET /apps/{app}/releases/{release}": _one("release"),
    "GET /apps/{app}/releases/{release}/config-vars": _one("config-vars"),
    "GET /apps/{app}/requests": _many("request"),
    "GET /apps/{app}/review-app": _one("review-app"),
    "POST /apps/{app}/slugs": _REFUSED,
    "GET /apps/{app}/slugs/{slug}": _one("slug"),
    "GET /apps/{app}/sni-endpoints": _many("absent"),
    "POST /apps/{app}/sources": _REFUSED,
    "GET /builds/{build}/output": _text(key=_KEY),
    "GET /deliveries": _many("delivery"),
    "GET /deliveries/{guid}": _one("delivery-with-payload"),
    "POST /delivery-replays": _made("delivery-replay", bodies.ReplayDeliveries, status=202),
    "GET /delivery-sources": _many("delivery-source"),
    "GET /deploy-locks": _many("deploy-lock"),
    "DELETE /deploy-locks/{lock}": _one("deploy-lock", force="`true` takes off the lock of somebody else."),
    "POST /filters/apps": Operation(thing="app", is_list=True, body=bodies.FilterApps),
    "POST /github/setups": _made("github-setup", bodies.BeginSetup),
    "POST /github/webhook": _changed("github-webhook", bodies.Webhook),
    "GET /healthz": _text(),
    "GET /log-sessions/{key}": _text(),
    "GET /metrics": Operation(),
    "GET /orphans": _many("orphan"),
    "DELETE /orphans/{orphan}": _made("orphan", status=202),
    "GET /pipeline-couplings": _many("pipeline-coupling"),
    "POST /pipeline-couplings": _made("pipeline-coupling", bodies.Couple),
    "GET /pipeline-couplings/{coupling}": _one("pipeline-coupling"),
    "PATCH /pipeline-couplings/{coupling}": _changed("pipeline-coupling", bodies.Move),
    "DELETE /pipeline-couplings/{coupling}": _changed("pipeline-coupling"),
    "POST /pipeline-promotions": _made("pipeline-promotion", bodies.Promote),
    "GET /pipeline-promotions/{promotion}": _one("pipeline-promotion"),
    "GET /pipeline-promotions/{promotion}/promotion-targets": _many("promotion-target"),
    "GET /pipelines": _many("pipeline", {"eq[name]": "Only those of this name."}),
    "POST /pipelines": _made("pipeline", bodies.CreatePipeline),
    "GET /pipelines/{pipeline}": _one("pipeline"),
    "PATCH /pipelines/{pipeline}": _changed("pipeline", bodies.ChangePipeline),
    "DELETE /pipelines/{pipeline}": _changed("pipeline"),
    "GET /pipelines/{pipeline}/build-config": _one("build-config"),
    "PUT /pipelines/{pipeline}/build-config": _changed("build-config", bodies.BuildConfig),
    "GET /pipelines/{pipeline}/deploy-locks": _many("deploy-lock"),
    "POST /pipelines/{pipeline}/deploy-locks": _made("deploy-lock", bodies.LockDeploys),
    "GET /pipelines/{pipeline}/forks/config-vars": _one("config-vars"),
    "PATCH /pipelines/{pipeline}/forks/config-vars": _changed("config-vars", bodies.ConfigVars),
    "GET /pipelines/{pipeline}/latest-builds": _many("build"),
    "GET /pipelines/{pipeline}/latest-deployments": _many("release"),
    "GET /pipelines/{pipeline}/latest-releases": _many("release"),
    "GET /pipelines/{pipeline}/pipeline-couplings": _many("pipeline-coupling"),
    "GET /pipelines/{pipeline}/pipeline-stack": _one("pipeline-stack"),
    "GET /pipelines/{pipeline}/repo": _one("repository"),
    "GET /pipelines/{pipeline}/repo/branches/{branch}": _one("branch"),
    "GET /pipelines/{pipeline}/repository": _one("repository"),
    "POST /pipelines/{pipeline}/repository": _made("repository", bodies.ConnectRepository),
    "PATCH /pipelines/{pipeline}/repository": _changed("repository", bodies.ChangeRepository),
    "DELETE /pipelines/{pipeline}/repository": _changed("repository"),
    "GET /pipelines/{pipeline}/review-app-config": _one("review-app-config"),
    "POST /pipelines/{pipeline}/review-app-config": _made("review-app-config", bodies.ReviewAppConfig),
    "PATCH /pipelines/{pipeline}/review-app-config": _changed("review-app-config", bodies.ReviewAppConfig),
    "DELETE /pipelines/{pipeline}/review-app-config": _changed("review-app-config"),
    "GET /pipelines/{pipeline}/review-apps": _many("review-app"),
    "GET /pipelines/{pipeline}/settings": _one("settings"),
    "PATCH /pipelines/{pipeline}/settings": _changed("settings", bodies.PipelineSettings),
    "GET /pipelines/{pipeline}/stage/{stage}/config-vars": _one("config-vars"),
    "PATCH /pipelines/{pipeline}/stage/{stage}/config-vars": _changed("config-vars", bodies.ConfigVars),
    "GET /pipelines/{pipeline}/test-runs": _many("absent"),
    "GET /pipelines/{pipeline}/test-runs/{number}": _REFUSED,
    "GET /readyz": _text(),
    "GET /regions": _many("region"),
    "GET /regions/{region}": _one("region"),
    "GET /releases/{release}/output": _text(key=_KEY),
    "GET /requests/{request}": _one("progress"),
    "POST /review-apps": _made("review-app", bodies.CreateReviewApp),
    "GET /review-apps/{review}": _one("review-app"),
    "PATCH /review-apps/{review}": _changed("review-app", bodies.ChangeReviewApp),
    "DELETE /review-apps/{review}": _changed("review-app"),
    "GET /review-apps/{review}/approvals": _many("approval"),
    "POST /review-apps/{review}/approvals": _made("review-app", bodies.Approve),
    "POST /sources": _REFUSED,
    "GET /spaces": _many("space"),
    "POST /spaces": _made("space", bodies.CreateSpace),
    "GET /stacks": _many("stack"),
    "GET /stacks/{stack}": _one("stack"),
    "GET /teams": _many("absent"),
    "GET /teams/{team}": _REFUSED,
    "POST /test-runs": Operation(status=None, body=bodies.CreateTestRun),
    "GET /test-runs/{run}": _REFUSED,
    "PATCH /test-runs/{run}": _REFUSED,
    "GET /test-runs/{run}/test-cases": _REFUSED,
    "GET /test-runs/{run}/test-nodes": _REFUSED,
    "GET /users/{user}": _one("account"),
    "GET /users/{user}/apps": _many("app"),
    "GET /users/{user}/pipeline-couplings": _many("pipeline-coupling"),
    "GET /why": _one("trail", q="A commit, a pull request (#12) or an app."),
}
