"""TensorBoard's event files, in the folder ``tensorboard`` of the run."""

from collections.abc import Mapping, Sequence

from torch.utils.tensorboard import SummaryWriter

from .sink import RunFacts, SampleRow


class TensorBoard:
    """Writes event files that ``tensorboard --logdir runs`` shows.

    Args:
        facts: of the run.
    """

    def __init__(self, facts: RunFacts) -> None:
        self._folder = str(facts.path / "tensorboard")
        self._writer = SummaryWriter(self._folder)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write scalars."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def samples(self, rows: Sequence[SampleRow]) -> None:
        """Write the rollouts as text."""
        for place, row in enumerate(rows):
            quoted = row.reply.replace("```", "` ` `")
            text = (
                f"**{row.environment}**, reward {row.reward:.4g}, {row.stop}\n\n```\n{row.prompt}\n---\n{quoted}\n```"
            )
            self._writer.add_text(f"samples/{place}", text, row.step)

    def rewind(self, step: int) -> None:
        """Tell TensorBoard not to show what came after ``step``."""
        self._writer.close()
        self._writer = SummaryWriter(self._folder, purge_step=step + 1)

    def close(self) -> None:
        """Close the file."""
        self._writer.close()
