"""The embedded engine: apps as sandboxed processes on this machine.

driver.py (in the worker) speaks to runner.py (the only privileged process) over a unix socket. The runner starts one
shim.py per instance or command; the shim makes the network namespace, executes bubblewrap and holds what must outlive
the runner: output, exit code, hand-over socket and egress.
"""
