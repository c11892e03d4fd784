"""``lachesis doctor``."""
