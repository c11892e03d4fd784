"""Opens the learner of a run: in this process, or on several Ray actors."""

from ...rollout.config import ModelConfig
from ..config import TrainerConfig
from .learner import Learner
from .local import LocalLearner


def open_learner(model: ModelConfig, config: TrainerConfig, longest: int) -> Learner:
    """Open a learner of ``config.ranks`` ranks. For more than one, Ray must have been started.

    Args:
        model: settings of the model; ``path`` is a folder or Hub id.
        config: settings of the trainer.
        longest: the most tokens of a reply, for ``trainer.loss.normalize = "constant"``.
    """
    if config.ranks == 1:
        return LocalLearner(model, config, longest)
    from .sharded.ranks import RankedLearner

    return RankedLearner(model, config, longest)
