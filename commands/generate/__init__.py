"""``lachesis generate``: training rows from an environment, a run or an evaluation."""
