"""Rollout machines without Ray: the routes that a trainer's service has for them, and what runs on such a machine."""
