"""Faults play on the same stage as walks: one installation per module, a pipeline of its own for each fault."""

from tests.walk.conftest import octokit, runtimes, stage

__all__ = ["octokit", "runtimes", "stage"]
