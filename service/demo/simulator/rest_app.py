"""REST of the App and its installations: tokens, hook deliveries, and who one is."""

from typing import Any

import aiohttp

from service.demo.simulator import shapes
from service.demo.simulator.calls import Answer, Call, Problem, Route, forbidden, not_found
from service.demo.simulator.sign_in_pages import client_id
from service.demo.simulator.state import RANK, Installation, stamp


async def get_app(call: Call) -> Answer:
    """Our App."""
    count = {"installations_count": len(call.sim.installations)}
    return Answer(body=shapes.app(call.sim.site, call.sim.app) | count)


async def convert_manifest(call: Call) -> Answer:
    """The last step of the one-click set-up: a code becomes the App's secrets, once."""
    issued = call.sim.take_code(call.word("code"))
    if issued is None:
        raise not_found()
    secrets = {
        "client_secret": issued.client_secret,
        "webhook_secret": call.sim.webhook_secret,
        "pem": call.sim.private_key_pem,
    }
    return Answer(status=201, body=shapes.app(call.sim.site, call.sim.app) | secrets)


async def list_installations(call: Call) -> Answer:
    """All installations."""
    sim = call.sim
    return call.paged([shapes.installation(sim.site, one, sim.app) for one in sim.installations.values()])


def _installation(call: Call) -> Installation:
    one = call.sim.installations.get(call.number("installation_id"))
    if one is None:
        raise not_found()
    return one


async def get_installation(call: Call) -> Answer:
    """One installation."""
    return Answer(body=shapes.installation(call.sim.site, _installation(call), call.sim.app))


async def get_repository_installation(call: Call) -> Answer:
    """The installation that covers a repository."""
    one = call.sim.installation_of(call.repo)
    if one is None:
        raise not_found()
    return Answer(body=shapes.installation(call.sim.site, one, call.sim.app))


async def create_access_token(call: Call) -> Answer:
    """A token of one hour, narrowed to the repositories and permissions asked for."""
    one, sim, body = _installation(call), call.sim, call.body
    if one.suspended_at:
        raise Problem(403, "This installation has been suspended")
    repos = sim.repositories_of(one)
    wanted: set[int] | None = None
    if "repository_ids" in body or "repositories" in body:
        ids, names = set(body.get("repository_ids", [])), set(body.get("repositories", []))
        wanted = {repo.id for repo in repos if repo.id in ids or repo.name in names}
        if len(wanted) < len(ids) + len(names):
            text = (
                "There is at least one repository that does not exist or is not accessible to the parent installation."
            )
            raise Problem(422, text)
    permissions: dict[str, str] = body.get("permissions") or dict(one.permissions)
    for name, level in permissions.items():
        if RANK.get(level, 9) > RANK[one.permissions.get(name, "none")]:
            raise Problem(422, "The permissions requested are not granted to this installation.")
    # Metadata is part of every token (GitHub docs, permissions of GitHub Apps).
    permissions = permissions | {"metadata": "read"}
    token, expires = sim.keys.issue(
        one, repository_ids=None if wanted is None else frozenset(wanted), permissions=permissions, now=sim.now()
    )
    shown: dict[str, Any] = {
        "token": token,
        "expires_at": stamp(expires),
        "permissions": permissions,
        "repository_selection": "all" if wanted is None and one.repository_ids is None else "selected",
    }
    if wanted is not None:
        shown["repositories"] = [shapes.repository(sim.site, repo) for repo in repos if repo.id in wanted]
    return Answer(status=201, body=shown)


async def revoke_token(call: Call) -> Answer:
    """Give the token back."""
    call.installation()
    call.sim.keys.revoke(call.caller.key)
    return Answer(status=204)


async def list_repositories(call: Call) -> Answer:
    """The repositories a token opens."""
    one, only = call.installation(), call.caller.repository_ids
    repos = [repo for repo in call.sim.repositories_of(one) if only is None or repo.id in only]
    shown = [shapes.repository(call.sim.site, repo) for repo in repos]
    selection = "all" if one.repository_ids is None else "selected"
    return call.paged(shown, "repositories", repository_selection=selection)


# The hook ---------------------------------------------------------------------------------------


def _hook(call: Call) -> Answer:
    config = {"content_type": "json", "insecure_ssl": "0", "secret": "********", "url": call.sim.webhook_url}
    return Answer(body=config)


async def get_hook(call: Call) -> Answer:
    """Where deliveries go."""
    return _hook(call)


async def update_hook(call: Call) -> Answer:
    """Send deliveries elsewhere, or sign them with another secret."""
    call.sim.webhook_url = call.body.get("url", call.sim.webhook_url)
    call.sim.sender.secret = call.body.get("secret", call.sim.webhook_secret)
    return _hook(call)


# People ------------------------------------------------------------------------------------------


async def get_user(call: Call) -> Answer:
    """Whose personal token this is."""
    if call.caller.account is None:
        raise forbidden()
    account = call.caller.account
    private = ("collaborators", "disk_usage", "owned_private_repos", "private_gists", "total_private_repos")
    extra = dict.fromkeys(private, 0) | {"two_factor_authentication": True, "user_view_type": "private"}
    return Answer(body=shapes.public_user(call.sim.site, account) | extra)


async def delete_user_token(call: Call) -> Answer:
    """End a token by which the App speaks for somebody; "You must use Basic Authentication" (GitHub docs)."""
    sim = call.sim
    own = aiohttp.encode_basic_auth(client_id(sim.app.id), sim.client_secret)
    if call.request.headers.get("Authorization", "") != own or call.word("client_id") != client_id(sim.app.id):
        raise not_found()
    if not sim.keys.end_of_user(str(call.body.get("access_token", ""))):
        raise not_found()
    return Answer(status=204)


async def get_user_by_name(call: Call) -> Answer:
    """Any account."""
    account = call.sim.accounts.get(call.word("username"))
    if account is None:
        raise not_found()
    return Answer(body=shapes.public_user(call.sim.site, account))


async def list_user_organizations(call: Call) -> Answer:
    """The organizations of the asker."""
    if call.caller.account is None:
        raise forbidden()
    login = call.caller.account.login
    orgs = [name for name, members in call.sim.memberships.items() if login in members]
    return call.paged([call.sim.organization(call.sim.account(name)) for name in orgs])


async def get_membership(call: Call) -> Answer:
    """Whether somebody is in an organization, and as what."""
    org, login = call.word("org"), call.word("username")
    role = call.sim.memberships.get(org, {}).get(login)
    if role is None:
        raise not_found()
    url = f"{call.sim.api_url}/orgs/{org}"
    return Answer(body={
        "url": f"{url}/memberships/{login}",
        "state": "active",
        "role": role,
        "organization_url": url,
        "organization": call.sim.organization(call.sim.account(org)),
        "user": shapes.user(call.sim.site, call.sim.account(login)),
    })  # fmt: skip


async def get_meta(_: Call) -> Answer:
    """What GitHub tells about itself."""
    return Answer(body={"verifiable_password_authentication": False, "hooks": ["127.0.0.0/8"]})


async def get_rate_limit(call: Call) -> Answer:
    """The limits; asking costs nothing."""
    core = call.limits
    return Answer(body={"resources": {"core": core, "search": core}, "rate": core})


ROUTES = (
    Route("GET", "/app", get_app, "app"),
    Route("POST", "/app-manifests/{code}/conversions", convert_manifest, "none"),
    Route("GET", "/app/hook/config", get_hook, "app"),
    Route("PATCH", "/app/hook/config", update_hook, "app"),
    Route("GET", "/app/installations", list_installations, "app"),
    Route("GET", "/app/installations/{installation_id}", get_installation, "app"),
    Route("POST", "/app/installations/{installation_id}/access_tokens", create_access_token, "app"),
    Route("GET", "/repos/{owner}/{repo}/installation", get_repository_installation, "app"),
    Route("GET", "/installation/repositories", list_repositories, "token"),
    Route("DELETE", "/installation/token", revoke_token, "token"),
    Route("DELETE", "/applications/{client_id}/token", delete_user_token, "client"),
    Route("GET", "/user", get_user, "token"),
    Route("GET", "/user/orgs", list_user_organizations, "token"),
    Route("GET", "/users/{username}", get_user_by_name, "token"),
    Route("GET", "/orgs/{org}/memberships/{username}", get_membership, "token"),
    Route("GET", "/meta", get_meta, "none"),
    Route("GET", "/rate_limit", get_rate_limit, "none"),
)
