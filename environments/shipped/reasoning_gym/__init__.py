"""The datasets of Reasoning Gym."""
