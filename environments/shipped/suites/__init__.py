"""Benchmarks as their authors publish them: the rows, the prompt, and the scoring of each."""
