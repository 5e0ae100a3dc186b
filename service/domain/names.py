"""How apps, pipelines and review apps are named, and which names nobody may choose.

A name is also a host label: lower case, a letter first, no hyphen last, at most 30 characters.
"""

import hashlib
import re
from collections.abc import Collection
from typing import Final

from service.domain.errors import Refused
from service.domain.model import PipelineId

LONGEST: Final = 30
_APP: Final = re.compile(r"[a-z][a-z0-9-]{1,28}[a-z0-9]")
_PIPELINE: Final = re.compile(r"[a-z][a-z0-9-]{2,29}")
_BASE: Final = re.compile(r"[a-z][a-z0-9-]{0,28}[a-z0-9]|[a-z]")
_RESERVED: Final = re.compile(r".+-pr-[0-9]+|.+-br-.*")


def check_app_name(name: str) -> str:
    """The name if a person may give it to an app."""
    if not _APP.fullmatch(name):
        raise Refused(
            "Name must be 3 to 30 characters: lower-case letters, digits and hyphens, starting with a letter "
            "and ending with a letter or digit."
        )
    if is_reserved(name):
        raise Refused(f"Name {name} is kept for review apps. Choose one that does not contain -pr-NUMBER or -br-.")
    return name


def check_pipeline_name(name: str) -> str:
    """The name if a pipeline may have it; pipelines may share names."""
    if not _PIPELINE.fullmatch(name):
        raise Refused(
            "Pipeline name must be 3 to 30 characters: lower-case letters, digits and hyphens, starting with a letter."
        )
    return name


def check_base_name(name: str) -> str:
    """The name if review apps may be named after it; empty means "after the pipeline"."""
    if name and not _BASE.fullmatch(name):
        raise Refused(
            "base_name must be at most 30 characters: lower-case letters, digits and hyphens, starting with a letter "
            "and ending with a letter or digit."
        )
    return name


def is_reserved(name: str) -> bool:
    """Whether only a review app may carry it: else somebody could sit on the address of a coming pull request."""
    return _RESERVED.fullmatch(name) is not None


def review_app_name(*, pipeline_id: PipelineId, pipeline_name: str, base_name: str, ref: str) -> str:
    """The name of the review app of `pr:N` or `branch:REF`: the same for the same input, whatever its generation."""
    base = base_name or f"{pipeline_name}-{pipeline_id.replace('-', '')[:4]}"
    kind, _, key = ref.partition(":")
    match kind:
        case "pr":
            return _fit(base, f"-pr-{int(key)}")
        case "branch":
            return _fit(base, f"-br-{_branch_label(key)}")
        case _:
            raise Refused(f"{ref} is neither pr:NUMBER nor branch:NAME.")


def check_name(*, pipeline_id: PipelineId, name: str, taken: Collection[str], former: str = "") -> str:
    """What a pipeline's checks are called in a repository: as the pipeline, unless another one's are.

    Then so many digits of its id are added that they differ. `former` is what they were called there before: a branch
    may require them by that name, so that it is kept if nobody else has taken it.
    """
    digits = pipeline_id.replace("-", "")
    own = [name, *(f"{name}-{digits[:length]}" for length in range(4, len(digits) + 1, 4))]
    wished = (former, *own) if former in own else own
    return next(each for each in wished if each not in taken)


def in_words(ref: str) -> str:
    """How people name the source of a review app: `pull request #N` or `branch REF`."""
    kind, _, key = ref.partition(":")
    return f"pull request #{key}" if kind == "pr" else f"{kind} {key}"


def host_label(name: str, *, domain: str) -> str:
    """The host an app answers at."""
    return f"{name}.{domain}"


def _fit(base: str, suffix: str) -> str:
    room = LONGEST - len(suffix)
    if len(base) <= room:
        return base + suffix
    # Cutting alone would give two long names that differ at the end the same address.
    mark = "-" + _mark(base)
    return base[: room - len(mark)].rstrip("-") + mark + suffix


def _branch_label(branch: str) -> str:
    label = re.sub(r"[^a-z0-9]+", "-", branch.lower()).strip("-")
    if label == branch and len(label) <= 10:
        return label
    # `feature/x` and `feature-x` must not meet: what was changed or cut carries a hash of the whole.
    return f"{label[:5].strip('-')}-{_mark(branch)}".lstrip("-")


def _mark(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]
