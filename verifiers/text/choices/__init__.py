"""Multiple-choice answers: finding the option that a text chooses."""
