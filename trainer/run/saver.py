"""Checkpoints written beside the training, one at a time."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from ...rollout.chats.renderer import Renderer
from ...verifiers.errors import InfrastructureError
from ..learner.learner import Learner
from . import checkpoint
from .state import RunState


class Saver:
    """Begins checkpoints and seals them when they are written.

    Args:
        run: the run's folder, for messages.
        folder: where checkpoints go.
        learner: writes the model and what a resumed trainer needs.
        renderer: writes the tokenizer.
        keep: newest that stay.
    """

    def __init__(self, run: Path, folder: Path, learner: Learner, renderer: Renderer, keep: int) -> None:
        self._run, self._folder, self._keep = run, folder, keep
        self._learner, self._renderer = learner, renderer
        self._writing: asyncio.Task[None] | None = None

    async def begin(self, state: RunState) -> None:
        """Begin the checkpoint of ``state``; the one before is sealed first.

        Raises:
            InfrastructureError: the disk refuses; earlier checkpoints stay.
        """
        await self.sealed()
        with self._refused(state.step):
            path = checkpoint.begin(self._folder, state)
            self._learner.save(path)
            self._renderer.save(path)
        self._writing = asyncio.create_task(self._seal(path, state.step), name="checkpoint")

    async def sealed(self) -> None:
        """The last checkpoint that was begun is complete.

        Raises:
            InfrastructureError: the disk refused it.
        """
        if self._writing:
            await self._writing

    async def check(self) -> None:
        """Raise what went wrong with it meanwhile, and do not wait."""
        if self._writing and self._writing.done():
            await self._writing

    def cancel(self) -> None:
        """Do not seal what is being written."""
        if self._writing:
            self._writing.cancel()

    async def _seal(self, path: Path, step: int) -> None:
        with self._refused(step):
            while not self._learner.saved():  # noqa: ASYNC110 - it is written by threads, of other processes at that
                await asyncio.sleep(0.01)
            await asyncio.to_thread(checkpoint.complete, path, self._keep)

    @contextmanager
    def _refused(self, step: int) -> Iterator[None]:
        """Say what it means that a disk refuses; each library has an error of its own for that."""
        try:
            yield
        except (OSError, RuntimeError, SafetensorError) as error:
            raise InfrastructureError(
                f"cannot write the checkpoint of step {step}: {error}; free the disk and go on with "
                f"--resume {self._run}"
            ) from error
