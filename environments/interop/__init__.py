"""Adapters to environments that were written for other frameworks."""
