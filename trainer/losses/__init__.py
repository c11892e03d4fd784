"""What is minimised: policy losses, corrections, divergences, and how they are put together."""
