"""Writes checkpoints while training goes on, one at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from ....rollout.chats.renderer import Renderer
from ....verifiers.errors import InfrastructureError
from ...learner.async_learner import AsyncLearner
from . import checkpoint
from .run_state import RunState


class Saver:
    """Begins checkpoints, and seals them when everything is written.

    Args:
        run: the run's folder, for messages.
        folder: the folder of the checkpoints.
        learner: writes the model and the state for resuming.
        renderer: writes the tokenizer.
        keep: how many of the newest checkpoints are kept.
        on_sealed: called with the state of each checkpoint once that is complete.
    """

    def __init__(
        self,
        run: Path,
        folder: Path,
        learner: AsyncLearner,
        renderer: Renderer,
        keep: int,
        on_sealed: Callable[[RunState], Awaitable[None]],
    ) -> None:
        self._run, self._folder, self._keep, self._on_sealed = run, folder, keep, on_sealed
        self._learner, self._renderer = learner, renderer
        self._writing: asyncio.Task[None] | None = None

    async def begin(self, state: RunState) -> None:
        """Begin the checkpoint of ``state``, after the one before is sealed.

        Raises:
            InfrastructureError: The disk refuses. Earlier checkpoints stay.
        """
        await self.wait()
        with self._refused(state.step):
            path = checkpoint.begin(self._folder, state)
            await self._learner.save(path)
            self._renderer.save(path)
        self._writing = asyncio.create_task(self._seal(path, state), name="checkpoint")

    async def wait(self) -> None:
        """Wait until the last checkpoint is sealed.

        Raises:
            InfrastructureError: The disk refused it.
        """
        if self._writing:
            await self._writing

    async def check(self) -> None:
        """Raise the error of the last checkpoint, if it failed; do not wait for it."""
        if self._writing and self._writing.done():
            await self._writing

    def cancel(self) -> None:
        """Leave the checkpoint that is being written unsealed."""
        if self._writing:
            self._writing.cancel()

    async def _seal(self, path: Path, state: RunState) -> None:
        with self._refused(state.step):
            while not await self._learner.saved():  # noqa: ASYNC110 - threads write it, some in other processes
                await asyncio.sleep(0.01)
            await asyncio.to_thread(checkpoint.complete, path, self._keep)
        await self._on_sealed(state)

    @contextmanager
    def _refused(self, step: int) -> Iterator[None]:
        """Turn the different errors of a disk that refuses into one ``InfrastructureError`` with the cure."""
        try:
            yield
        except (OSError, RuntimeError, SafetensorError) as error:
            raise InfrastructureError(
                f"cannot write the checkpoint of step {step}: {error}; free the disk and continue with "
                f"--resume {self._run}"
            ) from error
