"""Samples packed into rows of tokens, and the model over such rows: common beginnings are computed once."""
