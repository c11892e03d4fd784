"""Verifier for mathematical answers, and the parsers and comparisons that it uses."""
