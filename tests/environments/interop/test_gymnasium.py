import asyncio
import threading
import time
from itertools import islice
from typing import Any

import pytest

from lachesis.environments.loading import describe
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.trajectory import StopReason, Trajectory

gymnasium = pytest.importorskip("gymnasium")

THREADS: list[int] = []
CLOSED = threading.Event()


class Lock(gymnasium.Env):  # type: ignore[misc, name-defined]
    """A lock of three digits: each step says how many are right; the first digit follows from the seed."""

    action_space = gymnasium.spaces.Text(max_length=3, charset="0123456789")
    observation_space = gymnasium.spaces.Text(max_length=100, charset="abcdefghijklmnopqrstuvwxyz 0123456789")

    def __init__(self, fault: str = "") -> None:
        self.fault = fault

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        THREADS.append(threading.get_ident())
        self.code = f"{self.np_random.integers(10)}42"
        return f"open the lock that begins with {self.code[0]}", {}

    def step(self, action: str) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        THREADS.append(threading.get_ident())
        if self.fault == "raise":
            raise RuntimeError("jammed")
        if self.fault == "hang":
            time.sleep(3)
        if self.fault == "nan":
            return "", float("nan"), False, False, {}
        if self.fault == "surrogate":
            return "\ud800" * 100_000, 0.0, False, False, {}
        right = sum(mine == theirs for mine, theirs in zip(action, self.code, strict=False))
        return f"{right} are right", right / 3, action == self.code, False, {}

    def close(self) -> None:
        CLOSED.set()


class Bandit(gymnasium.Env):  # type: ignore[misc, name-defined]
    """Numbers instead of text, and an observation that is an array."""

    action_space = gymnasium.spaces.Discrete(2, start=1)
    observation_space = gymnasium.spaces.MultiBinary(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.observation_space.sample() * 0, {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample() * 0, float(action == 2), True, False, {}


gymnasium.register("Lock-v0", Lock, max_episode_steps=4, disable_env_checker=True)
gymnasium.register("Bandit-v0", Bandit, disable_env_checker=True)


def play(replies: list[str], **config: Any) -> Trajectory:
    environment = describe("gymnasium", config={"id": "Lock-v0", "success": 1.0, **config}).build()
    return asyncio.run(environment.attempt(next(iter(environment.tasks("test", 0))), replies))


def user(trajectory: Trajectory) -> list[str]:
    return [message["content"] for message in trajectory.messages["policy"] if message["role"] == "user"]


def test_observations_are_shown_and_the_rewards_of_all_steps_add_up() -> None:
    played = play(["000", "842"], instruction="Say three digits.")
    assert user(played) == ["Say three digits.\n\nopen the lock that begins with 8", "0 are right"]
    assert (played.stop, played.rewards["policy"].total, played.rewards["policy"].success) == (StopReason.DONE, 1, True)
    (part,) = played.rewards["policy"].components
    assert part.verdict.steps == (0.0, 1.0)


def test_truncated_is_a_stop_reason_and_keeps_the_rewards_so_far() -> None:
    played = play(["802"] * 9)
    assert played.stop is StopReason.TURNS
    assert played.artifacts == {"truncated": True, "steps": 4}
    assert played.rewards["policy"].total == pytest.approx(4 * 2 / 3)


def test_a_reply_that_is_no_action_is_answered_and_not_played() -> None:
    played = play(["four!", "<think>842</think>842"])
    assert user(played)[1].startswith("Error: 'four!' is not an action.")
    assert played.rewards["policy"].total == 1.0


def test_an_episode_without_a_step_earns_nothing_and_is_a_failure() -> None:
    played = play([], limits={"turns": 2})
    assert (played.stop, played.rewards["policy"].total, played.rewards["policy"].success) == (
        StopReason.TURNS,
        0,
        False,
    )


def test_with_a_tag_only_its_last_content_is_played() -> None:
    played = play(["842", "<a>000</a> or <a> 842 </a>"], tag="a")
    assert user(played)[1] == "Error: no action found. Write it within <a> and </a>."
    assert played.rewards["policy"].components[0].verdict.steps == (0.0, 1.0)


def test_an_episode_runs_on_one_thread_of_its_own_and_is_closed() -> None:
    THREADS.clear()
    CLOSED.clear()
    play(["000", "842"])
    assert CLOSED.wait(10)
    assert len(set(THREADS)) == 1
    assert THREADS[0] != threading.get_ident()


@pytest.mark.parametrize(
    ("fault", "config", "stop", "says"),
    [
        ("raise", {}, StopReason.ENVIRONMENT_ERROR, "RuntimeError: jammed"),
        ("nan", {}, StopReason.ENVIRONMENT_ERROR, "must be a finite number, found nan"),
        ("hang", {"deadline": 0.2}, StopReason.INFRA_ERROR, "no answer within 0.2 s"),
    ],
)
def test_a_fault_of_the_environment_is_never_a_score(
    fault: str, config: dict[str, Any], stop: StopReason, says: str
) -> None:
    played = play(["000"], options={"fault": fault}, **config)
    assert played.stop is stop
    assert says in str(played.error)
    assert not played.scored


def test_an_observation_that_is_huge_or_no_unicode_is_bounded_and_can_be_stored() -> None:
    played = play(["000", "842"], options={"fault": "surrogate"}, limits={"result_characters": 200, "turns": 2})
    assert len(user(played)[1]) < 300
    assert "characters of this result were cut out" in user(played)[1]
    user(played)[1].encode()


def test_numbers_and_names_are_actions_of_a_discrete_space() -> None:
    assert play(["2"], id="Bandit-v0").rewards["policy"].total == 1.0
    named = play(["right", "none", "left"], id="Bandit-v0", actions=["left", "right"])
    assert user(named) == ["[0, 0]"]
    assert named.rewards["policy"].total == 1.0
    assert "Choose one of: 1, 2" in user(play(["0", "1"], id="Bandit-v0"))[1]


def test_a_game_has_nothing_to_demonstrate() -> None:
    environment = describe("gymnasium", config={"id": "Lock-v0"}).build()
    with pytest.raises(ConfigError, match="no answers to demonstrate"):
        environment.demonstration(next(iter(environment.tasks("test", 0))))


def test_seeds_decide_the_tasks_and_held_out_seeds_are_never_trained_on() -> None:
    environment = describe("gymnasium", config={"id": "Lock-v0", "test_tasks": 3}).build()
    tested = [task.info["seed"] for task in environment.tasks("test", 7)]
    trained = [task.info["seed"] for task in islice(environment.tasks("train", 7), 50)]
    assert tested == [0, 1, 2]
    assert trained == [task.info["seed"] for task in islice(environment.tasks("train", 7), 50)]
    assert not {*tested} & {*trained}


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({}, "'id' is missing"),
        ({"id": "Nothing-v0"}, "gymnasium cannot make 'Nothing-v0'"),
        ({"id": "no_such_module:Nothing-v0"}, "No module named 'no_such_module'"),
        ({"id": "Lock-v0", "options": {"colour": 1}}, "unexpected keyword argument 'colour'"),
        ({"id": "CartPole-v1", "actions": ["left"]}, "1 names for the space Discrete(2)"),
        ({"id": "Pendulum-v1"}, "only Text and Discrete"),
    ],
)
def test_what_cannot_be_made_is_refused_with_its_reason(config: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        next(iter(describe("gymnasium", config=config).build().tasks("test", 0)))
    assert says in str(refused.value)
