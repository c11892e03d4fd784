"""What a run keeps when a step of it fails: all that is known of the steps before, and a checkpoint to go on from."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from lachesis.rollout.event_log import EVENTS, read_events
from lachesis.rollout.orders import EVALUATION, TRAINING, Order, Outcome
from lachesis.rollout.store import TrajectoryStore
from lachesis.rollout.workers.pool import InlinePool
from lachesis.trainer.learner.local import LocalLearner
from lachesis.trainer.learner.sample import Sample
from lachesis.trainer.run.error_log import ErrorLog
from lachesis.trainer.run.sinks.sink import RunFacts, SampleRow
from lachesis.trainer.run.storage.checkpoint import latest
from lachesis.verifiers.errors import InfrastructureError

from .test_train import ONE_OF_EACH, configured, rows_of, train, weights_of

SETTINGS: dict[str, Any] = {
    "warm_start": {"steps": 0},
    "trainer": {"steps": 4, "parts": 2, "checkpoint_every": 50},
    "eval": {"every": 2},
    "logging": {"sinks": [f"{__name__}:Noted"], "samples_every": 1},
}


class Noted:
    """A sink of the user's that hands its numbers on when it is closed."""

    handed_on: ClassVar[dict[Path, list[int]]] = {}

    def __init__(self, facts: RunFacts) -> None:
        self.path, self.steps, self.sampled = facts.path, [], []

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self.steps.append(step)

    def samples(self, rows: Sequence[SampleRow]) -> None:
        self.sampled.append(rows[0].step)

    def rewind(self, step: int) -> None: ...

    def close(self) -> None:
        self.handed_on[self.path] = [*self.steps, *self.sampled]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(configured(tmp_path_factory.mktemp("undisturbed"), **SETTINGS))[0]


def fail_in_step_3(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Have a part of the third step fail, or the evaluation after the second one."""
    run, add, step = InlinePool.run, LocalLearner.add_gradient, LocalLearner.policy_step
    steps = 0

    async def play(pool: InlinePool, orders: Sequence[Order]) -> Sequence[Outcome]:
        kind = orders[0].seed[1]
        if what == "groups" and kind == TRAINING and orders[-1].index >= 8:
            raise InfrastructureError("the sandbox is away")
        if what == "evaluation" and kind == EVALUATION and steps == 2:
            raise InfrastructureError("the sandbox is away")
        return await run(pool, orders)

    def add_gradient(learner: LocalLearner, samples: Sequence[Sample]) -> None:
        add(learner, samples)
        if what == "gradient" and steps == 2:
            raise RuntimeError("the device is lost")

    def policy_step(learner: LocalLearner, samples: Sequence[Sample], lr: float) -> Any:
        nonlocal steps
        if what == "update" and steps == 2:
            step(learner, samples, lr)
            raise RuntimeError("the device is lost")
        result = step(learner, samples, lr)
        steps += 1
        return result

    monkeypatch.setattr(InlinePool, "run", play)
    monkeypatch.setattr(LocalLearner, "add_gradient", add_gradient)
    monkeypatch.setattr(LocalLearner, "policy_step", policy_step)


def assert_whole(run: Path, logged: list[int], checkpoint: str) -> None:
    """Check all that a run has of the two steps before the one that failed."""
    assert [row["step"] for row in rows_of(run)] == logged
    assert TrajectoryStore(run / "trajectories.jsonl.zst").steps == [1, 2]
    events = list(read_events(run / EVENTS))
    assert [event["step"] for event in events if event["event"] == "trained"] == [1, 2]
    assert [event["step"] for event in events if event["event"] == "step"] == [1, 2]
    assert Noted.handed_on.pop(run) == [*logged, 1, 2]
    newest = latest(run / "checkpoints")
    assert newest is not None
    assert newest.name == checkpoint


@pytest.mark.parametrize(
    ("what", "logged", "checkpoint"),
    [
        ("groups", [0, 1, 2], "step-000002"),
        ("gradient", [0, 1, 2], "step-000002"),
        ("update", [0, 1, 2], "step-000000"),  # the weights may have changed
        ("evaluation", [0, 1], "step-000002"),  # the row of step 2 waits in the checkpoint for its results
    ],
)
def test_a_failed_step_leaves_the_steps_before_whole_and_the_run_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: Path, what: str, logged: list[int], checkpoint: str
) -> None:
    config = configured(tmp_path, **SETTINGS)
    with monkeypatch.context() as patched:
        fail_in_step_3(patched, what)
        with pytest.raises((InfrastructureError, RuntimeError), match=r"is away|is lost"):
            train(config)
    (run,) = tmp_path.glob("toy-*")
    assert_whole(run, logged, checkpoint)
    if what == "groups":
        (problem,) = ErrorLog(run).problems
        assert (problem.what, problem.first, problem.count) == ("the sandbox is away", 3, 4)
    train(config, resume=run)
    assert rows_of(run, "version") == rows_of(undisturbed, "version")
    assert weights_of(run) == weights_of(undisturbed)


def test_what_fails_first_is_the_error_also_if_the_checkpoint_fails_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = LocalLearner.save

    def save(learner: LocalLearner, folder: Path) -> None:
        if folder.name != "step-000000":
            raise ValueError("the device is lost, too")
        plain(learner, folder)

    fail_in_step_3(monkeypatch, "groups")
    monkeypatch.setattr(LocalLearner, "save", save)
    with pytest.raises(InfrastructureError, match=r"^step 3: 4 group.* the sandbox is away$"):
        train(configured(tmp_path, **SETTINGS))
    (run,) = tmp_path.glob("toy-*")
    assert_whole(run, [0, 1, 2], "step-000000")
    assert "no checkpoint could be completed: the device is lost, too" in (run / "log").read_text()


@pytest.mark.slow
def test_on_ray_a_failed_step_leaves_the_steps_before_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_in_step_3(monkeypatch, "gradient")
    with pytest.raises(RuntimeError, match="the device is lost"):
        train(configured(tmp_path, **SETTINGS, rollout=ONE_OF_EACH))
    (run,) = tmp_path.glob("toy-*")
    assert_whole(run, [0, 1, 2], "step-000002")
