"""Builds end to end: a real repository, the real buildpacks, a real sandbox."""

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from service.domain.errors import Refused, Transient
from service.domain.model import Trust
from service.store.redaction import Redactor
from tests.builds.conftest import Lines, Site
from tests.builds.repositories import Repository, node_app
from tests.waiting import until
from workers.builds import buildpack
from workers.builds.builder import build, build_key, sweep
from workers.builds.buildpack import Buildpack, resolve
from workers.builds.slug import Blob, SlugStore
from workers.builds.stack import stack
from workers.builds.tail import Tail

PYTHON = {"requirements.txt": "tiny==1.0\n", "Procfile": "web: python app.py\nworker: python work.py\n", "app.py": ""}


async def test_a_python_app_runs_with_its_dependencies_from_the_slug(site: Site) -> None:
    built = await site.build(site.repository.commit(PYTHON))
    assert "-----> Python app detected" in site.log.text
    assert "Procfile declares types -> web, worker" in site.log.text
    assert built.process_types == {"web": "python app.py", "worker": "python work.py"}
    assert built.buildpacks == ("towpath/python",)
    assert built.locked
    seen = await site.run(built, 'python -c "import tiny, sys; print(tiny.VERSION, sys.prefix)"')
    assert seen == "1.0 /app/.venv"


async def test_two_builds_of_one_tree_give_the_same_bytes(site: Site) -> None:
    sha = site.repository.commit(PYTHON)
    first = await site.build(sha, cache_key="one")
    second = await site.build(sha, cache_key="two")
    third = await site.build(sha, cache_key="two")
    assert first.sha256 == second.sha256 == third.sha256
    assert "Reusing" in site.log.text


async def test_an_unchanged_lock_file_installs_nothing(site: Site) -> None:
    await site.build(site.repository.commit(PYTHON))
    built = await site.build(site.repository.commit({"app.py": "print(1)"}))
    assert "Reusing dependencies, requirements.txt has not changed" in site.log.text
    assert await site.run(built, 'python -c "import tiny; print(tiny.VERSION)"') == "1.0"
    changed = await site.build(site.repository.commit({"requirements.txt": "tiny==2.0\n"}))
    assert "Reusing" not in site.log.text
    assert await site.run(changed, 'python -c "import tiny; print(tiny.VERSION)"') == "2.0"


async def test_requirements_without_versions_are_built_anew_and_marked_so(site: Site) -> None:
    sha = site.repository.commit({**PYTHON, "requirements.txt": "tiny>=1\n"})
    assert not (await site.build(sha)).locked
    again = await site.build(sha)
    assert "Reusing" not in site.log.text
    assert await site.run(again, 'python -c "import tiny; print(tiny.VERSION)"') == "2.0"


async def test_caches_of_forks_are_never_found_by_own_builds(site: Site) -> None:
    sha = site.repository.commit(PYTHON)
    await site.build(sha, trust=Trust.FORK)
    await site.build(sha, trust=Trust.OWN)
    assert "Reusing" not in site.log.text
    await site.build(sha, trust=Trust.FORK)
    assert "Reusing" in site.log.text


LOCKED = '[project]\nname = "sample"\nversion = "1.0"\nrequires-python = ">=3.11"\ndependencies = ["tiny{which}"]\n'


def locked(index: str, place: Path, which: str) -> dict[str, str | bytes]:
    """A project as uv locks it."""
    place.mkdir()
    project = LOCKED.format(which=which)
    (place / "pyproject.toml").write_text(project)
    subprocess.run(
        [Path(sys.executable).with_name("uv"), "lock", "--quiet", "--default-index", index, "--python", sys.executable],
        cwd=place, env={"PATH": os.environ["PATH"], "HOME": str(place), "UV_CACHE_DIR": str(place / "cache")}, check=True,
    )  # fmt: skip
    return {"pyproject.toml": project, "uv.lock": (place / "uv.lock").read_text(), "Procfile": "web: python app.py\n"}


async def test_a_project_with_a_uv_lock_runs_with_what_is_locked(site: Site, index: str, tmp_path: Path) -> None:
    built = await site.build(site.repository.commit(locked(index, tmp_path / "one", "<2")))
    assert "Installing dependencies from uv.lock" in site.log.text
    assert built.locked
    assert await site.run(built, 'python -c "import tiny, sys; print(tiny.VERSION, sys.prefix)"') == "1.0 /app/.venv"
    await site.build(site.repository.commit({"app.py": "print(1)"}))
    assert "Reusing dependencies, uv.lock has not changed" in site.log.text
    files = locked(index, tmp_path / "two", "")
    changed = await site.build(site.repository.commit(files))
    assert "Reusing" not in site.log.text
    assert await site.run(changed, 'python -c "import tiny; print(tiny.VERSION)"') == "2.0"
    with pytest.raises(Refused, match=r"(?s)uv lock"):
        await site.build(site.repository.commit({"pyproject.toml": LOCKED.format(which="<2")}))


async def test_static_files_of_a_django_project_are_collected(site: Site) -> None:
    manage = "import sys, pathlib, django.core\npathlib.Path('collected').write_text(' '.join(sys.argv[1:]))\n"
    files = {"requirements.txt": "django==5.0\n", "Procfile": "web: x\n", "manage.py": manage}
    built = await site.build(site.repository.commit(files))
    slug = await site.slug(built)
    assert (slug / "collected").read_text() == "collectstatic --noinput"
    assert not (slug / "__pycache__").exists()
    needs = site.repository.commit({"manage.py": "import os\nos.environ['SECRET_KEY']\n"})
    with pytest.raises(
        Refused, match=r"(?s)KeyError.*Builds see no config vars but those named by `towpath config:build"
    ):
        await site.build(needs)
    await site.build(needs, build_config={"SECRET_KEY": "x"})
    await site.build(needs, build_config={"DISABLE_COLLECTSTATIC": "1"})
    assert "collectstatic" not in site.log.text


async def test_a_node_app_runs_with_its_dependencies_from_the_slug(site: Site) -> None:
    sha = site.repository.commit(node_app())
    built = await site.build(sha)
    assert built.process_types == {"web": "npm start"}
    assert built.locked
    assert await site.run(built, "node index.js") == "42"
    again = await site.build(sha)
    assert "Reusing dependencies, package-lock.json has not changed" in site.log.text
    assert again.sha256 == built.sha256


async def test_a_build_script_runs_with_the_named_config_and_nothing_else(site: Site) -> None:
    script = "node -e \"require('fs').writeFileSync('seen.json', JSON.stringify(process.env))\""
    sha = site.repository.commit(node_app(scripts={"build": script, "start": "node index.js"}))
    built = await site.build(sha, build_config={"SITE": "blue", "PATH": "/evil", "LD_PRELOAD": "/evil.so"})
    seen = json.loads((await site.slug(built) / "seen.json").read_text())
    assert seen["SITE"] == "blue"
    assert "/evil" not in json.dumps(seen)
    assert not {"SOURCE_VERSION", "CI", "GITHUB_TOKEN"} & seen.keys()


@pytest.mark.parametrize("script", ["prepare", "postinstall", "build", "heroku-postbuild"])
async def test_scripts_of_the_app_may_use_what_is_for_development_and_the_slug_is_without_it(
    site: Site, script: str
) -> None:
    scripts = {script: "node -e \"require('tiny'); require('fs').writeFileSync('made', '')\"", "start": "node index.js"}
    built = await site.build(site.repository.commit(node_app(kind="devDependencies", scripts=scripts)))
    slug = await site.slug(built)
    assert (slug / "made").exists()
    assert not (slug / "node_modules/tiny").exists()
    assert "npm warn" not in site.log.text


async def test_a_static_site_is_served(site: Site) -> None:
    files = {"index.html": "<h1>hello</h1>", "docs/index.html": "docs", "about.html": "about", "secret.txt": "x"}
    settings = json.dumps({"clean_urls": True, "error_page": "about.html"})
    built = await site.build(site.repository.commit({**files, "static.json": settings}))
    assert built.process_types == {"web": "/app/.towpath/serve"}
    ask = (
        "import http.client,sys\n"
        "for path in sys.argv[1:]:\n"
        "  c = http.client.HTTPConnection('127.0.0.1', int(__import__('os').environ['PORT']))\n"
        "  c.request('GET', path); r = c.getresponse(); print(path, r.status, r.read().decode().strip() or None)"
    )
    script = (
        "/app/.towpath/serve & pid=$!; python=/opt/towpath/runtimes/python/bin/python3; "
        "for i in $(seq 200); do (: </dev/tcp/127.0.0.1/$PORT) 2>/dev/null && break; sleep 0.05; done; "
        f'$python -c "{ask}" / /about /docs/ /docs /static.json /../etc/passwd /%2e%2e/%2e%2e/etc/passwd; kill $pid'
    )
    answers = await site.run(built, script, PORT="8080")
    assert [line for line in answers.splitlines() if line.startswith("/")] == [
        "/ 200 <h1>hello</h1>",
        "/about 200 about",
        "/docs/ 200 docs",
        "/docs 301 None",
        "/static.json 404 about",
        "/../etc/passwd 404 about",
        "/%2e%2e/%2e%2e/etc/passwd 404 about",
    ]


async def test_a_procfile_alone_is_enough(site: Site) -> None:
    built = await site.build(site.repository.commit({"Procfile": "web: ./run\n", "run": "#!/bin/sh\necho up"}))
    assert built.buildpacks == ("towpath/procfile",)
    assert built.process_types == {"web": "./run"}


async def test_what_is_not_fetched_is_said_in_the_log(site: Site) -> None:
    files = {"Procfile": "web: x\n", ".gitmodules": "", ".gitattributes": "*.psd filter=lfs diff=lfs\n"}
    await site.build(site.repository.commit(files))
    assert " !     Git submodules are not fetched" in site.log.text
    assert " !     Git LFS is not supported" in site.log.text
    await site.build(site.repository.commit({".gitattributes": b"\xff", ".gitmodules": "x"}))
    assert "LFS" not in site.log.text


async def test_only_the_root_directory_is_built(site: Site) -> None:
    sha = site.repository.commit({"api/Procfile": "web: ./api\n", "site/index.html": "x"})
    built = await site.build(sha, root="api")
    assert sorted(path.name for path in (await site.slug(built)).iterdir()) == ["Procfile"]


async def test_what_slugignore_names_is_not_in_the_slug(site: Site) -> None:
    ignore = "*.psd\n/docs/\n# comment\nspec/**/*.yml\n"
    files = {
        "Procfile": "web: x\n",
        ".slugignore": ignore,
        "a/b.psd": "",
        "docs/x": "",
        "a/docs/x": "",
        "spec/f/g.yml": "",
    }
    slug = await site.slug(await site.build(site.repository.commit(files)))
    found = {path.relative_to(slug).as_posix() for path in slug.rglob("*") if path.is_file()}
    assert found == {"Procfile", ".slugignore", "a/docs/x"}


UTF_16 = "tiny==1.0\r\n".encode("utf-16")
FAILURES: dict[str, tuple[dict[str, str | bytes], str]] = {
    "requirements in UTF-16": ({"requirements.txt": UTF_16}, "requirements.txt is not UTF-8 text; PowerShell"),
    "a .python-version that is no text": ({"requirements.txt": "", ".python-version": b"\xff"}, "is not UTF-8 text"),
    "a pyproject.toml that is no TOML": (
        {"requirements.txt": "", "pyproject.toml": "["},
        "pyproject.toml cannot be read",
    ),
    "a project that is no table": ({"requirements.txt": "", "pyproject.toml": "project = 1"}, "cannot be read"),
    "a range of aliases": ({"package.json": '{"engines": {"node": "lts/*"}}'}, 'such as "24.x"'),
    "a missing package": ({"requirements.txt": "absent==1.0\n"}, "absent"),
    "an unavailable Python": ({"requirements.txt": "", ".python-version": "2.7\n"}, "available: 3.11"),
    "an unavailable runtime.txt": ({"requirements.txt": "", "runtime.txt": "python-3.9.1"}, "asks for Python 3.9.1"),
    "a Pipfile": ({"Pipfile": ""}, "pipenv requirements > requirements.txt"),
    "a poetry.lock": ({"poetry.lock": "", "pyproject.toml": ""}, "poetry export"),
    "a pyproject.toml without lock": ({"pyproject.toml": "[project]\nname='x'"}, "run `uv lock`"),
    "a setup.py": ({"setup.py": ""}, "uv pip compile setup.py"),
    "a yarn.lock": ({"package.json": "{}", "yarn.lock": ""}, "npm install --package-lock-only"),
    "a pnpm lock": (
        {"package.json": "{}", "pnpm-lock.yaml": ""},
        "npm install --package-lock-only`, commit package-lock.json and remove pnpm-lock.yaml",
    ),
    "a bun lock": ({"package.json": "{}", "bun.lock": ""}, "npm install --package-lock-only"),
    "a package-lock.json that is out of date": (
        {
            "package.json": '{"name": "x", "dependencies": {"left-pad": "1.3.0"}}',
            "package-lock.json": '{"name": "x", "lockfileVersion": 3, "packages": {"": {"name": "x"}}}',
            ".npmrc": "fetch-retries = 0\n",  # npm asks the registry, which is not there, again after 10 s and 60 s
        },
        "run `npm install --package-lock-only` and commit package-lock.json",
    ),
    "a broken package.json": ({"package.json": "{"}, "package.json cannot be read"),
    "a nonsense Node.js version": ({"package.json": '{"engines": {"node": "banana"}}'}, "not a version range"),
    "a failing build script": (
        {"package.json": '{"scripts": {"build": "echo no such thing; exit 3"}}'},
        "no such thing",
    ),
    "a build script that lacks a config var": (
        {"package.json": '{"scripts": {"build": "test -n $SITE_URL && exit 4"}}'},
        "those named by `towpath config:build NAME ...`",
    ),
    "nothing known": ({"readme.md": "hello"}, "No buildpack fits"),
    "a static.json that is no object": ({"static.json": "[]"}, "static.json must be an object"),
}


@pytest.mark.parametrize("case", list(FAILURES))
async def test_a_build_that_fails_names_its_cause(site: Site, case: str) -> None:
    files, cause = FAILURES[case]
    with pytest.raises(Refused, match=r"(?s).*") as refused:
        await site.build(site.repository.commit(files))
    assert cause in refused.value.message
    assert list((site.workshop.data / "builds").iterdir()) == []


async def test_a_build_that_takes_too_long_is_ended_and_its_cache_thrown_away(site: Site) -> None:
    sha = site.repository.commit(node_app(scripts={"build": "sleep 60"}))
    with pytest.raises(Refused, match="took longer than"):
        await site.build(sha, seconds=3.0)
    assert not any((site.workshop.data / "caches").rglob("npm"))


async def test_a_build_that_was_killed_leaves_its_cache_to_nobody(site: Site) -> None:
    """Stopped anywhere, or for all that it wrote there."""
    sha = site.repository.commit(node_app(scripts={"build": "sleep 60"}))
    building = asyncio.create_task(site.build(sha))
    cache = site.workshop.data / "builds/build-1/cache/npm"
    await until(lambda: cache.exists() and "sleep 60" in site.log.text, what="the build is on its way")
    os.killpg(site.sandbox.pids["build-1"], signal.SIGKILL)
    with pytest.raises(Refused, match="the build failed"):
        await building
    assert not any((site.workshop.data / "caches").rglob("npm"))


REFUSED_AT_ONCE = {
    "a Procfile that is a link": ({}, {"Procfile": "/etc/passwd"}, "absolute path"),
    "a Procfile that links inside": ({"real": "web: x"}, {"Procfile": "real"}, "Procfile is a symbolic link"),
    "a huge app.json": (
        {"Procfile": "web: x", "app.json": " " * (64 << 20)},
        {},
        "app.json is 64 MB; the limit is 64 kB",
    ),
    "an app.json of a million keys": (
        {"Procfile": "web: x", "app.json": json.dumps({f"key{number}": 0 for number in range(1_000_000)})},
        {},
        "app.json is 15 MB; the limit is 64 kB",
    ),
    "a binary Procfile": ({"Procfile": b"web: \0x"}, {}, "Procfile is a binary file"),
    "a Procfile in Latin 1": ({"Procfile": b"web: \xe9"}, {}, "Procfile is not UTF-8 text"),
    "a link out of the tree": ({"Procfile": "web: x"}, {"a/up": "../../etc"}, "outside of the source"),
}


@pytest.mark.parametrize("case", list(REFUSED_AT_ONCE))
async def test_odd_files_are_refused_before_anything_runs(site: Site, case: str) -> None:
    files, links, message = REFUSED_AT_ONCE[case]
    site.repository.commit(files)
    for name, target in links.items():
        path = site.repository.path / name
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(target)
    with pytest.raises(Refused) as refused:
        await site.build(site.repository.save())
    assert message in refused.value.message
    assert site.sandbox.started == []
    assert list((site.workshop.data / "builds").iterdir()) == []


async def test_a_procfile_that_the_build_turns_into_a_link_is_refused(site: Site) -> None:
    script = "ln -sf /etc/passwd Procfile"
    with pytest.raises(Refused, match="Procfile is a symbolic link"):
        await site.build(site.repository.commit(node_app(scripts={"build": script})))


async def test_a_build_that_closes_its_folders_is_packed_and_put_away(site: Site, tmp_path: Path) -> None:
    pack = Repository(tmp_path / "pack")
    closing = (
        'cd "$1" && mkdir shut "$2/shut" && touch shut/in "$2/shut/in" && chmod 000 shut/in shut "$2/shut" "$2" . /out'
    )
    files = {"bin/detect": "#!/bin/bash\necho Custom\n", "bin/compile": f"#!/bin/bash\n{closing}\n"}
    version = pack.commit(files, executable=("bin/detect", "bin/compile"))
    custom = Buildpack(name="custom", url=pack.url, version=version)
    built = await site.build(site.repository.commit({"Procfile": "web: x\n"}), buildpacks=(custom,))
    assert (await site.slug(built) / "shut/in").read_text() == ""
    assert list((site.workshop.data / "builds").iterdir()) == []
    assert [each.name for each in (site.workshop.data / "caches/own").glob("*/*/*")] == ["shut"]


async def test_a_foreign_buildpack_is_fetched_and_its_answers_count(site: Site, tmp_path: Path) -> None:
    pack = Repository(tmp_path / "pack")
    sha = pack.commit(
        {
            "bin/detect": "#!/bin/bash\necho Custom\n",
            "bin/compile": (
                '#!/bin/bash\necho "stack $STACK version ${SOURCE_VERSION-unset} $(cat "$3/NAME")"\n'
                'echo "count" >> "$2/count"; cp "$2/count" "$1/count"\n'
                'echo "export FROM_FIRST=yes" > "$(dirname "$0")/../export"\n'
            ),
            "bin/release": "#!/bin/bash\nprintf -- '---\\ndefault_process_types:\\n  web: \"./serve\"\\n'\n",
        },
        executable=("bin/detect", "bin/compile", "bin/release"),
    )
    custom = Buildpack(name="custom", url=pack.url, version=sha)
    second = pack.commit({"bin/compile": '#!/bin/bash\necho "second sees $FROM_FIRST"\n'})
    other = Buildpack(name="other", url=pack.url, version=second)
    built = await site.build(
        site.repository.commit({"x": ""}), buildpacks=(custom, other), build_config={"NAME": "value"}
    )
    assert f"stack {stack()} version unset value" in site.log.text
    assert "second sees yes" in site.log.text
    assert built.process_types == {"web": "./serve"}
    assert built.buildpacks == ("custom", "other")
    assert not built.locked
    again = await site.build(site.repository.commit({"y": ""}), buildpacks=(custom,), build_config={"NAME": "v"})
    assert (await site.slug(again) / "count").read_text() == "count\ncount\n"


async def test_a_buildpack_that_does_not_fit_fails_by_name(site: Site) -> None:
    used = await resolve(["heroku/python"], source=site.workshop.source)
    with pytest.raises(Refused, match="not compatible with the buildpack heroku/python"):
        await site.build(site.repository.commit({"index.html": ""}), buildpacks=used)


@pytest.mark.parametrize(
    "name",
    [
        *("heroku/python", "towpath/python", "urn:buildpack:heroku/python"),
        *("https://github.com/heroku/heroku-buildpack-python", "https://github.com/heroku/heroku-buildpack-python.git"),
    ],
)
async def test_herokus_names_mean_our_own_buildpacks(site: Site, name: str) -> None:
    used = await resolve([name], source=site.workshop.source)
    built = await site.build(site.repository.commit(PYTHON), buildpacks=used)
    assert built.buildpacks == (used[0].name,)
    assert built.locked


@pytest.mark.parametrize(
    "name",
    [
        *("heroku/cobol", "git://x/y", "file:///etc", "ext::sh -c id", "--upload-pack=id"),
        *("https://127.0.0.1/x", "https://169.254.169.254/x", "https://localhost/x.git", "https://u:p@h.com/x"),
    ],
)
async def test_a_buildpack_from_nowhere_public_is_refused(site: Site, name: str) -> None:
    with pytest.raises(Refused):
        await resolve([name], source=site.workshop.source)


async def test_a_build_is_taken_up_by_name_after_its_worker_was_killed(site: Site) -> None:
    sha = site.repository.commit(node_app(scripts={"build": "sleep 1; date +%N > when", "start": "x"}))
    order = await site.order(sha)
    first = asyncio.create_task(build(order, workshop=site.workshop, log=Lines()))
    await until(lambda: site.sandbox.started)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    built = await build(order, workshop=site.workshop, log=Lines())
    assert len(site.sandbox.started) == 1
    assert (await site.slug(built) / "when").exists()


async def test_a_build_whose_sandbox_was_lost_starts_from_a_fresh_tree(site: Site) -> None:
    script = "test ! -e half && touch half && sleep 1"
    order = await site.order(site.repository.commit(node_app(scripts={"build": script, "start": "x"})))
    first = asyncio.create_task(build(order, workshop=site.workshop, log=Lines()))
    half = site.workshop.data / "builds" / order.name / "app/half"
    await until(half.exists)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await site.sandbox.forget(order.name)
    built = await build(order, workshop=site.workshop, log=Lines())
    assert (await site.slug(built) / "half").exists()


async def test_what_dead_builds_left_is_swept_and_live_ones_are_not(site: Site) -> None:
    for name in ("dead", "alive"):
        (site.workshop.data / "builds" / name / "app").mkdir(parents=True)
    await sweep(site.workshop, alive={"alive"})
    assert [path.name for path in (site.workshop.data / "builds").iterdir()] == ["alive"]


def test_the_build_key_changes_with_everything_a_slug_follows_from() -> None:
    pack = Buildpack(name="heroku/python", version="1")
    base = {
        "repository_id": 1,
        "tree": "t",
        "stack": "s",
        "buildpacks": (pack,),
        "build_config": {"A": "1"},
        "trust": Trust.OWN,
    }
    changes = [
        {"repository_id": 2},
        {"tree": "u"},
        {"stack": "z"},
        {"buildpacks": ()},
        {"buildpacks": (Buildpack(name="heroku/python", version="2"),)},
        {"build_config": {"A": "2"}},
        {"trust": Trust.FORK},
    ]
    keys = {build_key(**{**base, **change}) for change in ({}, *changes)}  # type: ignore[arg-type]
    assert len(keys) == len(changes) + 1
    assert all(len(key) == 64 for key in keys)


def test_the_build_key_changes_with_what_runs_the_buildpacks_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = Buildpack(name="https://a.example/b", url="https://a.example/b", version="1")

    def key() -> str:
        return build_key(repository_id=1, tree="t", stack="s", buildpacks=(foreign,), build_config={}, trust=Trust.OWN)

    before = key()
    assert key() == before
    monkeypatch.setattr(buildpack, "driver_version", lambda: "another")
    assert key() != before


async def test_folders_nested_without_end_fail_the_build_and_are_deleted(site: Site) -> None:
    dig = "for (let i = 0; i < 3000; i++) { fs.mkdirSync('d'); process.chdir('d'); }"
    files = node_app(scripts={"build": "node dig.cjs"})
    sha = site.repository.commit({**files, "dig.cjs": f"const fs = require('fs');\n{dig}\n"})
    with pytest.raises(Refused, match="the build left a path of more than 2048 characters: d/d/d/d"):
        await site.build(sha)
    assert list((site.workshop.data / "builds").iterdir()) == []


async def test_what_github_is_told_of_a_failed_build_holds_no_secret(site: Site) -> None:
    token = "ghs_" + "a1" * 18
    script = f"echo named-value-7; echo {token}; exit 1"
    with pytest.raises(Refused) as refused:
        await site.build(
            site.repository.commit(node_app(scripts={"build": script})), build_config={"NAMED": "named-value-7"}
        )
    assert "[redacted]" in refused.value.message
    assert token not in refused.value.message
    assert "named-value-7" not in refused.value.message


@pytest.mark.parametrize("end", ["", "\n", "\r"], ids=["without an end", "with an end", "with a return"])
async def test_no_part_of_a_secret_is_told_of_a_line_that_is_cut(end: str) -> None:
    secret = "swordfish" * 30
    tail = Tail(log=Lines(), redactor=Redactor([secret]))
    await tail.write("the cause\n" + "x" * 9000)
    await tail.write("x" * 8000 + secret[:200])
    await tail.write(secret[200:] + "x" * 1100 + end)
    assert tail.cause() == "the cause\n[a line that is too long to be shown]"


class FullStore(SlugStore):
    async def add(self, *_: object, **__: object) -> Blob:  # type: ignore[override]
        raise OSError(errno.ENOSPC, "No space left on device")


async def test_a_full_disk_is_said_to_be_one_and_the_build_gives_back_what_it_took(site: Site) -> None:
    order = await site.order(site.repository.commit({"Procfile": "web: x\n"}))
    full = replace(site.workshop, slugs=FullStore(data=site.workshop.data))
    with pytest.raises(Transient, match="the disk of the server is full"):
        await build(order, workshop=full, log=Lines())
    assert list((site.workshop.data / "builds").iterdir()) == []


async def test_requirements_that_leave_anything_open_are_no_lock_file(site: Site) -> None:
    """What a named package needs in turn must be named, too: else it is another version tomorrow."""
    files = {"Procfile": "web: x\n", "requirements.txt": "needy==1.0\n"}
    assert not (await site.build(site.repository.commit(files))).locked
    built = await site.build(site.repository.commit({"requirements.txt": "Needy==1.0\ntiny == 2.0  # found by it\n"}))
    assert built.locked
    await site.build(site.repository.commit({"x": ""}))
    assert "Reusing dependencies" in site.log.text
