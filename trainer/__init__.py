"""Top floor: how groups of trajectories become new weights, and the command line."""
