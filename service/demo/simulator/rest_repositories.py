"""REST of repositories: branches, protection and rules, collaborators, environments."""

from typing import Any

from service.demo.simulator import shapes, shapes_git
from service.demo.simulator.calls import Answer, Call, Problem, Route, not_found
from service.demo.simulator.state import RequiredCheck


async def get_repository(call: Call) -> Answer:
    """A repository, with what the asker may do."""
    permission = "read" if call.caller.account is None else call.repo.permission(call.caller.account.login)
    return Answer(body=shapes.full_repository(call.sim.site, call.repo, permission))


async def list_branches(call: Call) -> Answer:
    """All branches."""
    url = f"{call.sim.api_url}/repos/{call.repo.full_name}"
    branches = await call.sim.git.branches(call.repo.id)
    shown = [
        {
            "name": name,
            "commit": {"sha": sha, "url": f"{url}/commits/{sha}"},
            "protected": _protected(call, name),
        }
        for name, sha in branches.items()
        if call.request.query.get("protected") in {None, str(_protected(call, name)).lower()}
    ]
    return call.paged(shown)


def _protected(call: Call, branch: str) -> bool:
    return branch in call.repo.protection or branch in call.repo.rules


async def get_branch(call: Call) -> Answer:
    """A branch, its head, and its protection in short."""
    name = call.word("branch")
    sha = (await call.sim.git.branches(call.repo.id)).get(name)
    if sha is None:
        raise Problem(404, "Branch not found")
    repo, site = call.repo, call.sim.site
    url = f"{call.sim.api_url}/repos/{repo.full_name}/branches/{name}"
    commit = await call.sim.git.read(repo.id, sha)
    required = repo.protection.get(name, [])
    return Answer(body={
        "name": name,
        "commit": shapes_git.commit(site, repo, commit, call.sim.accounts.get(commit.name)),
        "_links": {"self": url, "html": f"{call.sim.url}/{repo.full_name}/tree/{name}"},
        "protected": _protected(call, name),
        "protection": {
            "enabled": name in repo.protection,
            "required_status_checks": {
                "enforcement_level": "non_admins" if required else "off",
                "contexts": [one.context for one in required],
                "checks": _checks(required),
            },
        },
        "protection_url": f"{url}/protection",
    })  # fmt: skip


def _checks(required: list[RequiredCheck]) -> list[dict[str, Any]]:
    return [{"context": one.context, "app_id": one.app_id} for one in required]


async def get_required_checks(call: Call) -> Answer:
    """Classic protection's required contexts."""
    name = call.word("branch")
    required = call.repo.protection.get(name)
    if not required:
        raise Problem(404, "Branch not protected")
    url = f"{call.sim.api_url}/repos/{call.repo.full_name}/branches/{name}/protection/required_status_checks"
    contexts = [one.context for one in required]
    checks = _checks(required)
    return Answer(
        body={"url": url, "contexts_url": f"{url}/contexts", "strict": False, "contexts": contexts, "checks": checks}
    )


async def get_branch_rules(call: Call) -> Answer:
    """Rules of rulesets that apply to a branch."""
    required = call.repo.rules.get(call.word("branch"), [])
    if not required:
        return Answer(body=[])
    checks: list[dict[str, Any]] = []
    for one in required:
        source = {} if one.app_id is None else {"integration_id": one.app_id}
        checks.append({"context": one.context, **source})
    rule = {
        "type": "required_status_checks",
        "parameters": {"required_status_checks": checks, "strict_required_status_checks_policy": False},
        "ruleset_source_type": "Repository",
        "ruleset_source": call.repo.full_name,
        "ruleset_id": call.repo.id,
    }
    return call.paged([rule])


async def get_permission(call: Call) -> Answer:
    """What a user may do here."""
    login = call.word("username")
    account = call.sim.accounts.get(login)
    if account is None:
        raise not_found()
    permission = call.repo.permission(login)
    rights = shapes.full_repository(call.sim.site, call.repo, permission)["permissions"]
    shown = shapes.user(call.sim.site, account) | {"permissions": rights, "role_name": permission}
    # "the maintain role is mapped to write and the triage role is mapped to read" (GitHub docs, collaborators)
    legacy = {"maintain": "write", "triage": "read"}.get(permission, permission)
    return Answer(body={"permission": legacy, "role_name": permission, "user": shown})


async def delete_environment(call: Call) -> Answer:
    """Environments are only ever removed by hand."""
    name = call.word("environment")
    if name not in call.repo.environments:
        raise not_found()
    call.repo.environments.discard(name)
    return Answer(status=204)


R = "/repos/{owner}/{repo}"
ROUTES = (
    Route("GET", R, get_repository, "metadata"),
    Route("GET", R + "/branches", list_branches, "contents"),
    Route("GET", R + "/branches/{branch:.+}/protection/required_status_checks", get_required_checks, "administration"),
    Route("GET", R + "/branches/{branch:.+}", get_branch, "contents"),
    Route("GET", R + "/rules/branches/{branch:.+}", get_branch_rules, "metadata"),
    Route("GET", R + "/collaborators/{username}/permission", get_permission, "metadata"),
    Route("DELETE", R + "/environments/{environment:.+}", delete_environment, "administration:write"),
)
