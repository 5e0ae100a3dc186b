"""What `towpath up` does before there is anything to keep running, given up when it is told to stop."""

import asyncio
import secrets
import socket
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

from service.cli.parts import CannotStart

Result = TypeVar("Result")


class Told(Exception):
    """We are to stop, and nothing has been started yet."""


async def unless_told(stop: asyncio.Event, step: Coroutine[Any, Any, Result]) -> Result:
    """Do it to its end; raises `Told` when `stop` is set before: a database may let us wait for long."""
    doing, told = asyncio.ensure_future(step), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({doing, told}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise Told
        return doing.result()
    finally:
        for task in (doing, told):
            task.cancel()
        await asyncio.wait({doing, told})


async def run_step(argv: tuple[str, ...], env: Mapping[str, str], stdin: str = "") -> str:
    """Run a short step to its end, which is ours too; raises `CannotStart` with what it said."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        env=dict(env),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # Ctrl-C on a terminal is for us: a step that is cut off would only say so with a traceback.
        start_new_session=True,
    )
    try:
        out, err = await process.communicate(stdin.encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise CannotStart(err.decode(errors="replace").strip() or f"{argv[-1]} ended with {process.returncode}")
    return out.decode()


def listen(port: int) -> socket.socket:
    """Take the port for as long as `up` lives, so that a restart of the router refuses no connection."""
    listener = socket.socket(socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        if listener.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            listener.bind(("::", port))
        else:
            listener.bind(("0.0.0.0", port))  # noqa: S104  (an apps' router serves whoever reaches the machine)
    except PermissionError:
        listener.close()
        raise CannotStart(
            f"Port {port} is for root alone: start towpath as root, or choose another with --port, from 1024 on."
        ) from None
    except OSError:
        listener.close()
        raise CannotStart(f"Port {port} is taken: stop what listens there, or choose another with --port.") from None
    listener.listen(1024)
    return listener


def kept_secret(path: Path) -> str:
    """Return the secret in the file, made on first use, readable by its owner alone."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32))
    return path.read_text().strip()
