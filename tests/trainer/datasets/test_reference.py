"""The reference's logprobs: computed once, kept in a file, and refused if that is damaged."""

from pathlib import Path

import numpy as np
import pytest

from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.config import ModelConfig
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.trainer.config import TrainerConfig
from lachesis.trainer.datasets.preference import read_pair
from lachesis.trainer.datasets.reference import with_reference
from lachesis.trainer.learner.local import LocalLearner
from lachesis.verifiers.errors import InfrastructureError


def test_they_are_those_of_the_model_alone_and_stay_when_it_changes(tmp_path: Path) -> None:
    path = str(build_tiny_model(tmp_path / "tiny", hidden=16, layers=1, context=64))
    renderer, file = Renderer.load(path), tmp_path / "reference.npy"
    pairs = [read_pair({"prompt": f"{n}+1=", "chosen": str(n + 1), "rejected": "no"}, renderer) for n in range(5)]
    learner = LocalLearner(ModelConfig(path=path, context=64), TrainerConfig(micro_tokens=32))
    done: list[int] = []
    first = with_reference(pairs, learner, file, done.append)
    assert done == [5]
    for pair in first:
        for known, (sample,) in zip(pair.reference, pair.sides, strict=True):
            logprobs = learner.compute_logprobs(sample.tokens)[sample.mask]
            assert known == pytest.approx(float(logprobs.sum(dtype=np.float64)), abs=1e-4)
    learner.supervised_step([sample for pair in pairs for sample in pair.chosen], 1e-2)
    assert [pair.reference for pair in with_reference(pairs, learner, file)] == [pair.reference for pair in first]
    other = with_reference(pairs[:4], learner, file)  # it is of other pairs, so it is computed again
    assert other[0].reference != first[0].reference
    file.write_bytes(b"torn")
    with pytest.raises(InfrastructureError, match=r"reference\.npy.*delete the file"):
        with_reference(pairs, learner, file)
