"""Sandboxes on other machines, over HTTP: the client and the server of our own, and a client of SandboxFusion."""
