"""First floor: what is asked of a model, and the protocol that environment authors type against."""
