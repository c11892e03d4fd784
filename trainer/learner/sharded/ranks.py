"""A learner on several Ray actors, each of them a rank of ``torch.distributed``."""

import os
import socket
from collections.abc import Callable, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

import ray
import torch
import torch.distributed as dist
from ray.exceptions import RayActorError, RayTaskError

from ....rollout.config import ModelConfig
from ....rollout.engines.own_code import OwnCode
from ....rollout.engines.weight_transport.transport import Shipment, WeightSender
from ....verifiers.errors import InfrastructureError, LachesisError
from ...config import TrainerConfig
from ...losses.config import PreferenceConfig
from ...losses.objective import Objective
from ..learner import Computed, Metrics, StepResult
from ..local import LocalLearner
from ..pair import Pair
from ..sample import Sample
from ..throughput import Scale

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Rank:
    """The Ray actor that holds one rank's learner."""

    def __init__(self, rank: int, size: int) -> None:
        self._rank, self._size = rank, size

    def address(self) -> str:
        """Return this host and a free port, at which all ranks connect."""
        host: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        with socket.socket() as free:
            free.bind((host, 0))
            return f"{host}:{free.getsockname()[1]}"

    def join(self, address: str, model: ModelConfig, config: TrainerConfig, longest: int) -> tuple[int, Scale]:
        """Connect to the other ranks and load the model; return its vocabulary and scale."""
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, init_method=f"tcp://{address}", rank=self._rank, world_size=self._size)
        self._learner = LocalLearner(model, config, longest)
        return self._learner.vocabulary, self._learner.scale

    def call(self, method: str, *arguments: Any, **named: Any) -> Any:
        """Call a method of the learner. Ranks other than the first return the result only if it is a bool."""
        found = getattr(self._learner, method)(*arguments, **named)
        return found if self._rank == 0 or isinstance(found, bool) else None


def on_all_ranks(
    method: Callable[Concatenate[LocalLearner, Arguments], Result],
) -> Callable[Concatenate["RankedLearner", Arguments], Result]:
    """Make a method of ``RankedLearner`` that calls ``method`` on every rank and returns the first rank's result."""

    def call(learner: "RankedLearner", /, *arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        answers: list[Result] = learner.call(method.__name__, *arguments, **named)
        return answers[0]

    call.__doc__ = method.__doc__
    return call


class RankedLearner:
    """A ``Learner`` on ``config.ranks`` Ray actors; Ray must have been started.

    Raises:
        InfrastructureError: A rank died. The others would wait for it forever, so all are ended; resume the run from
            its last checkpoint.
    """

    def __init__(self, model: ModelConfig, config: TrainerConfig, longest: int = 0) -> None:
        self.objective = Objective(config.loss)
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        actor: Any = ray.remote(Rank)
        options = {"num_cpus": 0, "num_gpus": config.gpus_per_rank}
        self._ranks = [actor.options(**options).remote(rank, config.ranks) for rank in range(config.ranks)]
        address = self._get([self._ranks[0].address.remote()])[0]
        joined = self._get([rank.join.remote(address, model, config, longest) for rank in self._ranks])
        self.vocabulary: int
        self.scale: Scale
        self.vocabulary, self.scale = joined[0]

    keep_reference = on_all_ranks(LocalLearner.keep_reference)
    reset_optimizer = on_all_ranks(LocalLearner.reset_optimizer)
    compute_logprobs = on_all_ranks(LocalLearner.compute_logprobs)
    save = on_all_ranks(LocalLearner.save)
    load = on_all_ranks(LocalLearner.load)
    memory = on_all_ranks(LocalLearner.memory)

    def policy_step(self, samples: Sequence[Sample], lr: float) -> StepResult:
        """As in ``Learner``; the samples are put into the object store once, for all ranks."""
        result: StepResult = self.call("policy_step", ray.put(samples), lr)[0]
        return result

    def supervised_step(self, samples: Sequence[Sample], lr: float) -> Metrics:
        """As in ``Learner``; the samples are put into the object store once, for all ranks."""
        metrics: Metrics = self.call("supervised_step", ray.put(samples), lr)[0]
        return metrics

    def preference_step(self, pairs: Sequence[Pair], config: PreferenceConfig, lr: float) -> Metrics:
        """As in ``Learner``; the pairs are put into the object store once, for all ranks."""
        metrics: Metrics = self.call("preference_step", ray.put(pairs), config, lr)[0]
        return metrics

    def compute_each(self, samples: Sequence[Sample]) -> list[Computed]:
        """As in ``Learner``; the samples are put into the object store once, for all ranks."""
        found: list[Computed] = self.call("compute_each", ray.put(samples))[0]
        return found

    def send(self, sender: WeightSender, version: int, adapters: bool = False) -> Shipment:
        """As in ``Learner``."""
        with OwnCode("rollout.weight_transport: pickling its sender"):
            stored = ray.put(sender)
        shipment: Shipment = self.call("send", stored, version, adapters)[0]
        return shipment

    def saved(self) -> bool:
        """As in ``Learner``, for every rank's part."""
        return all(self.call("saved"))

    def close(self) -> None:
        """Kill all ranks."""
        for rank in self._ranks:
            ray.kill(rank)

    def call(self, method: str, *arguments: Any, **named: Any) -> list[Any]:
        """Call ``method`` of every rank's learner; return the results by rank."""
        return self._get([rank.call.remote(method, *arguments, **named) for rank in self._ranks])

    def _get(self, references: list[Any]) -> list[Any]:
        """Return all results; raise the first failure at once, because the other ranks wait for the failed one."""
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
            raise InfrastructureError(f"a rank of the trainer was lost: {reason}; continue with --resume") from None
