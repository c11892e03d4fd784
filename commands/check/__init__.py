"""``lachesis check``: auditing an environment."""
