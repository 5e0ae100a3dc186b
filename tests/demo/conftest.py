"""Fixtures of the tests of the simulated GitHub."""

from tests.github_contract.fixtures import github, octokit

__all__ = ["github", "octokit"]
