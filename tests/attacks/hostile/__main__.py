import json
import sys
from pathlib import Path

from .base import ATTACKS, tried


def main() -> None:
    targets = json.loads(Path(sys.argv[1]).read_text())
    for name in sys.argv[2:] or ATTACKS:
        print("ATTACK " + json.dumps({"attack": name, **tried(ATTACKS[name], targets)}), flush=True)


if __name__ == "__main__":
    main()
