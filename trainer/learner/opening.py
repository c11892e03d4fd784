"""The learner that a run asked for: in this process, or spread over Ray actors."""

from typing import TYPE_CHECKING, TypeAlias, Union

from ...rollout.config import ModelConfig
from ..config import TrainerConfig
from .learner import Learner

if TYPE_CHECKING:
    from .ranks import RankedLearner

AnyLearner: TypeAlias = Union[Learner, "RankedLearner"]


def open_learner(model: ModelConfig, config: TrainerConfig, longest: int) -> AnyLearner:
    """A learner of ``config.ranks`` ranks; several need a Ray that has been started."""
    if config.ranks == 1:
        return Learner(model, config, longest)
    from .ranks import RankedLearner

    return RankedLearner(model, config, longest)
