from hypothesis import given
from hypothesis import strategies as st

from lachesis.rollout.workers.loads import Loads

WORKERS = 5
EVENTS = st.lists(
    st.tuples(st.integers(0, WORKERS - 1), st.integers(-3, 3), st.sampled_from([None, 0.0, 10.0, float("inf")])),
    max_size=80,
)


@given(EVENTS, st.floats(0, 20))
def test_the_least_loaded_is_the_one_that_a_look_at_all_finds(
    events: list[tuple[int, int, float | None]], now: float
) -> None:
    loads, plain, down = Loads(WORKERS), [0] * WORKERS, [0.0] * WORKERS
    for worker, change, until in events:
        if until is not None:
            down[worker] = until
        loads[worker] += change
        plain[worker] += change
        least = min(range(WORKERS), key=lambda one: (down[one] > now, plain[one]))
        assert loads.least(down, now) == loads.least(down, now) == least
    assert [loads[worker] for worker in range(len(loads))] == plain


def test_memory_does_not_grow_with_the_number_of_orders() -> None:
    loads = Loads(3)
    for _ in range(1_000):
        for change in (1, -1):
            chosen = loads.least([0.0] * 3, 1.0)
            loads[chosen] += change
    assert len(loads._heap) < 40
