"""Whose turn it is, by shares that may change: always whoever is furthest behind."""

from collections.abc import Sequence


class Credit:
    """Turns among several, such that shares hold at every length and nothing is drawn at random.

    Attributes:
        balance: what each is owed, in turns; sums to 0 between turns.
    """

    def __init__(self, count: int) -> None:
        self.balance = [0.0] * count

    def turn(self, weights: Sequence[float]) -> int:
        """Who is next where shares are in proportion to ``weights``; the first of equals."""
        total = sum(weights)
        self.balance = [have + weight / total for have, weight in zip(self.balance, weights, strict=True)]
        chosen = max(range(len(weights)), key=self.balance.__getitem__)
        self.balance[chosen] -= 1.0
        return chosen
