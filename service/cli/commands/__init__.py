"""The commands, by topic; each module adds its own with `register`."""
