"""``lachesis view``: a page about runs and evaluations, live while they are written."""
