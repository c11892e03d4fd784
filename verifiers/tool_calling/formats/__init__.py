"""Formats in which models write tool calls, each with a prompt and a parser."""
