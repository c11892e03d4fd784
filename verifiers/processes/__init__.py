"""Helper processes and deadlines for verifiers."""
