"""Fixtures of the contract tests."""

from tests.github_contract.fixtures import github, octokit

__all__ = ["github", "octokit"]
