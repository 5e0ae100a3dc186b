"""What does the work: jobs, builds, platforms and add-ons."""
