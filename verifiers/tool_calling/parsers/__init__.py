"""Parsers that several tool-call formats share."""
