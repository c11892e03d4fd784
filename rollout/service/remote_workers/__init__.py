"""Rollout machines without Ray: a trainer's routes for them, and the clients and the feeder that run on them."""
