"""Commands that train, and those that show and steer a run."""
