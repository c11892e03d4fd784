import pytest

from lachesis.rollout.engines.engine import EngineInfo


@pytest.mark.parametrize(
    ("slots", "cache", "size", "room"),
    [
        (0, 0, 0.0, 0),  # an engine that says nothing
        (0, 4096, 100.0, 0),
        (64, 0, 100.0, 64),
        (64, 4096, 0.0, 64),  # before a request has ended
        (64, 4096, 60.0, 64),
        (64, 4096, 100.0, 40),
        (64, 4096, 9000.0, 1),
    ],
)
def test_an_engine_holds_as_many_requests_as_its_slots_and_its_cache_allow(
    slots: int, cache: int, size: float, room: int
) -> None:
    assert EngineInfo("any", slots=slots, cache_tokens=cache).room(size) == room
