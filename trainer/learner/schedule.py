"""The schedule of the learning rate."""

from ..config import TrainerConfig


def learning_rate(config: TrainerConfig, step: int) -> float:
    """Return the learning rate of the next step, after ``step`` steps."""
    rise = min(1.0, (step + 1) / config.warmup) if config.warmup else 1.0
    fall = 1 - step / config.steps if config.schedule == "linear" else 1.0
    return config.lr * rise * fall
