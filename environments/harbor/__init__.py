"""Tasks in the format of Harbor, the common format of agent benchmarks."""
