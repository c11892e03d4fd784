"""Where a run's numbers go beside its own folder: TensorBoard, Weights & Biases, trackio, Prometheus, or your own."""
