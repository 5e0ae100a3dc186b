"""What the activity log says of each change that the audit makes.

Names and ids that are another in each run stand here as NAME, ID, run.N and towpath-PREFIX.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """What is on record of a change: the act, by name the app and pipeline that it is about, and what was changed."""

    action: str
    app: str = ""
    pipeline: str = ""
    ref: str = ""
    sha: str = ""
    data: Any = MappingProxyType({})


RECORDS: Mapping[str, list[Entry]] = {
    "POST /account/app-transfers": [Entry("app offered", app="crew-spare", data={"to": "member@example.com"})],
    "PATCH /account/app-transfers/{transfer}": [
        Entry("app declined", app="crew-staging", data={"from": "admin@example.com"})
    ],
    "DELETE /account/app-transfers/{transfer}": [
        Entry("app offer withdrawn", app="crew-staging", data={"to": "member@example.com"})
    ],
    "POST /account/sign-in-links": [Entry("sign-in link made")],
    "POST /app-setups": [
        Entry("app created", app="set-up"),
        Entry("app added", app="set-up", pipeline="crew-pipe", data={"stage": "staging"}),
        Entry("requested", app="set-up", sha="a" * 40, data={"kind": "Deploy", "reason": "deploy of main"}),
    ],
    "POST /apps": [Entry("app created", app="NAME")],
    "PATCH /apps/{app}": [Entry("maintenance switched", app="crew-staging", data={"maintenance": False})],
    "DELETE /apps/{app}": [
        Entry(
            "requested", app="crew-staging", data={"kind": "Destroy", "reason": "destroyed by user:admin@example.com"}
        )
    ],
    "PUT /apps/{app}/build-config": [Entry("build config changed", app="crew-spare", data={"names": ["A"]})],
    "POST /apps/{app}/builds": [
        Entry("requested", app="crew-staging", sha="a" * 40, data={"kind": "Deploy", "reason": "deploy of main"})
    ],
    "DELETE /apps/{app}/builds/{build}": [
        Entry("Deploy cancelled", app="crew-staging", sha="a" * 40, data={"outcome": "cancelled by admin@example.com"})
    ],
    "POST /apps/{app}/collaborators": [
        Entry(
            "access given",
            app="crew-staging",
            data={"email": "rival@example.com", "permissions": ["deploy", "operate", "view"]},
        )
    ],
    "PATCH /apps/{app}/collaborators/{collaborator}": [
        Entry("access given", app="crew-staging", data={"email": "view@example.com", "permissions": ["deploy", "view"]})
    ],
    "DELETE /apps/{app}/collaborators/{collaborator}": [
        Entry("access taken", app="crew-staging", data={"email": "view@example.com"})
    ],
    "PATCH /apps/{app}/config-vars": [
        Entry(
            "requested",
            app="crew-staging",
            data={"kind": "ChangeConfig", "names": ["A"], "reason": "Set A config vars"},
        )
    ],
    "POST /apps/{app}/deploy-locks": [
        Entry(
            "deploys locked",
            app="crew-staging",
            data={"lock": "locked by admin@example.com: for the audit", "name": "crew-staging"},
        )
    ],
    "POST /apps/{app}/dynos": [
        Entry("one-off dyno run", app="crew-staging", data={"attached": False, "command": "true", "dyno": "run.N"})
    ],
    "DELETE /apps/{app}/dynos": [Entry("requested", app="crew-staging", data={"kind": "Restart", "reason": "restart"})],
    "DELETE /apps/{app}/dynos/{dyno}": [
        Entry("requested", app="crew-staging", data={"kind": "Restart", "reason": "restart"})
    ],
    "POST /apps/{app}/dynos/{dyno}/actions/stop": [
        Entry("one-off dyno stopped", app="crew-staging", data={"dyno": "run.N"})
    ],
    "PATCH /apps/{app}/formation": [
        Entry(
            "requested",
            app="crew-staging",
            data={"formation": {"web": 2}, "kind": "Scale", "names": ["web"], "reason": "scale"},
        )
    ],
    "PATCH /apps/{app}/formation/{type}": [
        Entry(
            "requested",
            app="crew-staging",
            data={"formation": {"web": 2}, "kind": "Scale", "names": ["web"], "reason": "scale"},
        )
    ],
    "DELETE /apps/{app}/formations/{type}": [
        Entry("requested", app="crew-staging", data={"kind": "Restart", "reason": "restart"})
    ],
    "POST /apps/{app}/formations/{type}/actions/stop": [
        Entry("requested", app="crew-staging", data={"kind": "Restart", "reason": "restart"})
    ],
    "PATCH /apps/{app}/github": [
        Entry(
            "auto-deploy switched", app="crew-staging", data={"branch": "main", "enabled": True, "wait_for_ci": False}
        )
    ],
    "POST /apps/{app}/releases": [
        Entry("requested", app="crew-staging", data={"kind": "Rollback", "reason": "Rollback to v1"})
    ],
    "POST /apps/{app}/sources": [Entry("source asked for", data={"id": "ID"})],
    "POST /apps/{app}/webhooks": [
        Entry("webhook added", app="crew-staging", data={"host": "localhost", "include": ["api:app"], "webhook": "ID"})
    ],
    "PATCH /apps/{app}/webhooks/{webhook}": [
        Entry(
            "webhook changed",
            app="crew-staging",
            data={
                "changed": ["authorization", "level", "secret"],
                "host": "localhost",
                "include": ["api:app"],
                "webhook": "ID",
            },
        )
    ],
    "DELETE /apps/{app}/webhooks/{webhook}": [
        Entry(
            "webhook removed", app="crew-staging", data={"host": "localhost", "include": ["api:app"], "webhook": "ID"}
        )
    ],
    "POST /apps/{app}/webhook-deliveries/{delivery}/actions/retry": [
        Entry(
            "webhook delivery asked for again",
            app="crew-staging",
            data={"delivery": "ID", "host": "localhost", "include": ["api:app"], "webhook": "ID"},
        )
    ],
    "DELETE /deploy-locks/{lock}": [
        Entry(
            "deploys unlocked",
            app="crew-spare",
            data={"lock": "locked by admin@example.com: for the audit", "name": "crew-spare"},
        )
    ],
    "POST /github/setups": [Entry("github setup begun", data={"organization": ""})],
    "POST /oauth/authorizations": [
        Entry(
            "token created",
            data={
                "description": "Long-lived user authorization",
                "prefix": "towpath-PREFIX",
                "scopes": ["global"],
                "token": "ID",
            },
        )
    ],
    "DELETE /oauth/authorizations/{authorization}": [
        Entry(
            "token revoked",
            data={"description": "First token", "prefix": "towpath-PREFIX", "scopes": ["global"], "token": "ID"},
        )
    ],
    "POST /oauth/authorizations/{authorization}/actions/regenerate-tokens": [
        Entry(
            "token rotated",
            data={"description": "First token", "prefix": "towpath-PREFIX", "scopes": ["global"], "token": "ID"},
        )
    ],
    "POST /pipeline-couplings": [
        Entry("app added", app="crew-spare", pipeline="crew-pipe", data={"stage": "development"})
    ],
    "PATCH /pipeline-couplings/{coupling}": [
        Entry("app moved", app="crew-staging", pipeline="crew-pipe", data={"from": "staging", "stage": "development"})
    ],
    "DELETE /pipeline-couplings/{coupling}": [
        Entry("app removed", app="crew-staging", pipeline="crew-pipe", data={"stage": "staging"})
    ],
    "POST /pipeline-promotions": [
        Entry("requested", app="crew-live", data={"kind": "ReleaseSlug", "reason": "Promote crew-staging v1 aaaaaaaa"}),
        Entry(
            "promoted",
            app="crew-staging",
            pipeline="crew-pipe",
            sha="a" * 40,
            data={"promotion": "ID", "targets": ["crew-live"]},
        ),
    ],
    "POST /pipeline-promotions/{promotion}/actions/undo": [
        Entry(
            "promotion undone",
            app="crew-staging",
            pipeline="crew-pipe",
            data={"promotion": "ID", "targets": ["crew-live"]},
        ),
        Entry("requested", app="crew-live", data={"kind": "Rollback", "reason": "Rollback to v1"}),
    ],
    "POST /pipeline-transfers": [
        Entry("app transferred", app="crew-live", data={"from": "crew", "to": "admin@example.com"}),
        Entry("app transferred", app="crew-staging", data={"from": "crew", "to": "admin@example.com"}),
        Entry("pipeline transferred", pipeline="crew-pipe", data={"from": "crew", "to": "admin@example.com"}),
    ],
    "POST /pipelines": [Entry("pipeline created", pipeline="another")],
    "PATCH /pipelines/{pipeline}": [
        Entry("pipeline renamed", pipeline="renamed", data={"from": "crew-pipe", "to": "renamed"})
    ],
    "DELETE /pipelines/{pipeline}": [Entry("pipeline deleted", pipeline="crew-pipe", data={"name": "crew-pipe"})],
    "PUT /pipelines/{pipeline}/build-config": [
        Entry("build config changed", pipeline="crew-pipe", data={"names": ["A"]})
    ],
    "POST /pipelines/{pipeline}/deploy-locks": [
        Entry(
            "deploys locked",
            pipeline="crew-pipe",
            data={"lock": "locked by admin@example.com: for the audit", "name": "crew-pipe"},
        )
    ],
    "PATCH /pipelines/{pipeline}/forks/config-vars": [
        Entry("stage config changed", pipeline="crew-pipe", data={"names": ["A"], "stage": "fork"})
    ],
    "POST /pipelines/{pipeline}/repository": [
        Entry("repository connected", pipeline="crew-pipe", data={"repository": "acme/other"})
    ],
    "PATCH /pipelines/{pipeline}/repository": [
        Entry("toggles changed", pipeline="crew-pipe", data={"automatic_review_apps": True})
    ],
    "DELETE /pipelines/{pipeline}/repository": [
        Entry("repository disconnected", pipeline="crew-pipe", data={"repository": "acme/shop"})
    ],
    "POST /pipelines/{pipeline}/review-app-config": [
        Entry("toggles changed", pipeline="crew-pipe", data={"review_apps": True})
    ],
    "PATCH /pipelines/{pipeline}/review-app-config": [
        Entry("toggles changed", pipeline="crew-pipe", data={"stale_days": 9})
    ],
    "DELETE /pipelines/{pipeline}/review-app-config": [
        Entry("toggles changed", pipeline="crew-pipe", data={"review_apps": False})
    ],
    "PATCH /pipelines/{pipeline}/settings": [Entry("toggles changed", pipeline="crew-pipe", data={"stale_days": 9})],
    "PATCH /pipelines/{pipeline}/stage/{stage}/config-vars": [
        Entry("stage config changed", pipeline="crew-pipe", data={"names": ["A"], "stage": "staging"})
    ],
    "POST /pipelines/{pipeline}/webhooks": [
        Entry(
            "webhook added",
            pipeline="crew-pipe",
            data={"host": "localhost", "include": ["api:promotion"], "webhook": "ID"},
        )
    ],
    "PATCH /pipelines/{pipeline}/webhooks/{pipeline_webhook}": [
        Entry(
            "webhook changed",
            pipeline="crew-pipe",
            data={"changed": ["level"], "host": "localhost", "include": ["api:promotion"], "webhook": "ID"},
        )
    ],
    "DELETE /pipelines/{pipeline}/webhooks/{pipeline_webhook}": [
        Entry(
            "webhook removed",
            pipeline="crew-pipe",
            data={"host": "localhost", "include": ["api:promotion"], "webhook": "ID"},
        )
    ],
    "POST /pipelines/{pipeline}/webhook-deliveries/{pipeline_delivery}/actions/retry": [
        Entry(
            "webhook delivery asked for again",
            pipeline="crew-pipe",
            data={"delivery": "ID", "host": "localhost", "include": ["api:promotion"], "webhook": "ID"},
        )
    ],
    "POST /review-apps": [Entry("review app create asked for", pipeline="crew-pipe", ref="branch:fix/cart")],
    "PATCH /review-apps/{review}": [Entry("review app pinned", pipeline="crew-pipe", ref="pr:7")],
    "DELETE /review-apps/{review}": [Entry("review app destroy asked for", pipeline="crew-pipe", ref="pr:7")],
    "POST /review-apps/{review}/approvals": [
        Entry("commit approved", pipeline="crew-pipe", ref="pr:11", sha="b" * 40, data={"how": "api"})
    ],
    "POST /sources": [Entry("source asked for", data={"id": "ID"})],
    "POST /spaces": [Entry("space created", data={"name": "elsewhere"})],
    "POST /teams": [Entry("team created", data={"name": "another", "team": "another"})],
    "POST /teams/apps": [Entry("app created", app="NAME")],
    "PATCH /teams/apps/{app}": [
        Entry("app transferred", app="crew-staging", data={"from": "crew", "to": "admin@example.com"})
    ],
    "POST /teams/apps/{app}/collaborators": [
        Entry(
            "access given",
            app="crew-staging",
            data={"email": "rival@example.com", "permissions": ["deploy", "operate", "view"]},
        )
    ],
    "PATCH /teams/apps/{app}/collaborators/{collaborator}": [
        Entry("access given", app="crew-staging", data={"email": "view@example.com", "permissions": ["deploy", "view"]})
    ],
    "DELETE /teams/apps/{app}/collaborators/{collaborator}": [
        Entry("access taken", app="crew-staging", data={"email": "view@example.com"})
    ],
    "PATCH /teams/{team}": [Entry("team renamed", data={"from": "crew", "team": "renamed", "to": "renamed"})],
    "DELETE /teams/{team}": [Entry("team deleted", data={"name": "empty", "team": "empty"})],
    "PUT /teams/{team}/invitations": [
        Entry("team invitation made", data={"email": "somebody@example.com", "role": "member", "team": "crew"})
    ],
    "DELETE /teams/{team}/invitations/{invitation}": [
        Entry("team invitation revoked", data={"email": "new-crew@example.com", "team": "crew"})
    ],
    "PUT /teams/{team}/members": [
        Entry("team member set", data={"email": "rival@example.com", "role": "viewer", "team": "crew"})
    ],
    "POST /teams/{team}/members": [
        Entry("team member set", data={"email": "rival@example.com", "role": "viewer", "team": "crew"})
    ],
    "PATCH /teams/{team}/members": [
        Entry("team member set", data={"email": "viewer@example.com", "role": "member", "team": "crew"})
    ],
    "DELETE /teams/{team}/members/{member}": [
        Entry("team member removed", data={"email": "guest@example.com", "team": "crew"})
    ],
    "POST /users": [Entry("user created", data={"admin": False, "email": "another@example.com", "github": None})],
    "PATCH /users/{user}": [Entry("user changed", data={"email": "viewer@example.com", "name": "Another"})],
    "DELETE /users/{user}": [Entry("user removed", data={"email": "viewer@example.com", "left": []})],
}
