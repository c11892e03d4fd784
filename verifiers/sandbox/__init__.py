"""Where untrusted programs run: jobs, executions, levels, and the backends that hold them."""
