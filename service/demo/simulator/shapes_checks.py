"""How the simulated GitHub writes statuses, check suites and check runs."""

from service.demo.simulator.git_store import Commit
from service.demo.simulator.shapes import Json, Site, app, node_id, user
from service.demo.simulator.state import CheckRun, CheckSuite, Pull, Repository, Status, stamp

_NO_SUMMARY: Json = {"title": None, "summary": None, "text": None}


def pull_reference(site: Site, repo: Repository, pull: Pull) -> Json:
    """A pull request as checks name it."""

    def side(one: Repository, ref: str, sha: str) -> Json:
        url = f"{site.api}/repos/{one.full_name}"
        return {"ref": ref, "sha": sha, "repo": {"id": one.id, "url": url, "name": one.name}}

    return {
        "id": pull.id,
        "number": pull.number,
        "url": f"{site.api}/repos/{repo.full_name}/pulls/{pull.number}",
        "head": side(pull.head_repository or repo, pull.head_ref, pull.head_sha),
        "base": side(repo, pull.base_ref, pull.base_sha),
    }


def pulls_of(site: Site, repo: Repository, sha: str) -> list[Json]:
    """Open pull requests of a commit; GitHub leaves those of forks out."""
    return [
        pull_reference(site, repo, pull)
        for pull in repo.pulls.values()
        if pull.head_sha == sha and pull.state == "open" and pull.head_repository is repo
    ]


def status(site: Site, repo: Repository, one: Status, *, creator: bool = True) -> Json:
    """A commit status."""
    shown: Json = {
        "url": f"{site.api}/repos/{repo.full_name}/statuses/{one.sha}",
        "avatar_url": f"{site.url}/avatars/{one.creator.id}",
        "id": one.id,
        "node_id": node_id("StatusContext", one.id),
        "state": one.state,
        "description": one.description,
        "target_url": one.target_url,
        "context": one.context,
        "created_at": stamp(one.created_at),
        "updated_at": stamp(one.created_at),
    }
    return shown | ({"creator": user(site, one.creator)} if creator else {})


def check_suite(site: Site, repo: Repository, suite: CheckSuite, commit: Commit) -> Json:
    """A check suite."""
    url = f"{site.api}/repos/{repo.full_name}/check-suites/{suite.id}"
    person = {"name": commit.name, "email": commit.email}
    return {
        "id": suite.id,
        "node_id": node_id("CheckSuite", suite.id),
        "head_branch": suite.branch,
        "head_sha": suite.sha,
        "status": suite.status,
        "conclusion": suite.conclusion,
        "url": url,
        "before": suite.before,
        "after": suite.sha,
        "pull_requests": pulls_of(site, repo, suite.sha),
        "app": app(site, suite.app),
        "created_at": stamp(suite.created_at),
        "updated_at": stamp(suite.updated_at),
        "rerequestable": True,
        "runs_rerequestable": True,
        "latest_check_runs_count": len({run.name for run in repo.runs.values() if run.suite is suite}),
        "check_runs_url": f"{url}/check-runs",
        "head_commit": {
            "id": commit.sha,
            "tree_id": commit.tree,
            "message": commit.message,
            "timestamp": commit.date,
            "author": person,
            "committer": person,
        },
    }


def check_run(site: Site, repo: Repository, run: CheckRun) -> Json:
    """A check run as REST shows it."""
    url, suite = f"{site.api}/repos/{repo.full_name}/check-runs/{run.id}", run.suite
    html = f"{site.url}/{repo.full_name}/runs/{run.id}"
    output = _NO_SUMMARY | {key: run.output.get(key) for key in _NO_SUMMARY}
    return {
        "id": run.id,
        "name": run.name,
        "node_id": node_id("CheckRun", run.id),
        "head_sha": suite.sha,
        "external_id": run.external_id,
        "url": url,
        "html_url": html,
        "details_url": run.details_url or html,
        "status": run.status,
        "conclusion": run.conclusion,
        "started_at": stamp(run.started_at),
        "completed_at": stamp(run.completed_at),
        "output": output
        | {"annotations_count": len(run.output.get("annotations", [])), "annotations_url": f"{url}/annotations"},
        "check_suite": {"id": suite.id},
        "app": app(site, suite.app),
        "pull_requests": pulls_of(site, repo, suite.sha),
    }
