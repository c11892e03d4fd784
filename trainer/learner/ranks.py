"""One learner spread over several Ray actors, each a rank of ``torch.distributed``."""

import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import ray
import torch
import torch.distributed as dist
from ray.exceptions import RayActorError, RayTaskError

from ...rollout.config import ModelConfig
from ...rollout.engines.transport.transport import Shipment, WeightSender
from ...verifiers.errors import InfrastructureError, LachesisError
from ..config import TrainerConfig
from ..losses.objective import Objective
from .learner import Learner, Metrics
from .packing import Sample
from .throughput import Scale


class Rank:
    """Hosts one rank's learner; an actor."""

    def __init__(self, rank: int, size: int) -> None:
        self._rank, self._size = rank, size

    def address(self) -> str:
        """Host and a free port, for all ranks to meet at."""
        host: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        with socket.socket() as free:
            free.bind((host, 0))
            return f"{host}:{free.getsockname()[1]}"

    def join(self, address: str, model: ModelConfig, config: TrainerConfig, longest: int) -> tuple[int, Scale]:
        """Meet the others and load the model; its vocabulary and scale."""
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, init_method=f"tcp://{address}", rank=self._rank, world_size=self._size)
        self._learner = Learner(model, config, longest)
        return self._learner.vocabulary, self._learner.scale

    def call(self, method: str, *arguments: Any) -> Any:
        """What the learner's method returns; of other ranks than the first only whether it is done."""
        found = getattr(self._learner, method)(*arguments)
        return found if self._rank == 0 or isinstance(found, bool) else None

    def policy_step(self, samples: Sequence[Sample], lr: float) -> Any:
        """As in ``Learner``, with the logprobs."""
        metrics = self._learner.policy_step(samples, lr)
        return (metrics, self._learner.logprobs) if self._rank == 0 else None


class RankedLearner:
    """What ``Learner`` is, on ``config.ranks`` actors of a Ray that has been started.

    Raises:
        InfrastructureError: a rank died. The others wait for it, so all are ended: go on from the last checkpoint.
    """

    def __init__(self, model: ModelConfig, config: TrainerConfig, longest: int = 0) -> None:
        self.objective = Objective(config.loss)
        self.logprobs: list[npt.NDArray[np.float32] | None] = []
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        actor: Any = ray.remote(Rank)
        options = {"num_cpus": 0, "num_gpus": config.gpus_per_rank}
        self._ranks = [actor.options(**options).remote(rank, config.ranks) for rank in range(config.ranks)]
        address = self._get([self._ranks[0].address.remote()])[0]
        joined = self._get([rank.join.remote(address, model, config, longest) for rank in self._ranks])
        self.vocabulary: int
        self.scale: Scale
        self.vocabulary, self.scale = joined[0]

    def policy_step(self, samples: Sequence[Sample], lr: float) -> Metrics:
        """As in ``Learner``."""
        shared = ray.put(samples)
        metrics: Metrics
        metrics, self.logprobs = self._get([rank.policy_step.remote(shared, lr) for rank in self._ranks])[0]
        return metrics

    def supervised_step(self, samples: Sequence[Sample], lr: float) -> Metrics:
        """As in ``Learner``."""
        metrics: Metrics = self._call("supervised_step", ray.put(samples), lr)[0]
        return metrics

    def keep_reference(self, folder: Path) -> None:
        """As in ``Learner``."""
        self._call("keep_reference", folder)

    def reset_optimizer(self) -> None:
        """As in ``Learner``."""
        self._call("reset_optimizer")

    def compute_logprobs(self, tokens: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """As in ``Learner``."""
        scored: npt.NDArray[np.float32] = self._call("compute_logprobs", tokens)[0]
        return scored

    def send(self, sender: WeightSender, version: int) -> Shipment:
        """As in ``Learner``."""
        found: Shipment = self._call("send", sender, version)[0]
        return found

    def save(self, folder: Path) -> None:
        """As in ``Learner``."""
        self._call("save", folder)

    def saved(self) -> bool:
        """As in ``Learner``."""
        return all(self._call("saved"))

    def load(self, folder: Path) -> None:
        """As in ``Learner``."""
        self._call("load", folder)

    def memory(self) -> float:
        """As in ``Learner``."""
        return float(self._call("memory")[0])

    def close(self) -> None:
        """End all ranks."""
        for rank in self._ranks:
            ray.kill(rank)

    def _call(self, method: str, *arguments: Any) -> list[Any]:
        return self._get([rank.call.remote(method, *arguments) for rank in self._ranks])

    def _get(self, references: list[Any]) -> list[Any]:
        """What every rank returns; the first failure of any, since the others then wait for it in vain."""
        waiting = list(references)
        try:
            while waiting:
                done, waiting = ray.wait(waiting)
                ray.get(done)
            found: list[Any] = ray.get(references)
            return found
        except RayTaskError as error:
            self.close()
            raise error.cause if isinstance(error.cause, LachesisError) else error from None
        except RayActorError as error:
            self.close()
            reason = str(error).strip().splitlines()[0]
            raise InfrastructureError(f"a rank of the trainer was lost: {reason}; go on with --resume") from None
