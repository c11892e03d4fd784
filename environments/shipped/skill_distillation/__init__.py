"""Worked examples from which a skill is written, which must then be enough to solve other instances."""
