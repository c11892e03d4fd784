"""Formats in which models write tool calls: a prompt and a parser for each."""
