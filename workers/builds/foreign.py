"""Buildpacks of others: repositories anywhere in the public internet, fetched as nobody and kept by nobody."""

import asyncio
from pathlib import Path

from service.domain.errors import Refused, Transient
from workers.builds import addresses
from workers.builds.git import Git
from workers.builds.source import SHA


async def clone(url: str, dest: Path, *, git: Git, seconds: float) -> str:
    """Fetch `URL[#REF]` into the new directory `dest`, for so many seconds at most, and return its commit."""
    address, _, ref = url.partition("#")
    version = await resolve(url, git=git)
    pinned = await addresses.pinned(address)
    await asyncio.to_thread(dest.mkdir, mode=0o700, parents=True)
    for args in (("init", "--quiet"), ("fetch", "--quiet", "--depth=1", "--end-of-options", address, version)):
        done = await git(*args, at=dest, url=address, pinned=pinned, seconds=seconds)
        if done.code:
            raise Transient(f"buildpack {address} could not be fetched ({ref or 'HEAD'}): {done.cause}")
    done = await git("checkout", "--quiet", "--detach", version, at=dest)
    if done.code:
        raise Refused(f"buildpack {address} could not be checked out: {done.cause}")
    return version


async def resolve(url: str, *, git: Git) -> str:
    """Return the commit that `URL[#REF]` means now; a full sha stands for itself."""
    address, _, ref = url.partition("#")
    if SHA.fullmatch(ref):
        return ref
    wanted = ("HEAD",) if not ref else (f"refs/heads/{ref}", f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}")
    pinned = await addresses.pinned(address)
    question = ("ls-remote", "--end-of-options", address, *wanted)
    done = await git(*question, at=Path("/"), url=address, pinned=pinned)
    if done.code:
        raise Transient(f"buildpack {address} could not be reached: {done.cause}")
    lines = (line.partition("\t") for line in done.stdout.decode().splitlines())
    found = {name: commit for commit, _, name in lines}
    for name in wanted:
        if name in found:
            return found[name]
    raise Refused(f"buildpack {address} has no branch or tag named {ref or 'HEAD'}")
