"""arq as its documentation begins: a worker with the settings it has by itself. `arq tests.bench.peers.stock.Stock`."""

import os
import time
from typing import Any, ClassVar

from arq.connections import RedisSettings


async def started(_: dict[str, Any]) -> float:
    """Say when it began."""
    return time.time()


class Stock:
    """What arq reads."""

    functions: ClassVar = [started]
    redis_settings = RedisSettings(unix_socket_path=os.environ.get("REDIS_SOCKET"))
