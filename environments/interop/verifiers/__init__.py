"""Environments of PrimeIntellect's package ``verifiers``, run by their own Python."""
