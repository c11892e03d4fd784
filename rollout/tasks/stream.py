"""The endless, numbered tasks of one environment, so that a position in them is one number."""

from collections.abc import Collection, Iterator

from ...environments.environment import Environment, Split, endless
from ...verifiers.errors import ConfigError
from ...verifiers.task import Task


class TaskStream:
    """The tasks of ``split`` in the order of ``seed``; at their end they start again with the next seed.

    Attributes:
        position: the number of the next task.
    """

    def __init__(self, environment: Environment, split: Split, seed: int) -> None:
        self.label = environment.label
        self.position = 0
        self._tasks: Iterator[Task] = endless(environment, split, seed)

    def take(self) -> tuple[int, Task]:
        """The next task, and its number."""
        number, task = self.position, next(self._tasks)
        self.position += 1
        return number, task

    def forward(self, position: int, wanted: Collection[int]) -> dict[int, Task]:
        """Go to ``position`` by drawing all tasks before it; return the ``wanted`` ones among them.

        Raises:
            ConfigError: the stream is beyond that position.
        """
        if self.position > position:
            raise ConfigError(f"{self.label}: task {position} lies before task {self.position}; open the stream anew")
        found = {}
        while self.position < position:
            number, task = self.take()
            if number in wanted:
                found[number] = task
        return found
