"""Real git repositories and packages for the tests, made without any network."""

import base64
import hashlib
import io
import json
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from service.domain.model import Sha

_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.test",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.test",
}


def git(at: Path, *args: str, stdin: bytes | None = None) -> str:
    done = subprocess.run(["git", "-C", at, *args], env=_ENVIRONMENT, input=stdin, capture_output=True, check=True)
    return done.stdout.decode().strip()


class Repository:
    """A work tree whose every change is committed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        git(path, "init", "--quiet", "--initial-branch=master")
        git(path, "config", "uploadpack.allowAnySHA1InWant", "true")

    @property
    def url(self) -> str:
        return f"file://{self.path}"

    def commit(self, files: Mapping[str, str | bytes], *, executable: tuple[str, ...] = ()) -> Sha:
        for name, content in files.items():
            file = self.path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode() if isinstance(content, str) else content)
        for name in executable:
            (self.path / name).chmod(0o755)
        return self.save()

    def save(self) -> Sha:
        git(self.path, "add", "--all", "--force")
        git(self.path, "commit", "--quiet", "--allow-empty", "-m", "change")
        return Sha(git(self.path, "rev-parse", "HEAD"))

    def commit_tree(self, listing: str) -> Sha:
        """Commit a tree as no ordinary client makes it; `listing` is input of `git mktree`."""
        tree = git(self.path, "mktree", "--missing", stdin=listing.encode())
        sha = git(self.path, "commit-tree", tree, "-m", "hostile")
        git(self.path, "update-ref", f"refs/heads/hostile-{sha[:7]}", sha)
        return Sha(sha)

    def blob(self, content: str) -> str:
        return git(self.path, "hash-object", "-w", "--stdin", stdin=content.encode())


def wheel(
    name: str, version: str, *, needs: str = "", module: str = "", more: Mapping[str, str | bytes] | None = None
) -> bytes:
    """A Python package with one module that knows its version, and more files; INFO and DATA stand for its own folders."""
    info = f"{name}-{version}.dist-info"
    files: dict[str, str | bytes] = {
        module or f"{name}.py": f'VERSION = "{version}"\n',
        **{
            path.replace("INFO", info).replace("DATA", f"{name}-{version}.data"): content
            for path, content in (more or {}).items()
        },
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        + (f"Requires-Dist: {needs}\n" if needs else ""),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, content in files.items():
            archive.writestr(zipfile.ZipInfo(path), content)
    return buffer.getvalue()


def node_package(name: str, version: str, code: str, **more: object) -> bytes:
    """A package as npm packs it."""
    manifest = json.dumps({"name": name, "version": version, "main": "index.js", **more})
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, text in (("package/package.json", manifest), ("package/index.js", code)):
            member = tarfile.TarInfo(path)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


def node_app(
    *, code: str = "module.exports = 42;", kind: str = "dependencies", **manifest: object
) -> dict[str, str | bytes]:
    """An app with one dependency (or one of `devDependencies`) that lies in the repository, and its lock file."""
    package = node_package("tiny", "1.0.0", code)
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(package).digest()).decode()
    where = "file:vendor/tiny-1.0.0.tgz"
    root = {"name": "sample", "version": "1.0.0", kind: {"tiny": where}}
    tiny = {"version": "1.0.0", "resolved": where, "integrity": integrity, "dev": kind == "devDependencies"}
    lock = {**root, "lockfileVersion": 3, "requires": True, "packages": {"": root, "node_modules/tiny": tiny}}
    del lock[kind]
    return {
        "package.json": json.dumps({**root, "scripts": {"start": "node index.js"}, **manifest}),
        "package-lock.json": json.dumps(lock),
        "index.js": "console.log(require('tiny'));\n",
        "vendor/tiny-1.0.0.tgz": package,
    }
