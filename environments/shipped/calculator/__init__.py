"""Expressions worked out with a calculator tool."""
