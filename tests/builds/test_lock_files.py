"""A changed lock file: what comes out is what an installation from nothing gives, and only what changed is compiled."""

import base64
import hashlib
import json
import marshal
import os
import shutil
import subprocess
import zlib
from collections.abc import Callable, Iterator, Mapping
from importlib.util import MAGIC_NUMBER, source_hash
from pathlib import Path

import pytest

from service.domain.model import Trust
from tests.builds.conftest import KIT, Site
from tests.builds.repositories import node_package, wheel
from workers.builds import buildpack
from workers.builds.builder import BuiltSlug

PROGRAM = buildpack.DIRECTORY / "python/bytecode.py"
APP = {"Procfile": "web: x\n", "app.py": ""}
LOCKS = {
    "one package": ("tiny==1.0\n", 1),
    "a package more": ("tiny==1.0\nkit==1.0\n", 1),
    "a newer version without some of its files": ("tiny==1.0\nkit==2.0\n", 1),
    "another package in the same namespace": ("tiny==1.0\nkit==2.0\nneedy==1.0\n", 1),
    "one that has a file of another, too": ("tiny==1.0\nkit==2.0\nneedy==1.0\ntwin==1.0\n", 1),
    "one that shared a file less": ("tiny==1.0\nkit==2.0\nneedy==1.0\n", 3),
    "a package less": ("tiny==1.0\nneedy==1.0\n", 0),
    "the older version again": ("tiny==2.0\nneedy==1.0\nkit==1.0\n", 2),
    "another option": ("--prefer-binary\ntiny==2.0\nneedy==1.0\nkit==1.0\n", 3),
    "one version under another condition": (
        "--prefer-binary\ntiny==2.0 ; python_version > '3'\nneedy==1.0\nkit==1.0\n",
        1,
    ),
    "a comment": ("--prefer-binary\ntiny==2.0 ; python_version > '3'\nneedy==1.0  # found\nkit==1.0\n", 0),
}
"""What a lock file comes to be, one after another, and how many packages are installed for that."""


def lock(what: str) -> str:
    return LOCKS[what][0]


async def test_whatever_changes_in_a_lock_file_the_slug_is_that_of_an_installation_from_nothing(site: Site) -> None:
    for number, (what, (text, new)) in enumerate(LOCKS.items()):
        sha = site.repository.commit({**APP, "requirements.txt": text})
        changed = await site.build(sha, cache_key="goes on")
        assert (f"Installed {new} package" in site.log.text) == bool(new), what
        assert "Reusing" not in site.log.text
        fresh = await site.build(sha, cache_key=f"new {number}")
        assert await differences(site, changed, fresh) == [], what
        assert changed.sha256 == fresh.sha256
        assert changed.locked


async def test_scripts_data_and_namespaces_of_a_changed_package_are_right(site: Site) -> None:
    await site.build(site.repository.commit({**APP, "requirements.txt": lock("a package more")}))
    text = lock("another package in the same namespace")
    built = await site.build(site.repository.commit({"requirements.txt": text}))
    assert await site.run(built, "kit") == "kit 2.0 found"
    seen = (
        "import kit.western, space.kit, space.needy; print(kit.western.Codec.encode, space.kit.HERE, space.needy.HERE)"
    )
    assert await site.run(built, f'PYTHONIOENCODING=utf-8 python -c "{seen}"') == "€ kit needy"
    slug = await site.slug(built)
    assert (slug / ".venv/share/kit/page.html").read_text() == "<p>"
    assert [path for path in slug.rglob("*") if "gone" in path.name or "old" in path.name] == []
    assert (next(slug.glob(".venv/lib/python3*/site-packages")) / "kit/data.txt").read_text() == "second"


async def test_other_files_of_the_same_version_take_the_place_of_former_ones(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "index/simple/tiny/tiny-1.0-py3-none-any.whl"
    for said in ("first", "second"):
        file.write_bytes(wheel("tiny", "1.0", more={"said.py": f"SAID = '{said}'\n"}))
        for fetched in (site.workshop.data / "caches").glob("*/*/*/uv"):
            shutil.rmtree(fetched)  # this server cannot say that a file is another within one second
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        sha = site.repository.commit({**APP, "requirements.txt": f"tiny==1.0 --hash=sha256:{digest}\n"})
        built = await site.build(sha)
        assert built.locked
        assert await site.run(built, 'python -c "import said; print(said.SAID)"') == said


async def test_everything_in_a_slug_is_compiled_once_and_nothing_looks_at_its_source_again(site: Site) -> None:
    await site.build(site.repository.commit({**APP, "requirements.txt": lock("a package more")}))
    built = await site.build(site.repository.commit({"requirements.txt": lock("one package") + "kit==2.0\n"}))
    (packages,) = (await site.slug(built)).glob(".venv/lib/python3*/site-packages")
    sources = {path for path in packages.rglob("*.py") if path.name != "template.py"}
    compiled = {path: path.parent.parent / f"{path.name.split('.')[0]}.py" for path in packages.rglob("*.pyc")}
    assert set(compiled.values()) == sources
    assert len(sources) > len(KIT) // 2
    for path, source in compiled.items():
        assert path.read_bytes()[:16] == MAGIC_NUMBER + b"\1\0\0\0" + source_hash(source.read_bytes()), source


async def test_bytecode_of_forks_gets_into_no_build_of_ours(site: Site) -> None:
    await site.build(site.repository.commit({**APP, "requirements.txt": "tiny==1.0\n"}), trust=Trust.FORK)
    (pack,) = (site.workshop.data / "caches/fork").glob("*/*/bytecode/*")
    evil = {path: code[:16] + marshal.dumps(compile("VERSION = 'evil'", "x", "exec")) for path, code in unpack(pack)}
    save(pack, evil)
    sha = site.repository.commit({"requirements.txt": "tiny==1.0\nkit==1.0\n"})
    ask = 'python -c "import tiny; print(tiny.VERSION)"'
    assert await site.run(await site.build(sha), ask) == "1.0"
    again = await site.build(site.repository.commit({"requirements.txt": "tiny==1.0\nkit==2.0\n"}))
    assert await site.run(again, ask) == "1.0"


def node_files(**packages: str) -> dict[str, str | bytes]:
    """An app with packages in its repository; the code of one that begins with `#` runs when it is installed."""
    files: dict[str, str | bytes] = {
        "index.js": f"console.log({', '.join(f'require({name!r})' for name in packages)});"
    }
    root = {"name": "sample", "version": "1.0.0", "dependencies": {name: f"file:{name}.tgz" for name in packages}}
    locked: dict[str, object] = {"": root}
    for name, code in packages.items():
        runs = {"scripts": {"postinstall": "node index.js"}} if code.startswith("#") else {}
        files[f"{name}.tgz"] = content = node_package(name, "1.0.0", code.lstrip("#"), **runs)
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
        locked[f"node_modules/{name}"] = {
            "version": "1.0.0",
            "resolved": f"file:{name}.tgz",
            "integrity": integrity,
        } | ({"hasInstallScript": True} if runs else {})
    lock = {"name": "sample", "version": "1.0.0", "lockfileVersion": 3, "requires": True, "packages": locked}
    return files | {"package.json": json.dumps(root), "package-lock.json": json.dumps(lock)}


SPOILS = "#try { require('fs').writeFileSync('../one/index.js', 'module.exports = \"spoilt\"') } catch {}"
NODE = {
    "one package": node_files(one="module.exports = 1"),
    "a package more": node_files(one="module.exports = 1", two="module.exports = 2"),
    "other files of the same version": node_files(one="module.exports = 1", two="module.exports = 3"),
    "a package less": node_files(two="module.exports = 3"),
    "a package that runs code": node_files(one="module.exports = 1", two=SPOILS),
    "that package less": node_files(one="module.exports = 1"),
}


async def test_whatever_changes_in_a_lock_file_of_npm_the_slug_is_that_of_an_installation_from_nothing(
    site: Site,
) -> None:
    for number, (what, files) in enumerate(NODE.items()):
        for name in ("one.tgz", "two.tgz"):
            (site.repository.path / name).unlink(missing_ok=True)
        sha = site.repository.commit(files)
        changed = await site.build(sha, cache_key="goes on")
        assert "Reusing" not in site.log.text
        fresh = await site.build(sha, cache_key=f"new {number}")
        assert await differences(site, changed, fresh) == [], what
        assert changed.sha256 == fresh.sha256
    assert await site.run(changed, "node index.js") == "1"


async def test_packages_of_npm_come_from_the_last_tree_where_nothing_is_said_otherwise(site: Site) -> None:
    """What `npm ci` takes much longer for; it would find the package it cannot read."""
    await site.build(site.repository.commit(NODE["one package"]))
    for fetched in (site.workshop.data / "caches").glob("*/*/*/npm"):
        shutil.rmtree(fetched)
    built = await site.build(site.repository.commit({**NODE["a package more"], "one.tgz": b"nothing"}))
    assert await site.run(built, "node index.js") == "1 2"


async def test_a_kept_tree_that_a_crash_of_the_machine_cut_short_is_not_used(site: Site) -> None:
    sha = site.repository.commit({**APP, "requirements.txt": "tiny==1.0\n"})
    first = await site.build(sha)
    for size in (0, 20_000):
        (tar,) = (site.workshop.data / "caches/own").glob("*/*/python/*.tar")
        os.truncate(tar, size)
        assert (await site.build(sha)).sha256 == first.sha256
        assert "Reusing" not in site.log.text
    await site.build(sha)
    assert "Reusing" in site.log.text


async def differences(site: Site, first: BuiltSlug, second: BuiltSlug) -> list[str]:
    """Name the files that are not the same in two slugs."""
    trees = [dict(contents(await site.slug(built))) for built in (first, second)]
    return [name for name in sorted(trees[0].keys() | trees[1].keys()) if trees[0].get(name) != trees[1].get(name)]


def contents(tree: Path) -> Iterator[tuple[str, bytes]]:
    for path in tree.rglob("*"):
        if path.is_symlink() or not path.is_dir():
            yield str(path.relative_to(tree)), str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()


def unpack(pack: Path) -> list[tuple[str, bytes]]:
    return list(marshal.loads(pack.read_bytes()[4:]).items())  # noqa: S302


def save(pack: Path, codes: Mapping[str, bytes]) -> None:
    content = marshal.dumps(codes)
    pack.write_bytes(zlib.crc32(content).to_bytes(4, "little") + content)


SOURCES: dict[str, bytes] = {
    "plain.py": b"class Codec:\n    def encode(self, input): return self.decode\n",
    "western.py": b"# coding: cp1252\nCodec = IncrementalEncoder = '\x80'\n",
    "z_after.py": b"def getregentry(IncrementalEncoder, charmap_encode): return decoding_table\n",
    "pack/__init__.py": b"from . import part\n",
    "pack/part.py": b"NAMES = {'a', 'b', 'c', 'encode', 'decode'} | frozenset('x')\nassert 'b' in {'b', 'c', 'd'}\n",
    "broken.py": b"def {{ name }}:\n",
    "null.py": b"x = '\0'\n",
}


@pytest.fixture
def python(runtime_data: Path) -> Path:
    return runtime_data / "runtimes/python/bin/python3"


def compiled(python: Path, site: Path, pack: Path, sources: Mapping[str, bytes]) -> dict[str, bytes]:
    """Lay out the sources, give them bytecode and return it."""
    subprocess.run(["rm", "-rf", site], check=True)
    for name, content in sources.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_bytes(content)
    subprocess.run([python, "-I", "-W", "ignore", PROGRAM, site, pack], check=True)
    return {str(path)[len(str(site)) :]: path.read_bytes() for path in site.rglob("*.pyc")}


def test_the_same_sources_give_the_same_bytecode_compiled_together_or_one_by_one(python: Path, tmp_path: Path) -> None:
    together = compiled(python, tmp_path / "site", tmp_path / "pack", SOURCES)
    assert {Path(name).name.split(".")[0] for name in together} == {"plain", "western", "z_after", "__init__", "part"}
    assert dict(unpack(tmp_path / "pack")) == together
    for name in together:
        save(tmp_path / "pack", {other: code for other, code in together.items() if other != name})
        assert compiled(python, tmp_path / "site", tmp_path / "pack", SOURCES) == together
        assert compiled(python, tmp_path / "site", tmp_path / "pack", SOURCES) == together


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda code: b"0000" + code[4:], id="of another interpreter"),
        pytest.param(lambda code: code[:4] + b"\3" + code[5:], id="that looks at its source"),
        pytest.param(lambda code: code[:8] + b"another!" + code[16:], id="of other source"),
        pytest.param(lambda code: code[:8], id="cut short"),
        pytest.param(lambda _: b"", id="empty"),
    ],
)
def test_bytecode_that_does_not_fit_is_made_anew(
    python: Path, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    fresh = compiled(python, tmp_path / "site", tmp_path / "pack", SOURCES)
    save(tmp_path / "pack", {name: change(code) for name, code in fresh.items()})
    assert compiled(python, tmp_path / "site", tmp_path / "pack", SOURCES) == fresh
    assert dict(unpack(tmp_path / "pack")) == fresh


def test_bytecode_of_equal_source_is_taken_as_it_is_and_of_what_is_gone_forgotten(python: Path, tmp_path: Path) -> None:
    fresh = compiled(python, tmp_path / "site", tmp_path / "pack", SOURCES)
    save(tmp_path / "pack", {name: code + b"taken" for name, code in fresh.items()})
    rest = {name: code for name, code in SOURCES.items() if name != "western.py"} | {"plain.py": b"another = 1\n"}
    again = compiled(python, tmp_path / "site", tmp_path / "pack", rest)
    kept = {name: code for name, code in again.items() if code == fresh[name] + b"taken"}
    assert len(kept) == len(fresh) - 2
    assert {Path(name).name.split(".")[0] for name in again.keys() - kept.keys()} == {"plain"}
    assert dict(unpack(tmp_path / "pack")) == again


@pytest.mark.parametrize("size", [0, 3, 4, 100])
def test_a_pack_that_is_not_whole_is_not_used(python: Path, tmp_path: Path, size: int) -> None:
    fresh = compiled(python, tmp_path / "site", tmp_path / "pack", SOURCES)
    os.truncate(tmp_path / "pack", size)
    assert compiled(python, tmp_path / "site", tmp_path / "pack", SOURCES) == fresh


def test_bytecode_that_cannot_be_written_fails_the_build(python: Path, tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        compiled(python, tmp_path / "site", tmp_path / "pack", {"plain.py": b"", "__pycache__": b"in the way"})
