"""What a run of the tests has counted and measured, left in `build/figures` for whoever wants to know."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PLACE = Path(__file__).resolve().parents[1] / "build" / "figures"


def keep(name: str, figures: Mapping[str, Any]) -> None:
    """Write figures down under a name, in the place of those of a former run."""
    PLACE.mkdir(parents=True, exist_ok=True)
    (PLACE / f"{name}.json").write_text(json.dumps(figures, indent=2) + "\n")
