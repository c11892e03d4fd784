"""The numbers of an evaluation's report, rounded for people."""

import math

from lachesis.commands.eval.report import rounded


def test_the_interval_of_a_share_stays_between_0_and_1_and_that_of_a_reward_does_not() -> None:
    assert rounded((0.95, 0.1), share=True) == ("0.9500", "0.7540 to 1.0000")
    assert rounded((0.05, 0.1), share=True) == ("0.0500", "0.0000 to 0.2460")
    assert rounded((0.95, 0.1)) == ("0.9500", "0.7540 to 1.1460")
    assert rounded((0.5, math.nan), share=True) == ("0.5000", "needs two tasks")
    assert rounded((math.nan, math.nan), share=True) == ("none", "needs two tasks")
