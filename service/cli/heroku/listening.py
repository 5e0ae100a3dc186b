"""Listening on this machine for what the child connects to."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from service.cli.heroku.hosts import LOCAL

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
_ENDS = (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)


@asynccontextmanager
async def listening(serve: Serve, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Listen for as long as the block lasts, and give the port; who connects sees trouble by the connection's end."""
    tasks = set[asyncio.Task[None]]()

    async def attended(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with suppress(*_ENDS):
                await serve(reader, writer)
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(attended, LOCAL[0], 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
        left = list(tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
