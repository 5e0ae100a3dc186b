"""The processes of this side, by name: `worker`, `stop-apps`, `doctor`, `runtimes`."""

import asyncio
import json
import sys

from service.domain.errors import Refused
from service.settings import BadSetting, from_environment


def main() -> int:
    """Run the process named by the first argument."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    try:
        settings = from_environment()
        match name:
            case "worker":
                from workers.main import main as worker

                worker(settings)
            case "stop-apps":
                from workers.platforms.process.stopping import stop_all

                asyncio.run(stop_all(settings.data))
            case "runtimes":
                from workers.builds.runtimes import ensure

                asyncio.run(ensure(settings.work_dir))
            case "doctor":
                from workers.doctor import findings

                print(json.dumps(asyncio.run(findings(settings, ask="--ask" in sys.argv))))  # noqa: T201
            case _:
                print(f"there is no process {name!r}", file=sys.stderr)  # noqa: T201
                return 2
    except (Refused, BadSetting) as error:
        print(str(error), file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
