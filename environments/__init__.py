"""Environments: tasks and episodes, and the protocols that authors program against."""
