"""Everything around the training loop: the run's folder, checkpoints, metrics, alerts, weight sync, warm start."""
