"""Broken JSON to be repaired."""
