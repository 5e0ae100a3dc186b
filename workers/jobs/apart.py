"""What keeps code of forks, and what was sent, apart from all else that we build: caches, build keys and slugs.

An own build finds what any own build of the same files gave. A fork's is found by its own pull request alone, and that
of what was pushed or sent by the same app alone: whoever may bring code to one app has no say in what others run.
"""

import hashlib
from collections.abc import Mapping
from typing import assert_never

from service.domain.decisions import Deploy
from service.domain.errors import Refused
from service.domain.model import App, Pipeline, Slug, Trust

_OTHERS = {Trust.FORK: "pull request", Trust.SENT: "app"}


def cache_key(app: App, pipeline: Pipeline | None, wanted: Deploy) -> str:
    """Name the build cache; what other commits left gets into no slug of a fork, nor what others left into one sent."""
    home = pipeline.id if pipeline else app.id
    match wanted.trust:
        case Trust.OWN:
            return home
        case Trust.FORK:
            return f"{home}/pr:{wanted.pull_request}/{wanted.sha}"
        case Trust.SENT:
            return f"app:{app.id}"
        case _:
            assert_never(wanted.trust)


def build_key(key: str, app: App, pipeline: Pipeline | None, wanted: Deploy) -> str:
    """Name what a slug follows from, from `key`, which names the files and what they are built with."""
    match wanted.trust:
        case Trust.OWN:
            return key
        case Trust.FORK:
            words = f"{key} {pipeline.id if pipeline else ''} pr:{wanted.pull_request}"
        case Trust.SENT:
            words = f"{key} app:{app.id}"
        case _:
            assert_never(wanted.trust)
    return hashlib.sha256(words.encode()).hexdigest()


def check_process_types(slug: Slug, built: Mapping[str, str]) -> None:
    """Refuse a slug that another's build has said to run otherwise: slugs of equal files and trust are one."""
    if slug.trust is not Trust.OWN and dict(slug.process_types) != dict(built):
        raise Refused(
            f"another {_OTHERS[slug.trust]} built the same files with other process types; change a file and try again"
        )
