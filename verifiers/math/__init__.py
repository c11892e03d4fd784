"""The verifier of mathematical answers and what it is made of."""
