"""Several processes on one database, each with a writer of its own."""

import asyncio
import subprocess
import sys
from pathlib import Path

from sqlalchemy import Connection, insert, select, update

from service.store.database import Database
from service.store.tables import counters

ROUNDS = 60
PROCESSES = 4


def add(conn: Connection) -> None:
    value = conn.execute(select(counters.c.value).where(counters.c.name == "n")).scalar_one()
    conn.execute(update(counters).where(counters.c.name == "n").values(value=value + 1))


async def work(url: str) -> None:
    database = await Database.open(url)
    await asyncio.gather(*(database.write(add) for _ in range(ROUNDS)))
    await database.close()


async def test_processes_that_read_and_then_write_lose_nothing_and_are_never_locked_out(database: Database) -> None:
    await database.write(lambda conn: conn.execute(insert(counters).values(name="n", value=0)))
    root = Path(__file__).parents[2]
    workers = [
        subprocess.Popen([sys.executable, "-m", __spec__.name, database.url], cwd=root) for _ in range(PROCESSES)
    ]
    codes = await asyncio.gather(*(asyncio.to_thread(worker.wait, 120) for worker in workers))
    assert codes == [0] * PROCESSES
    count = await database.read(lambda conn: conn.execute(select(counters.c.value)).scalar_one())
    assert count == ROUNDS * PROCESSES


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1]))
