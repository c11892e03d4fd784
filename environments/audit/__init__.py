"""The audit behind ``lachesis check``: scripted players, bad replies, and what they find."""
