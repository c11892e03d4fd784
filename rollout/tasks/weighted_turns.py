"""Takes turns in proportion to weights that may change: the next turn goes to the one that is furthest behind."""

from collections.abc import Sequence


class Credit:
    """Deals out turns, so that the shares hold after any number of turns, without drawing at random.

    Attributes:
        balance: the turns that each is owed; they sum to 0.
    """

    def __init__(self, count: int) -> None:
        self.balance = [0.0] * count

    def turn(self, weights: Sequence[float]) -> int:
        """The next one, if shares are in proportion to ``weights``; the first of equals."""
        total = sum(weights)
        self.balance = [have + weight / total for have, weight in zip(self.balance, weights, strict=True)]
        chosen = max(range(len(weights)), key=self.balance.__getitem__)
        self.balance[chosen] -= 1.0
        return chosen
