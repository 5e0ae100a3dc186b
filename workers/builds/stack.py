"""What the machine is to compiled code, in one word."""

import os
import platform
from pathlib import Path


def stack() -> str:
    """Return `host-debian-12-x86_64-glibc2.36`: a slug runs where this is equal."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {"ID": "linux"}
    system = "-".join(filter(None, (release.get("ID", "linux"), release.get("VERSION_ID", ""))))
    return f"host-{system}-{platform.machine()}-{_libc()}"


def _libc() -> str:
    try:
        # "glibc 2.36"; musl does not know the name.
        return (os.confstr("CS_GNU_LIBC_VERSION") or "libc").replace(" ", "")
    except (ValueError, OSError):
        return "musl" if any(Path("/lib").glob("ld-musl-*")) else "libc"
