"""Which task comes next: streams, curricula, and mixtures of environments."""
