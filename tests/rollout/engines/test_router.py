import asyncio
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest

from lachesis.rollout.engines.engine import Completion, Request, Sampling
from lachesis.rollout.engines.router import Router
from lachesis.verifiers.errors import DeadlineExceeded, EngineError, EngineLost, EngineStale


class Fixed:
    """Answers with its own token, or with an error for the first ``failures`` requests."""

    def __init__(self, token: int, failures: int = 0, error: type[EngineError] = EngineLost) -> None:
        self.token, self.failures, self.error = token, failures, error

    async def generate(self, request: Request) -> Completion:
        if self.failures:
            self.failures -= 1
            raise self.error("gone")
        return Completion(np.array([self.token], np.int32), np.zeros(1, np.float32), np.zeros(1, np.int32), "stop")


def ask(router: Router, route: int) -> int:
    request = Request(np.array([1], np.int32), Sampling(), route=route)
    return int(asyncio.run(router.generate(request)).tokens[0])


def served_by(engines: int, routes: Iterable[int]) -> list[int]:
    router = Router([Fixed(number) for number in range(engines)], deadline=5)

    async def all_of() -> list[int]:
        prompt = np.array([1], np.int32)
        return [int((await router.generate(Request(prompt, Sampling(), route=route))).tokens[0]) for route in routes]

    return asyncio.run(all_of())


def test_a_route_stays_on_one_engine() -> None:
    router = Router([Fixed(10), Fixed(11)], deadline=5)
    assert all(ask(router, route) == ask(router, route) for route in range(20))


@pytest.mark.parametrize("engines", [1, 2, 3, 8])
def test_each_round_of_routes_has_one_for_every_engine(engines: int) -> None:
    served = served_by(engines, range(5 * engines))
    for begin in range(0, 5 * engines, engines):
        assert set(served[begin : begin + engines]) == set(range(engines))


@pytest.mark.parametrize("engines", [2, 3, 8])
@pytest.mark.parametrize("period", [2, 3, 4, 8, 16])
def test_routes_that_take_turns_are_spread_over_all_engines(engines: int, period: int) -> None:
    served = Counter(served_by(engines, range(0, 200 * period, period)))
    assert len(served) == engines
    assert max(served.values()) < 2 * min(served.values())


def test_a_lost_engine_is_passed_over() -> None:
    assert ask(Router([Fixed(10, failures=1), Fixed(11)], deadline=5), route=0) == 11


def test_an_engine_that_comes_back_serves_again() -> None:
    assert ask(Router([Fixed(10, failures=2)], deadline=5), route=0) == 10


def test_a_refusal_is_not_a_loss_and_is_passed_on() -> None:
    with pytest.raises(EngineError, match="gone"):
        ask(Router([Fixed(10, failures=1, error=EngineError), Fixed(11)], deadline=5), route=0)


def test_with_every_engine_lost_the_deadline_ends_the_wait_and_says_why() -> None:
    with pytest.raises(DeadlineExceeded, match="gone"):
        ask(Router([Fixed(10, failures=10**9)], deadline=0.5), route=0)


def test_an_engine_that_was_lost_is_asked_last_for_a_while_so_that_it_costs_one_request_only() -> None:
    lost, other = Fixed(10, failures=1), Fixed(11)
    router = Router([lost, other], deadline=5)
    assert [ask(router, route=0) for _ in range(3)] == [11, 11, 11]
    other.failures = 1
    assert ask(router, route=0) == 10


def test_an_engine_with_old_weights_needs_no_rest() -> None:
    assert [ask(router, route=0) for router in [Router([Fixed(10, 1, EngineStale), Fixed(11)], 5)] * 2] == [11, 10]


def test_routes_of_an_engine_that_is_not_there_are_spread_over_the_others_and_all_other_routes_stay() -> None:
    router = Router([Fixed(10), Fixed(11), Fixed(12)], deadline=5)
    before = [ask(router, route) for route in range(9)]
    router.use([Fixed(10), None, Fixed(12)])
    after = [ask(router, route) for route in range(9)]
    assert all(one == other for one, other in zip(before, after, strict=True) if one != 11)
    assert {other for one, other in zip(before, after, strict=True) if one == 11} == {10, 12}


def test_an_engine_that_comes_during_the_wait_serves_and_without_one_the_deadline_says_so() -> None:
    router = Router([], deadline=5)

    async def session() -> int:
        asked = asyncio.create_task(router.generate(Request(np.array([1], np.int32), Sampling(), route=3)))
        await asyncio.sleep(0.01)
        router.use([None, Fixed(11)])
        return int((await asked).tokens[0])

    assert asyncio.run(session()) == 11
    with pytest.raises(DeadlineExceeded, match="none is there"):
        ask(Router([None], deadline=0.3), route=0)
