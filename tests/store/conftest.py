"""The store's tests all use these."""

from tests.store.fixtures import *  # noqa: F403
