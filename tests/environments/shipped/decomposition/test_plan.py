"""Plans: read strictly, executed within bounds, and refused with the reason."""

from typing import Any

import pytest

from lachesis.environments.shipped.decomposition.plan import BadPlan, execute, read_plan, rounds

GOOD = [
    {"id": "goal", "do": "minus", "of": ["s", "n"]},
    {"id": "n", "do": "count", "of": ["A"]},
    {"id": "s", "do": "sum", "of": ["big"]},
    {"id": "big", "do": "above", "of": ["A"], "by": 3},
]


def test_steps_may_be_in_any_order_and_run_in_that_of_their_dependencies() -> None:
    steps = read_plan(GOOD, ["A"])
    assert execute(steps, {"A": [1, 5, 9]}) == 11
    assert execute(steps, {"A": []}) == 0
    assert rounds(steps) == 3
    assert list(steps).index("big") < list(steps).index("s") < list(steps).index("goal")


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        ([], "a list of 1 to"),
        ({"id": "goal"}, "a list of 1 to"),
        ([{"id": "goal", "do": "sum", "of": ["A"]}] * 41, "a list of 1 to"),
        (["sum"], "a step has"),
        ([{"id": "goal", "do": "sum", "of": ["A"], "value": 7}], "a step has"),
        ([{"id": "goal", "do": "answer", "of": ["A"]}], "known operations"),
        ([{"id": "goal", "do": ["sum"], "of": ["A"]}], "known operations"),
        ([{"id": "", "do": "sum", "of": ["A"]}], "an id"),
        ([{"id": "goal", "do": "sum", "of": "A"}], "takes 1 inputs"),
        ([{"id": "goal", "do": "plus", "of": ["A"]}], "takes 2 inputs"),
        ([{"id": "goal", "do": "sum", "of": [7]}], "takes 1 inputs"),
        ([{"id": "goal", "do": "sum", "of": ["A"], "by": 3}], "has no by"),
        ([{"id": "goal", "do": "first", "of": ["A"]}], "needs a whole number"),
        ([{"id": "goal", "do": "first", "of": ["A"], "by": True}], "needs a whole number"),
        ([{"id": "goal", "do": "sum", "of": ["B"]}], "neither an input nor a step"),
        ([{"id": "x", "do": "sum", "of": ["A"]}], "no step has the id"),
        ([{"id": "A", "do": "sort", "of": ["A"]}], "taken twice"),
        ([*GOOD, GOOD[0]], "taken twice"),
        ([*GOOD, {"id": "idle", "do": "sum", "of": ["A"]}], "nothing needs"),
        ([{"id": "goal", "do": "sort", "of": ["goal"]}], "depend on themselves"),
        (
            [{"id": "goal", "do": "sort", "of": ["x"]}, {"id": "x", "do": "sort", "of": ["goal"]}],
            "depend on themselves",
        ),
    ],
)
def test_a_plan_that_is_not_sound_is_refused_with_the_reason(plan: Any, reason: str) -> None:
    with pytest.raises(BadPlan, match=reason):
        read_plan(plan, ["A"])


def test_a_list_is_no_number_and_growth_is_bounded() -> None:
    with pytest.raises(BadPlan, match="takes lists"):
        execute(read_plan([*GOOD[1:2], {"id": "goal", "do": "sum", "of": ["n"]}], ["A"]), {"A": [1]})
    doubled = [{"id": f"d{n}", "do": "join", "of": [f"d{n - 1}" if n else "A"] * 2} for n in range(38)]
    with pytest.raises(BadPlan, match="makes too much"):
        execute(read_plan([*doubled, {"id": "goal", "do": "count", "of": ["d37"]}], ["A"]), {"A": [1, 2]})
    grown = [{"id": f"d{n}", "do": "multiply", "of": [f"d{n - 1}" if n else "A"], "by": 10**9} for n in range(38)]
    with pytest.raises(BadPlan, match="makes too much"):
        execute(read_plan([*grown, {"id": "goal", "do": "sum", "of": ["d37"]}], ["A"]), {"A": [2]})
