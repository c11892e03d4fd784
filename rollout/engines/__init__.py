"""Engines: they generate tokens and compute logprobs."""
