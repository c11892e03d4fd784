"""Verifiers over the steps of a trajectory."""
