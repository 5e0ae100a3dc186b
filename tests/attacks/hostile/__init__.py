"""A hostile program: it tries each attack and tells, in a line of JSON, what it got or what stopped it.

`python3 -m hostile TARGETS.json [NAME ...]`, as any app runs.
"""

from . import kernel, network, secrets, system
from .base import ATTACKS, CANARY, TOKEN

__all__ = ["ATTACKS", "CANARY", "TOKEN", "kernel", "network", "secrets", "system"]
