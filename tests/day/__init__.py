"""A team's day in minutes, with all that can go wrong on one: not a test by itself, but `make day`."""
