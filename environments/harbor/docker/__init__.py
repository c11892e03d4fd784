"""Harbor tasks in Docker: the images of tasks, and containers in which agents, oracles and tests run."""
