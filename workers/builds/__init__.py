"""A commit becomes a slug: fetch (source) -> export -> compile in the sandbox (builder) -> pack and keep (slug)."""
