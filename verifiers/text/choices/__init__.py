"""Multiple choice: which option a text commits itself to."""
