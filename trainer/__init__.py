"""The floor below the command line: how groups of trajectories become new weights."""
