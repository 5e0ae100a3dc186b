"""What Towpath costs in time, beside what others would take for the same: `make bench`."""
