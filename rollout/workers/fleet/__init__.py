"""What the fleets of engines and of workers have in common: states, deadlines, and who looks after an actor."""
