"""Measure everything, print the table and write `build/bench.json`. A goal that is missed is shown, not an error."""

import asyncio
import sys
import tempfile
from pathlib import Path

import structlog

from tests.bench.lists import lists
from tests.bench.rows import table, write
from tests.bench.slugs import slugs
from tests.bench.walks import walks

OUT = Path("build/bench.json")
PARTS = {"walks": walks, "slugs": slugs, "lists": lists}


async def main(names: list[str]) -> int:
    """Run the parts that are named, or all."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    rows = []
    with tempfile.TemporaryDirectory(prefix="tp-bench-", dir="/tmp") as place:
        Path(place).chmod(0o755)
        for name in names or PARTS:
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            rows += await PARTS[name](Path(place, name))
            write(rows, OUT)
    print(table(rows))
    print(f"\nAlso in {OUT}. Rows without a peer stand alone: peers are not installed in this version.")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
