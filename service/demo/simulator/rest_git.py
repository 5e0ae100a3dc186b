"""REST of git objects: refs, commits, trees, files, comparisons."""

import base64
from typing import Any

from service.demo.simulator import git_diff, shapes, shapes_git
from service.demo.simulator.calls import Answer, Call, Problem, Route, not_found
from service.demo.simulator.git_store import Change, TreeEntry


async def get_ref(call: Call) -> Answer:
    """A ref below `refs/`, exactly."""
    name = f"refs/{call.word('ref')}"
    sha = (await call.sim.git.refs(call.repo.id)).get(name)
    if sha is None:
        raise not_found()
    return Answer(body=_ref(call, name, sha))


async def list_matching_refs(call: Call) -> Answer:
    """Every ref that begins so; none is an empty list."""
    start = f"refs/{call.word('ref')}"
    refs = await call.sim.git.refs(call.repo.id)
    return call.paged([_ref(call, name, sha) for name, sha in sorted(refs.items()) if name.startswith(start)])


def _ref(call: Call, name: str, sha: str) -> dict[str, Any]:
    url = f"{call.sim.api_url}/repos/{call.repo.full_name}/git"
    return {
        "ref": name,
        "node_id": shapes.node_id("Ref", call.repo.id),
        "url": f"{url}/{name}",
        "object": {"sha": sha, "type": "commit", "url": f"{url}/commits/{sha}"},
    }


async def get_commit(call: Call) -> Answer:
    """A commit by branch, tag or sha, with its files."""
    repo, sim = call.repo, call.sim
    sha = await call.commit(call.word("ref"))
    commit = await sim.git.read(repo.id, sha)
    found = await git_diff.changes(sim.git, repo.id, commit.parents[0] if commit.parents else "0" * 40, sha)
    added, deleted = sum(one.additions for one in found), sum(one.deletions for one in found)
    shown = shapes_git.commit(sim.site, repo, commit, sim.accounts.get(commit.name))
    stats = {"total": added + deleted, "additions": added, "deletions": deleted}
    return Answer(body=shown | {"stats": stats, "files": [_file(call, one, sha) for one in found]})


def _file(call: Call, one: Change, sha: str) -> dict[str, Any]:
    html, api = f"{call.sim.url}/{call.repo.full_name}", f"{call.sim.api_url}/repos/{call.repo.full_name}"
    return {
        "sha": one.blob,
        "filename": one.path,
        "status": one.status,
        "additions": one.additions,
        "deletions": one.deletions,
        "changes": one.additions + one.deletions,
        "blob_url": f"{html}/blob/{sha}/{one.path}",
        "raw_url": f"{html}/raw/{sha}/{one.path}",
        "contents_url": f"{api}/contents/{one.path}?ref={sha}",
    }


async def files_between(call: Call, before: str, after: str) -> list[dict[str, Any]]:
    """Changed files as REST shows them."""
    found = await git_diff.changes(call.sim.git, call.repo.id, before, after)
    return [_file(call, one, after) for one in found]


async def get_git_commit(call: Call) -> Answer:
    """A commit as git has it; its tree's sha is the point."""
    sha = await call.commit(call.word("sha"), problem=not_found())
    commit = await call.sim.git.read(call.repo.id, sha)
    return Answer(body=shapes_git.git_commit(call.sim.site, call.repo, commit))


async def get_tree(call: Call) -> Answer:
    """A tree, with everything below it if `recursive` is given."""
    git, repo, asked = call.sim.git, call.repo, call.word("tree")
    sha: str | None = asked
    if await git_diff.object_type(git, repo.id, f"{asked}^{{tree}}" if len(asked) == 40 else "") is None:
        sha = await git.resolve(repo.id, asked)
    if sha is None:
        raise not_found()
    tree = await git.text(repo.id, "rev-parse", "--verify", "--end-of-options", sha + "^{tree}")
    url = f"{call.sim.api_url}/repos/{repo.full_name}/git"
    entries = []
    for one in await git_diff.tree(git, repo.id, tree, recursive="recursive" in call.request.query):
        kind = {"blob": "blobs", "tree": "trees"}.get(one.type, "commits")
        shown = {"path": one.path, "mode": one.mode, "type": one.type, "sha": one.sha, "url": f"{url}/{kind}/{one.sha}"}
        entries.append(shown | ({} if one.size is None else {"size": one.size}))
    return Answer(body={"sha": tree, "url": f"{url}/trees/{tree}", "tree": entries, "truncated": False})


async def get_contents(call: Call) -> Answer:
    """A file, or the names in a directory, at a ref."""
    git, repo, path = call.sim.git, call.repo, call.word("path").strip("/")
    ref = call.request.query.get("ref", repo.default_branch)
    sha = await call.commit(ref, problem=Problem(404, f"No commit found for the ref {ref}"))
    entry = await git_diff.entry(git, repo.id, sha, path) if path else None
    if path and entry is None:
        raise not_found()
    if entry is None or entry.type == "tree":
        listed = await git_diff.tree(git, repo.id, f"{sha}:{path}", recursive=False)
        return Answer(body=[_content(call, ref, f"{path}/{one.path}".lstrip("/"), one) for one in listed])
    shown = _content(call, ref, path, entry)
    if shown["type"] == "file":
        data = await git_diff.blob(git, repo.id, entry.sha)
        # From 1 MB on, "the content field will be an empty string and the encoding field will be none" (GitHub docs)
        small = len(data) <= 1_000_000
        encoded = base64.encodebytes(data).decode() if small else ""
        shown |= {"content": encoded, "encoding": "base64" if small else "none"}
    elif shown["type"] == "symlink":
        shown["target"] = (await git_diff.blob(git, repo.id, entry.sha)).decode(errors="replace")
    return Answer(body=shown)


def _content(call: Call, ref: str, path: str, one: TreeEntry) -> dict[str, Any]:
    html, api = f"{call.sim.url}/{call.repo.full_name}", f"{call.sim.api_url}/repos/{call.repo.full_name}"
    kinds = {"120000": "symlink", "160000": "submodule", "040000": "dir"}
    links = {
        "self": f"{api}/contents/{path}?ref={ref}",
        "git": f"{api}/git/{'trees' if one.type == 'tree' else 'blobs'}/{one.sha}",
        "html": f"{html}/blob/{ref}/{path}",
    }
    kind = kinds.get(one.mode, "file")
    return {
        "type": kind,
        "size": one.size or 0,
        "name": path.rpartition("/")[2],
        "path": path,
        "sha": one.sha,
        "url": links["self"],
        "git_url": links["git"],
        "html_url": links["html"],
        "download_url": f"{html}/raw/{ref}/{path}" if kind == "file" else None,
        "_links": links,
    }


async def compare(call: Call) -> Answer:
    """What `head` has over `base`, from where they last were the same."""
    base_name, dots, head_name = call.word("basehead").partition("...")
    if not dots:
        raise not_found()
    repo, sim = call.repo, call.sim
    base, head = [await call.commit(name.rpartition(":")[2], problem=not_found()) for name in (base_name, head_name)]
    start = await sim.git.merge_base(repo.id, base, head)
    if start is None:
        raise Problem(404, f"No common ancestor between {base_name} and {head_name}.")
    commits = list(reversed(await sim.git.log(repo.id, head, f"^{base}")))
    behind = int(await sim.git.text(repo.id, "rev-list", "--count", f"{head}..{base}"))
    state = {(False, False): "identical", (True, False): "ahead", (False, True): "behind", (True, True): "diverged"}
    url, html = f"{sim.api_url}/repos/{repo.full_name}/compare", f"{sim.url}/{repo.full_name}/compare"
    written = [shapes_git.commit(sim.site, repo, one, sim.accounts.get(one.name)) for one in commits]
    base_commit, start_commit = [await sim.git.read(repo.id, sha) for sha in (base, start)]
    page = call.paged(written)
    return Answer(headers=page.headers, body={
        "url": f"{url}/{base_name}...{head_name}",
        "html_url": f"{html}/{base_name}...{head_name}",
        "permalink_url": f"{html}/{base}...{head}",
        "diff_url": f"{html}/{base}...{head}.diff",
        "patch_url": f"{html}/{base}...{head}.patch",
        "base_commit": shapes_git.commit(sim.site, repo, base_commit, sim.accounts.get(base_commit.name)),
        "merge_base_commit": shapes_git.commit(sim.site, repo, start_commit, sim.accounts.get(start_commit.name)),
        "status": state[bool(commits), bool(behind)],
        "ahead_by": len(commits),
        "behind_by": behind,
        "total_commits": len(commits),
        "commits": page.body,
        # "The list of changed files is only shown on the first page" (GitHub docs, compare)
        "files": (await files_between(call, start, head))[:300] if call.request.query.get("page", "1") == "1" else [],
    })  # fmt: skip


async def get_tarball(call: Call) -> Answer:
    """A redirect to the archive."""
    ref = call.word("ref") or call.repo.default_branch
    sha = await call.commit(ref, problem=not_found())
    return Answer(status=302, headers={"Location": f"{call.sim.url}/_codeload/{call.repo.id}/{sha}"})


R = "/repos/{owner}/{repo}"
ROUTES = (
    Route("GET", R + "/git/ref/{ref:(?s:.+)}", get_ref, "contents"),
    Route("GET", R + "/git/matching-refs/{ref:.+}", list_matching_refs, "contents"),
    Route("GET", R + "/git/commits/{sha}", get_git_commit, "contents"),
    Route("GET", R + "/git/trees/{tree:.+}", get_tree, "contents"),
    Route("GET", R + "/contents/{path:.*}", get_contents, "contents"),
    Route("GET", R + "/compare/{basehead:.+}", compare, "contents"),
    Route("GET", R + "/tarball/{ref:.*}", get_tarball, "contents"),
    # Last: `/commits/{ref}` would swallow `/commits/{ref}/status` and its like, which are added before.
    Route("GET", R + "/commits/{ref:.+}", get_commit, "contents"),
)
