"""``lachesis verify``: stored completions and trajectories scored again."""
