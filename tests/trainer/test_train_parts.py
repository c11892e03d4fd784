"""Steps that are split into parts: what is early, what a stop leaves, and that no bit depends on the time."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lachesis.rollout.event_log import EVENTS, read_events
from lachesis.rollout.orders import TRAINING, Order, Outcome
from lachesis.rollout.workers.pool import InlinePool
from lachesis.trainer import train as main_job
from lachesis.trainer.learner.local import LocalLearner
from lachesis.trainer.learner.sample import Sample
from lachesis.trainer.run.progress import Progress
from lachesis.trainer.run.storage.folder import RunFolder

from .test_train import ONE_OF_EACH, configured, rows_of, train, weights_of

PARTS: dict[str, Any] = {"trainer": {"steps": 3, "parts": 2, "checkpoint_every": 1}, "eval": {"every": 0}}


def test_the_gradient_of_a_part_is_computed_while_later_groups_are_played_and_no_bit_depends_on_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed, _ = train(configured(tmp_path / "undisturbed", **PARTS))
    run, add = InlinePool.run, LocalLearner.add_gradient
    begun = [asyncio.Event() for _ in range(3)]

    async def waiting(pool: InlinePool, orders: Sequence[Order]) -> Sequence[Outcome]:
        if orders[0].seed[1] == TRAINING and orders[-1].index % 4 == 3:  # it waits for the step's first gradient
            async with asyncio.timeout(60):
                await begun[orders[-1].index // 4].wait()
        return await run(pool, orders)

    def noted(learner: LocalLearner, samples: Sequence[Sample]) -> None:
        add(learner, samples)
        if samples[0].source[0] == 0:
            next(event for event in begun if not event.is_set()).set()

    monkeypatch.setattr(InlinePool, "run", waiting)
    monkeypatch.setattr(LocalLearner, "add_gradient", noted)
    held_up, _ = train(configured(tmp_path / "held_up", **PARTS))
    assert all(event.is_set() for event in begun)
    assert weights_of(held_up) == weights_of(undisturbed)
    assert rows_of(held_up) == rows_of(undisturbed)
    spans = [event for event in read_events(held_up / EVENTS) if event["event"] == "trainer" and "part" in event]
    assert [(event["phase"], event["part"], event["parts"]) for event in spans] == 3 * [
        ("waiting", 1, 2),
        ("update", 1, 2),
        ("waiting", 2, 2),
        ("update", 2, 2),
    ]


def test_a_run_that_is_stopped_between_two_parts_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, _ = train(configured(tmp_path / "expected", **PARTS))
    run, add = InlinePool.run, LocalLearner.add_gradient
    parts: list[int] = []

    async def held_up(pool: InlinePool, orders: Sequence[Order]) -> Sequence[Outcome]:
        if orders[0].seed[1] == TRAINING and orders[-1].index == 7:  # the last group of the second step
            await asyncio.Event().wait()
        return await run(pool, orders)

    async def stopped() -> None:
        main = asyncio.current_task()
        assert main

        def stopping(learner: LocalLearner, samples: Sequence[Sample]) -> None:
            add(learner, samples)
            parts.append(len(samples))
            if len(parts) == 3:  # the first part of the second step
                main.cancel()

        monkeypatch.setattr(InlinePool, "run", held_up)
        monkeypatch.setattr(LocalLearner, "add_gradient", stopping)
        await main_job.train(config, config.build_environments(), folder, Progress(4, quiet=True))

    config = configured(tmp_path, **PARTS)
    folder = RunFolder.create(config)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(stopped())
    folder.close()
    assert [row["step"] for row in rows_of(folder.path) if row["step"] > 0] == [1]
    monkeypatch.undo()
    train(config, resume=folder.path)
    assert rows_of(folder.path, "version") == rows_of(expected, "version")
    assert weights_of(folder.path) == weights_of(expected)


@pytest.mark.slow
def test_on_ray_parts_give_the_bits_of_one_process(tmp_path: Path) -> None:
    alone, _ = train(configured(tmp_path / "alone", **PARTS))
    on_ray, _ = train(configured(tmp_path, **PARTS, rollout=ONE_OF_EACH))
    assert rows_of(on_ray) == rows_of(alone)
    assert weights_of(on_ray) == weights_of(alone)
