"""git against the simulated GitHub: the real program over HTTP."""

import asyncio
import base64
import os
from pathlib import Path

import pytest

from tests.github_contract.fixtures import GitHub
from tests.waiting import until


async def git(*arguments: str, cwd: Path, token: str = "", check: bool = True) -> str:
    """Run git; the password goes through the environment and is seen by nobody."""
    secret = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    config = [("http.extraHeader", f"Authorization: Basic {secret}")] if token else []
    env = {
        "PATH": os.environ["PATH"], "HOME": str(cwd), "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_COUNT": str(len(config)), "GIT_AUTHOR_NAME": "ann", "GIT_AUTHOR_EMAIL": "ann@example.org",
        "GIT_COMMITTER_NAME": "ann", "GIT_COMMITTER_EMAIL": "ann@example.org",
    }  # fmt: skip
    for number, (key, value) in enumerate(config):
        env |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    process = await asyncio.create_subprocess_exec(
        "git", *arguments, cwd=cwd, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    if check:
        assert process.returncode == 0, err.decode()
    return out.decode().strip() if process.returncode == 0 else f"failed: {err.decode()}"


@pytest.fixture
async def shop(github: GitHub):
    return await github.create_repo("acme/shop", private=True, files={"a": "1", "run": "#!/bin/sh\n"})


async def test_a_commit_that_heads_nothing_is_fetched_by_its_sha_with_a_token(
    github: GitHub, shop, tmp_path: Path
) -> None:
    old = await github.head(shop)
    await github.push(shop, "master", {"a": "2"})
    await git("init", "-q", "here", cwd=tmp_path)
    here, url = tmp_path / "here", f"{github.url}/acme/shop.git"
    token = github.installation_token(shop, {"contents": "read"})
    await git("fetch", "-q", "--depth=1", url, old, cwd=here, token=token)
    assert await git("show", "FETCH_HEAD:a", cwd=here) == "1"
    await git("fetch", "-q", "--filter=blob:none", url, "refs/heads/master", cwd=here, token=token)
    assert await git("rev-parse", "FETCH_HEAD", cwd=here) == await github.head(shop)


async def test_a_private_repository_needs_a_living_token_with_contents(github: GitHub, shop, tmp_path: Path) -> None:
    url = f"{github.url}/acme/shop.git"
    for token in ("", "ghs_wrong", github.installation_token(shop, {"statuses": "write"})):
        assert "failed" in await git("ls-remote", url, cwd=tmp_path, token=token, check=False)
    token = github.installation_token(shop)
    assert "refs/heads/master" in await git("ls-remote", url, cwd=tmp_path, token=token)
    github.advance(3601)
    assert "failed" in await git("ls-remote", url, cwd=tmp_path, token=token, check=False)


async def test_a_public_repository_is_open_to_all_and_an_old_name_still_leads_there(
    github: GitHub, tmp_path: Path
) -> None:
    repo = await github.create_repo("acme/open", files={"a": "1"})
    github.rename_repo(repo, "wide-open")
    assert "refs/heads/master" in await git("ls-remote", f"{github.url}/acme/open", cwd=tmp_path)
    assert "failed" in await git("ls-remote", f"{github.url}/acme/none.git", cwd=tmp_path, check=False)


async def test_a_push_by_git_tells_the_world(github: GitHub, shop, tmp_path: Path) -> None:
    seen: list[tuple[str, dict]] = []
    await github.push(shop, "topic", {"a": "2"})
    pull = await github.open_pull(shop, "topic")
    github.sender.watchers.append(lambda event, payload: seen.append((event, payload)))
    url, here = f"{github.url}/acme/shop.git", tmp_path / "here"
    await git("clone", "-q", "-b", "topic", url, "here", cwd=tmp_path, token=github.admin_token)
    (here / "big.bin").write_bytes(os.urandom(3_000_000))
    await git("add", ".", cwd=here)
    await git("commit", "-q", "-m", "Big", cwd=here)
    await git("push", "-q", "origin", "topic", cwd=here, token=github.admin_token)
    head = await git("rev-parse", "HEAD", cwd=here)
    await until(lambda: [event for event, _ in seen] == ["push", "check_suite", "pull_request"])
    assert seen[0][1]["commits"][0]["added"] == ["big.bin"]
    assert (seen[2][1]["action"], pull.head_sha) == ("synchronize", head)
    read_only = github.installation_token(shop)
    assert "failed" in await git("push", "origin", "HEAD:x", cwd=here, token=read_only, check=False)


async def test_a_forks_head_is_fetched_from_the_base_repository(github: GitHub, shop, tmp_path: Path) -> None:
    fork = await github.fork(shop, "eve")
    sha = await github.push(fork, "evil", {"a": "evil"}, by="eve")
    pull = await github.open_pull(shop, "evil", head_repo=fork, by="eve")
    again = await github.push(fork, "evil", {"a": "worse"}, by="eve")
    assert (pull.head_sha, sha != again) == (again, True)
    token = github.installation_token(shop)
    url = f"{github.url}/acme/shop.git"
    listed = await git("ls-remote", url, f"refs/pull/{pull.number}/head", cwd=tmp_path, token=token)
    assert listed.split()[0] == again
    assert github.installation_of(fork) is None


async def test_merging_an_up_to_date_pull_request_leaves_the_very_same_tree(github: GitHub, shop) -> None:
    await github.push(shop, "topic", {"a": "2", "run": None})
    pull = await github.open_pull(shop, "topic")
    merge = await github.merge_pull(shop, pull.number, delete_branch=True)
    made, head = [await github.git.read(shop.id, sha) for sha in (merge, pull.head_sha)]
    assert made.tree == head.tree
    assert made.parents[1] == pull.head_sha
    assert await github.head(shop) == merge
    assert (pull.state, pull.merge_commit_sha) == ("closed", merge)
    assert set(await github.git.branches(shop.id)) == {"master"}


async def test_a_forced_push_is_said_to_be_one_and_conflicts_do_not_merge(github: GitHub, shop) -> None:
    start = await github.head(shop)
    await github.push(shop, "topic", {"a": "2"})
    pull = await github.open_pull(shop, "topic")
    seen: list[dict] = []
    github.sender.watchers.append(lambda event, payload: seen.append(payload) if event == "push" else None)
    await github.push(shop, "topic", {"a": "3"}, parent=start)
    await github.push(shop, "master", {"a": "4"})
    assert [payload["forced"] for payload in seen] == [True, False]
    with pytest.raises(ValueError, match="conflicts"):
        await github.merge_pull(shop, pull.number)
    assert pull.state == "open"


async def test_deleting_the_head_branch_closes_and_pushing_it_to_the_base_merges(github: GitHub, shop) -> None:
    await github.push(shop, "gone", {"b": "1"})
    await github.push(shop, "fast", {"c": "1"})
    closed, merged = await github.open_pull(shop, "gone"), await github.open_pull(shop, "fast")
    await github.delete_branch(shop, "gone")
    await github.set_branch(shop, "master", merged.head_sha)
    assert (closed.state, closed.merged_at) == ("closed", None)
    assert (merged.state, merged.merge_commit_sha) == ("closed", merged.head_sha)
