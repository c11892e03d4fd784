"""``lachesis check``: an audit of an environment."""
