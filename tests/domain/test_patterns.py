"""Which branches and files a pattern names."""

import time

import pytest

from service.domain.patterns import check_pattern, names_any_file, names_branch, names_file

FILES = [
    ("a file by its name", ["Procfile"], "Procfile", True),
    ("a file of that name elsewhere is another", ["Procfile"], "api/Procfile", False),
    ("a directory means all in it", ["api"], "api/app/main.py", True),
    ("a directory is not what only begins like it", ["api"], "api-docs/index.md", False),
    ("a star stands within one part", ["api/*.py"], "api/main.py", True),
    ("a star does not cross a slash", ["api/*.py"], "api/app/main.py", False),
    ("a star may stand for nothing", ["api/*.py"], "api/.py", True),
    ("stars in one part", ["a*b*c"], "aXbYbZc", True),
    ("stars in one part that do not fit", ["a*b*c"], "aXbY", False),
    ("two stars stand for any number of parts", ["api/**"], "api/a/b/c.py", True),
    ("two stars may stand for no part", ["**/main.py"], "main.py", True),
    ("two stars in the middle", ["api/**/tests/*.py"], "api/a/b/tests/test_x.py", True),
    ("two stars in the middle that do not fit", ["api/**/tests/*.py"], "api/a/b/test_x.py", False),
    ("a question mark is one character", ["v?"], "v1", True),
    ("a question mark is no slash", ["a?b"], "a/b", False),
    ("a question mark is not nothing", ["v?"], "v", False),
    ("one of several", ["web/**", "lib/**"], "lib/x", True),
    ("none of several", ["web/**", "lib/**"], "docs/x", False),
    ("taken out again", ["api/**", "!**/*.md"], "api/README.md", False),
    ("taken out and put back in", ["api/**", "!**/*.md", "api/pages/*.md"], "api/pages/one.md", True),
    ("only taken out: the rest is in", ["!docs"], "api/main.py", True),
    ("only taken out: what is out", ["!docs"], "docs/index.md", False),
    ("case counts", ["API/**"], "api/x", False),
    ("brackets are no pattern", ["a[b]"], "ab", False),
    ("brackets name themselves", ["a[b]"], "a[b]", True),
]


@pytest.mark.parametrize(("patterns", "file", "named"), [case[1:] for case in FILES], ids=[case[0] for case in FILES])
def test_files(patterns: list[str], file: str, named: bool) -> None:
    assert names_file(patterns, file) is named


@pytest.mark.parametrize(
    ("patterns", "branch", "named"),
    [
        (["main"], "main", True),
        (["main"], "main/2", False),
        (["release/*"], "release/1", True),
        (["release/*"], "release/1/hotfix", False),
        (["release/**"], "release/1/hotfix", True),
        (["**", "!renovate/**"], "renovate/redis-5", False),
        (["*"], "topic", True),
    ],
    ids=str,
)
def test_branches(patterns: list[str], branch: str, named: bool) -> None:
    assert names_branch(patterns, branch) is named


def test_one_file_of_many_is_enough() -> None:
    assert names_any_file(["api"], ["docs/a", "api/b"])
    assert not names_any_file(["api"], ["docs/a"])
    assert not names_any_file(["api"], [])


@pytest.mark.parametrize(
    ("text", "kept"), [("/api/", "api"), ("./api/**", "api/**"), ("!/docs/", "!docs"), ("a b/*", "a b/*")]
)
def test_a_pattern_is_kept_without_what_does_not_count(text: str, kept: str) -> None:
    assert check_pattern(text) == kept


@pytest.mark.parametrize("text", ["", "/", "!", "a//b", "../a", "a/./b", "api**", "**.py", "a" * 256])
def test_a_pattern_that_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"pattern|\*\*"):
        check_pattern(text)


def test_a_file_name_cannot_make_a_pattern_slow() -> None:
    begun = time.process_time()
    assert not names_file(["*a" * 100 + "b"], "a" * 4096)
    assert not names_file(["/".join(["**", "a"] * 40) + "/b"], "/".join(["a"] * 2000))
    assert time.process_time() - begun < 5
