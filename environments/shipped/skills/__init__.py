"""Skills that an agent writes after a success, and uses in later tasks of the same family."""
