"""Unmodified agent programs as an environment: they run in a sandbox, and reach the model over HTTP."""
