"""Models: loading them, making tiny ones, and scaling their positions."""
