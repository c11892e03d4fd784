"""Verifiers of agent behaviour over the steps of a trajectory."""
