"""The Docker backend of the sandbox."""
