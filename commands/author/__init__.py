"""Commands for authors of environments."""
