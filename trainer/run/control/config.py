"""Which settings of a run can be changed while it trains, and within which bounds."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from ....verifiers.errors import nearest
from ....verifiers.settings import Settings

if TYPE_CHECKING:  # the config of a run contains that of its control
    from ...config import RunConfig


Bounds = tuple[float, float]
"""The least and the greatest value that a setting may be given."""

ALWAYS = ("trainer.lr", "trainer.checkpoint_every", "eval.every")
"""Settings that every run can change."""

STEERABLE: Mapping[str, Callable[["RunConfig"], Bounds]] = {
    "trainer.lr": lambda config: (config.trainer.lr / 100, config.trainer.lr * 10),
    "trainer.checkpoint_every": lambda config: (1, 1_000_000),
    "eval.every": lambda config: (0, 1_000_000),
    "trainer.steps": lambda config: (1, config.trainer.steps * 10),
    "rollout.staleness": lambda config: (0, 8),
    "rollout.sampling.max_tokens": lambda config: (1, config.model.context - 1),
}
"""Every setting that can be changed, with the bounds that it has if ``control.bounds`` gives none."""


def _checked(bounds: dict[str, Bounds]) -> dict[str, Bounds]:
    for key, (least, most) in bounds.items():
        if key not in STEERABLE:
            raise ValueError(f"{key!r} cannot be changed while a run trains; {nearest(key, STEERABLE)}")
        if least > most:
            raise ValueError(f"the bounds of {key} are the least and the greatest value, in this order")
    return bounds


class ControlConfig(Settings):
    """What ``lachesis control`` may change while the run trains."""

    bounds: Annotated[dict[str, Bounds], AfterValidator(_checked)] = Field(default_factory=dict)
    """Setting → its least and greatest value, such as ``"trainer.lr" = [1e-7, 1e-5]``. docs/control.md lists the
    settings, and the bounds that they have without an entry."""

    def of(self, key: str, config: "RunConfig") -> Bounds:
        """Return the bounds of a setting in a run that began with ``config``."""
        return self.bounds.get(key) or STEERABLE[key](config)
