"""What is to be built: a commit of the connected repository, what was sent to us, or what lies at an address."""

import re
from dataclasses import dataclass
from typing import Final

from service.domain.errors import Refused
from service.domain.model import Repository
from service.domain.source_hosts import check_address
from service.web.api import archives, bodies, sources
from service.web.keys import WebContext

_CHECKSUM: Final = re.compile(r"(?i:sha256):([0-9a-fA-F]{64})")
_OURS: Final = frozenset({None, "", "resolve"})
_SHOWN: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A packed source: one that was sent, by its id, or an address, which may hold a secret and is shown without it."""

    source_id: str
    url: str
    shown: str
    sha256: str


async def packed(context: WebContext, repository: Repository | None, source: bodies.SourceBlob) -> Packed | None:
    """The packed source that is meant, None when it is a commit of the connected repository; refuses all else."""
    url = source.url
    if url in _OURS:
        return None
    assert url is not None
    named = archives.read(url, context.settings)
    if named is not None and repository is not None and named.full_name.lower() == repository.full_name.lower():
        return None
    if not (source.version or "").isprintable():
        raise Refused("source_blob.version: holds characters that cannot be shown.")
    wanted = _checksum(source.checksum)
    sent = await sources.sent(context, url)
    if sent is not None:
        if wanted not in {"", sent.sha256}:
            raise Refused(f"source_blob.checksum: what was sent has SHA256:{sent.sha256}.")
        return Packed(source_id=sent.id, url="", shown="the source that was sent", sha256=sent.sha256)
    try:
        parts = check_address(url, context.settings.source_hosts)
    except Refused as refused:
        raise Refused(
            f"source_blob.url: {refused.message}. Leave it out to deploy a branch or commit of the connected "
            "repository, or send a tar.gz: POST /sources, PUT it to its put_url, and give its get_url here."
        ) from None
    return Packed(source_id="", url=url, shown=f"https://{parts.hostname}{parts.path}"[:_SHOWN], sha256=wanted)


def _checksum(text: str | None) -> str:
    if not text:
        return ""
    match = _CHECKSUM.fullmatch(text)
    if match is None:
        raise Refused("source_blob.checksum: write it as SHA256: and the 64 digits of the file's sha256.")
    return match[1].lower()
