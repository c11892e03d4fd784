"""``lachesis eval``: scoring a model on an environment."""
