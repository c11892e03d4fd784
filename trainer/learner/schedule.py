"""How the learning rate goes over a run."""

from ..config import TrainerConfig


def learning_rate(config: TrainerConfig, step: int) -> float:
    """The learning rate of the step after ``step`` steps."""
    rise = min(1.0, (step + 1) / config.warmup) if config.warmup else 1.0
    fall = 1 - step / config.steps if config.schedule == "linear" else 1.0
    return config.lr * rise * fall
