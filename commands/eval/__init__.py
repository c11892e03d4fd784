"""``lachesis eval``: a model evaluated on an environment."""
