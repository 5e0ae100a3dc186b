"""app.json and Procfile: what is read, and that everything wrong is told at once."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.errors import Refused
from service.domain.manifest import (
    LARGEST,
    MOST_KEYS,
    Addon,
    EnvVar,
    Manifest,
    parse_app_json,
    parse_procfile,
    resolve_env,
    review_manifest,
)


def read(**document: Any) -> Manifest:
    return parse_app_json(json.dumps(document))


def mistakes(text: str) -> list[str]:
    with pytest.raises(Refused) as refused:
        parse_app_json(text)
    assert refused.value.code == "invalid_manifest"
    return refused.value.message.splitlines()


def test_a_procfile_names_process_types_in_order() -> None:
    text = "\ufeff# what runs\r\nweb: gunicorn app:app --bind 0.0.0.0:$PORT\r\n\r\nrelease : ./migrate\nmy_worker-2:\ttrue\n"
    assert list(parse_procfile(text).items()) == [
        ("web", "gunicorn app:app --bind 0.0.0.0:$PORT"),
        ("release", "./migrate"),
        ("my_worker-2", "true"),
    ]


def test_an_empty_procfile_names_nothing() -> None:
    assert parse_procfile("") == {}


def test_everything_wrong_in_a_procfile_is_told_at_once() -> None:
    with pytest.raises(Refused) as refused:
        parse_procfile("web python app.py\nweb: a\nweb: b\nwo rker: x\nclock:\nred: \x1b[31m\n")
    assert refused.value.message.splitlines() == [
        "Procfile: line 1: expected TYPE: COMMAND, for example web: python app.py",
        "Procfile: line 3: web is named twice",
        "Procfile: line 4: expected TYPE: COMMAND, for example web: python app.py",
        "Procfile: line 5: expected TYPE: COMMAND, for example web: python app.py",
        "Procfile: line 6: expected TYPE: COMMAND, for example web: python app.py",
    ]


def test_a_whole_app_json_is_read() -> None:
    manifest = read(
        name="Shop",
        description="Sells things",
        stack="heroku-24",
        env={
            "PLAIN": "yes",
            "SECRET": {"generator": "secret", "description": "signs cookies"},
            "NEEDED": {"required": True},
            "MAYBE": {"required": False},
            "SET": {"value": "1"},
        },
        formation={"web": {"quantity": 2, "size": "basic"}, "worker": {}},
        scripts={"postdeploy": "./seed", "pr-predestroy": {"command": "./bye", "size": "basic"}, "other": 5},
        buildpacks=[{"url": "heroku/python"}, "heroku/nodejs"],
        addons=[
            "heroku-postgresql",
            {"plan": "heroku-redis:mini", "as": "CACHE", "options": {"version": "7", "tls": True}},
        ],
    )
    assert manifest == Manifest(
        name="Shop",
        stack="heroku-24",
        env={
            "PLAIN": EnvVar(value="yes"),
            "SECRET": EnvVar(generate=True, description="signs cookies"),
            "NEEDED": EnvVar(),
            "MAYBE": EnvVar(required=False),
            "SET": EnvVar(value="1"),
        },
        formation={"web": 2, "worker": 1},
        scripts={"postdeploy": "./seed", "pr-predestroy": "./bye"},
        buildpacks=("heroku/python", "heroku/nodejs"),
        addons=(
            Addon(plan="heroku-postgresql"),
            Addon(plan="heroku-redis:mini", name="CACHE", options={"version": "7", "tls": "true"}),
        ),
    )


def test_an_empty_app_json_is_fine() -> None:
    assert read() == Manifest()
    assert parse_app_json("\ufeff{}") == Manifest()
    assert read(env=None, environments=None) == Manifest()


def test_a_key_for_review_apps_replaces_the_base_key_whole() -> None:
    manifest = read(
        env={"A": "1", "B": "2"},
        scripts={"postdeploy": "./base"},
        environments={"review": {"env": {"A": "9"}}, "test": {"scripts": {"test": "pytest"}}, "production": 7},
    )
    effective = review_manifest(manifest)
    assert effective.env == {"A": EnvVar(value="9")}
    assert effective.scripts == {"postdeploy": "./base"}
    assert manifest.test is not None
    assert manifest.test.scripts == {"test": "pytest"}
    assert manifest.test.env == {"A": EnvVar(value="1"), "B": EnvVar(value="2")}


def test_without_an_environment_of_their_own_review_apps_use_the_base() -> None:
    manifest = read(env={"A": "1"})
    assert review_manifest(manifest) is manifest


def test_everything_wrong_is_told_at_once() -> None:
    document = {
        "name": 5,
        "stack": "a\x1b[31m",
        "env": {
            "1BAD": "x",
            "A\x1b[0m": "x",
            "B": 5,
            "C": {"generator": "magic"},
            "D": {"required": "yes"},
            "E": {"generator": ["secret"]},
        },
        "formation": {"web": {"quantity": 101}, "w b": {}, "x": 2, "y": {"quantity": True}},
        "scripts": {"postdeploy": 5, "test": {"size": "basic"}},
        "buildpacks": {"url": "x"},
        "addons": [5, {"as": "X"}, {"plan": "p", "options": []}],
        "environments": {"review": {"env": []}, "test": 5},
    }
    assert mistakes(json.dumps(document)) == [
        f"app.json: {text}"
        for text in (
            "name: expected text",
            "env.1BAD: a config var's name has letters, digits and _ only",
            "env.A?[0m: a config var's name has letters, digits and _ only",
            "env.B: expected text",
            'env.C.generator: only "secret" is known',
            "env.D.required: expected true or false",
            'env.E.generator: only "secret" is known',
            'formation.web: expected {"quantity": N} with N from 0 to 100',
            "formation.w b: a process type has letters, digits, - and _ only",
            'formation.x: expected {"quantity": N} with N from 0 to 100',
            'formation.y: expected {"quantity": N} with N from 0 to 100',
            "scripts.postdeploy: expected text",
            "scripts.test: expected text",
            "buildpacks: expected a list, [ ... ]",
            "addons[0].plan: expected text",
            "addons[1].plan: expected text",
            "addons[2].options: expected an object, { ... }",
            "stack: control characters are not allowed",
            "environments.review.env: expected an object, { ... }",
            "environments.test: expected an object, { ... }",
        )
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "app.json is not JSON"),
        ("{'a': 1}", "app.json is not JSON"),
        ('{"a": NaN}', "NaN is not JSON"),
        ("[]", "expected an object"),
        ("5", "expected an object"),
        ("[" * 60_000, "nested deeper than 16 levels"),
        ('{"a":' * 17 + "1" + "}" * 17, "nested deeper than 16 levels"),
        (json.dumps({"env": {f"K{i}": "" for i in range(MOST_KEYS + 1)}}), f"more than {MOST_KEYS} entries"),
        (" " * (LARGEST + 1), "larger than 64 KiB"),
        ('{"a": ' + "9" * 5000 + "}", "app.json is not JSON"),
        ('{"env": {"A": "\\u0000"}}', "env.A: expected text"),
        ('{"name": "a\\nb"}', "control characters"),
        ('{"env": {"A": "\\ud800"}}', "half a character"),
        ('{"env": {"\\udfff": ""}}', "half a character"),
    ],
    ids=[
        "nothing",
        "not JSON",
        "not a number",
        "a list",
        "a number",
        "brackets without end",
        "too deep",
        "too many keys",
        "too large",
        "too long a number",
        "a NUL in a value",
        "a line break in a name",
        "half a character in a value",
        "half a character in a key",
    ],
)
def test_what_is_no_manifest_is_refused(text: str, says: str) -> None:
    assert says in "\n".join(mistakes(text))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "env",
                        "name",
                        "formation",
                        "scripts",
                        "addons",
                        "buildpacks",
                        "environments",
                        "review",
                        "stack",
                        "plan",
                        "A",
                    ]
                ),
                inner,
            )
        ),
    )
)
def test_whatever_json_it_is_read_or_refused(document: Any) -> None:
    try:
        assert isinstance(parse_app_json(json.dumps(document)), Manifest)
    except Refused as refused:
        assert refused.message.startswith("app.json")  # noqa: PT017


ENV = read(env={"A": "1", "B": {"generator": "secret"}, "C": {"required": False}, "D": {"description": "d"}})


def test_given_vars_win_and_secrets_are_generated_once() -> None:
    first = resolve_env(ENV, {"D": "4", "X": "x"}, lambda: "s3cret")
    assert first == {"D": "4", "X": "x", "A": "1", "B": "s3cret"}
    assert resolve_env(ENV, first | {"A": "2"}, lambda: "other") == first | {"A": "2"}


def test_required_vars_that_nobody_gave_are_named() -> None:
    manifest = read(env={"ONE": {}, "TWO": {"required": True}, "OPTIONAL": {"required": False}})
    with pytest.raises(Refused) as refused:
        resolve_env(manifest, {}, lambda: "")
    assert [line.split(":")[1] for line in refused.value.message.splitlines()] == [
        ' config var "ONE" is required',
        ' config var "TWO" is required',
    ]
