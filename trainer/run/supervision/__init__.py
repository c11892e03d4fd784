"""Supervision of a run: a process without Ray or torch that restarts it, and what the run tells that process."""
