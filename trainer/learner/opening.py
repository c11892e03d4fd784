"""Opens the learner that a run asks for: in this process, or spread over Ray actors."""

from ...rollout.config import ModelConfig
from ..config import TrainerConfig
from .learner import Learner
from .local import LocalLearner


def open_learner(model: ModelConfig, config: TrainerConfig, longest: int) -> Learner:
    """A learner of ``config.ranks`` ranks; several need a Ray that has been started.

    Args:
        model: settings; ``path`` is a folder or Hub id.
        config: settings.
        longest: most tokens of a reply, the divisor of a loss that is normalised by a constant.
    """
    if config.ranks == 1:
        return LocalLearner(model, config, longest)
    from .ranks import RankedLearner

    return RankedLearner(model, config, longest)
