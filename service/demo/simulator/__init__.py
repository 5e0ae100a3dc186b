"""The inside of the simulated GitHub; `service.demo.github_sim` is its front."""
