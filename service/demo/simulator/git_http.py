"""git over HTTP: aiohttp in front of `git http-backend`, as CGI, streaming both ways."""

import asyncio
import subprocess
from pathlib import Path

from aiohttp import web

from service.demo.simulator.git_store import environment

CHUNK = 65536


def _exec_path() -> str:
    return subprocess.run(["git", "--exec-path"], check=True, capture_output=True, text=True).stdout.strip()


class GitBackend:
    """Serves bare repositories below `root`; who may do what is decided before `serve` is called."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._program = f"{_exec_path()}/git-http-backend"

    async def serve(self, request: web.Request, path_info: str, user: str) -> web.StreamResponse:
        """Hand one request to git and stream its answer."""
        process = await asyncio.create_subprocess_exec(
            self._program,
            env=self._variables(request, path_info, user),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdin
        assert process.stdout
        feeding = asyncio.create_task(_feed(request, process.stdin))
        try:
            response = await _head(process.stdout)
            await response.prepare(request)
            while chunk := await process.stdout.read(CHUNK):
                await response.write(chunk)
            await response.write_eof()
            return response
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
            if process.returncode is None and not process.stdout.at_eof():
                process.kill()
            await process.wait()

    def _variables(self, request: web.Request, path_info: str, user: str) -> dict[str, str]:
        variables = environment(self._root) | {
            "GIT_PROJECT_ROOT": str(self._root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path_info,
            "REQUEST_METHOD": request.method,
            "QUERY_STRING": request.query_string,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
            "REMOTE_USER": user,
            "REMOTE_ADDR": request.remote or "",
        }
        # aiohttp has already unpacked a gzipped body: its length is unknown then, and git reads to the end.
        if request.content_length is not None and "Content-Encoding" not in request.headers:
            variables["CONTENT_LENGTH"] = str(request.content_length)
        return variables


async def _feed(request: web.Request, stdin: asyncio.StreamWriter) -> None:
    try:
        async for chunk in request.content.iter_chunked(CHUNK):
            stdin.write(chunk)
            await stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        return
    finally:
        stdin.close()


async def _head(stdout: asyncio.StreamReader) -> web.StreamResponse:
    """Read the CGI header block."""
    response = web.StreamResponse()
    while line := (await stdout.readline()).decode("latin-1").strip():
        name, _, value = line.partition(":")
        if name.lower() == "status":
            response.set_status(int(value.split()[0]))
        else:
            response.headers[name] = value.strip()
    return response
