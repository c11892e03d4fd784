"""Environments: what a model is asked, how episodes go, and the protocols that authors write against."""
