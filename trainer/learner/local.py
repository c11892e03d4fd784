"""The learner in this process: the model, its optimizer, and policy and supervised steps."""

import logging
import math
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException

from ...rollout.config import ModelConfig
from ...rollout.engines.weight_transport.adapters import Adapters
from ...rollout.engines.weight_transport.object_store import ObjectStoreSender
from ...rollout.engines.weight_transport.transport import Shipment, WeightSender, ship, ship_each
from ...rollout.models.loading import check_context, leave_cudnn_attention, load_empty_model
from ...verifiers.errors import ConfigError, InfrastructureError
from ...verifiers.files import new_folder
from ..config import TrainerConfig
from ..losses.config import NORMALIZATIONS, PreferenceConfig
from ..losses.normalization import Weights
from ..losses.objective import Objective
from ..losses.preference import Preference
from ..losses.terms import Tokens
from .device import check_compiler, check_memory, choose_device, memory_told
from .learner import Computed, Metrics, StepResult
from .lora import adapt, base_digest, merged_state
from .loss_metrics import LossMetrics
from .offload import Offload
from .optimizer_state import StateFile
from .outgoing_weights import adapters_alone, whole_weights
from .packing.attention import choose_attention
from .packing.logprobs import LogprobModel
from .packing.micro_batch import MicroBatch, micro_batches
from .pair import Pair, pair_terms, samples_of_pairs, summed_logprobs
from .sample import Sample
from .sharded.shard_loading import load_shards, open_model
from .sharded.sharding import Ranks, full_tensor
from .step_sums import StepSums, by_sample
from .throughput import Scale, peak_memory

log = logging.getLogger("lachesis")

NO_STEP = {"grad_norm": 0.0, "skipped": 0.0, "tokens/trained": 0.0, "tokens/forward": 0.0}
"""Metrics of a policy step without samples."""


class LocalLearner:
    """A ``Learner`` that keeps trained weights and AdamW's moments in float32 and computes in ``model.dtype``.

    If ``torch.distributed`` was set up, it is one of several ranks. Each rank calls the same methods with the same
    arguments, computes its part of the samples, and gets the same metrics.

    Args:
        model: settings of the model; ``path`` is a folder or Hub id.
        config: settings of the trainer.
        longest: the most tokens of a reply, for ``trainer.loss.normalize = "constant"``.

    Attributes:
        vocabulary: number of rows of the input embeddings.
        scale: model size and hardware, from which throughput metrics are computed.
        skipped: how many steps in a row were skipped because their gradient was not finite.
        reference: the frozen policy of the KL penalty; None without one.
    """

    def __init__(self, model: ModelConfig, config: TrainerConfig, longest: int = 0) -> None:
        self.objective = Objective(config.loss)
        self._normalize = NORMALIZATIONS.load(config.loss.normalize)
        self.longest = longest
        self.skipped = 0
        self._sums: StepSums | None = None
        self.reference: LogprobModel | None = None
        if config.threads:
            torch.set_num_threads(config.threads)
        self.config = config
        self.dtype: torch.dtype = getattr(torch, model.dtype)
        self.device = choose_device(config, self.dtype)
        leave_cudnn_attention()
        self._ranks = Ranks.current()
        self._first = self._ranks.rank == 0
        if self.device.type == "cuda":
            count = load_empty_model(model.path, self.dtype).num_parameters()
            free, _ = torch.cuda.mem_get_info(self.device)
            check_memory(count, self.dtype, config, self.objective.needs_reference, free)
        dtype = self.dtype if config.lora.rank else torch.float32
        self.model = open_model(model.path, dtype, self.device, self._ranks.size)
        check_context(self.model, model.context)
        embeddings: Any = self.model.get_input_embeddings()
        self.vocabulary = int(embeddings.num_embeddings)
        self.scale = Scale.of(self.model.num_parameters(), self.device, self._ranks.size)
        if config.lora.rank:
            adapt(self.model, config.lora)
        self._attention = choose_attention(config.attention, self.model, self.dtype, self.device)
        if config.compile or self._attention.flat:
            setting = "trainer.compile" if config.compile else f'trainer.attention = "{config.attention}"'
            check_compiler(self.device, setting)
        recompute = config.gradient_checkpointing
        self._policy = LogprobModel(self.model, self.dtype, recompute, self._attention, compiled=config.compile)
        self._shard(self._policy, model.path)
        self._trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self._trained,
            lr=config.lr,
            betas=config.betas,
            weight_decay=config.weight_decay,
            fused=self.device.type == "cuda" or None,
        )
        self._offload = Offload(self.optimizer)
        self._state = StateFile(self.model, self.optimizer)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: list[Future[Any]] = []

    @memory_told
    def add_gradient(self, samples: Sequence[Sample]) -> None:
        """As in ``Learner``. A sample whose advantages are all 0 skips the forward pass."""
        if not samples:
            return
        sums, self._sums = self._sums, None  # if this fails, the step is forgotten
        if sums is None:
            self._begin_step()
            sums = StepSums()
        weights = Weights.of(self._normalize, [int(sample.mask.sum()) for sample in samples], self.longest)
        for micro in self._micro_batches(sums.begin_part(samples, weights, needs_all=self.objective.needs_all)):
            logprobs_N, entropy_N, _ = self._policy(micro, self.objective.needs_entropy)
            own_N = micro.logprobs_N.isnan()  # no policy sampled these tokens: treat them as sampled by this one
            micro = replace(micro, logprobs_N=torch.where(own_N, logprobs_N.detach(), micro.logprobs_N))
            tokens = Tokens(logprobs_N, micro.logprobs_N, micro.advantages_N, micro.sequences_N, micro.extra_N)
            terms = self.objective(tokens, entropy_N, self._reference_logprobs(micro))
            torch.autograd.backward((terms.loss * micro.weights_N).sum())
            sums.add(micro, logprobs_N.detach(), entropy_N.detach(), terms)
        self._sums = sums

    @memory_told
    def policy_step(self, samples: Sequence[Sample], lr: float) -> StepResult:
        """As in ``Learner``. Without any samples the weights stay as they are."""
        self.add_gradient(samples)
        sums, self._sums = self._sums, None
        if sums is None:
            return StepResult({**LossMetrics().metrics(), **NO_STEP}, [], [])
        for parameter in self._trained:
            if parameter.grad is not None:
                parameter.grad.div_(sums.divisor)
        return sums.result(self._ranks, self._optimizer_step(lr), skipped=self.skipped > 0)

    @memory_told
    def supervised_step(self, samples: Sequence[Sample], lr: float) -> Metrics:
        """As in ``Learner``."""
        total = sum(int(sample.mask.sum()) for sample in samples)
        self._begin_step()
        loss, right = 0.0, 0.0
        for micro in self._micro_batches(samples):
            logprobs_N, _, first_N = self._policy(micro)
            torch.autograd.backward(-logprobs_N.sum() / total)
            loss -= float(logprobs_N.detach().sum())
            right += float(first_N.sum())
        summed = self._ranks.sum({"loss": loss, "token_accuracy": right})
        metrics = {name: value / total for name, value in summed.items()}
        return {**metrics, "grad_norm": self._optimizer_step(lr), "skipped": float(self.skipped > 0)}

    @memory_told
    def preference_step(self, pairs: Sequence[Pair], config: PreferenceConfig, lr: float) -> Metrics:
        """As in ``Learner``.

        A first pass gives the logprobs, and the loss its derivative by the sum over each reply. The second pass weighs
        the reply's tokens by that. So both replies of a pair need not be in the same micro-batch or on the same rank,
        which costs one forward pass more.
        """
        logprobs = [found.logprobs for found in self.compute_each(samples_of_pairs(pairs))]
        preference = Preference.of(pair_terms(pairs, summed_logprobs(pairs, logprobs)), config)
        slopes = zip(pairs, preference.chosen_P.tolist(), preference.rejected_P.tolist(), strict=True)
        weighed = [
            replace(sample, weight=slope)
            for pair, chosen, rejected in slopes
            for side, slope in ((pair.chosen, chosen), (pair.rejected, rejected))
            for sample in side
        ]
        self._begin_step()
        for micro in self._micro_batches(weighed):
            torch.autograd.backward((self._policy(micro)[0] * micro.weights_N).sum())
        return {**preference.metrics, "grad_norm": self._optimizer_step(lr), "skipped": float(self.skipped > 0)}

    @memory_told
    @torch.no_grad()
    def compute_each(self, samples: Sequence[Sample]) -> list[Computed]:
        """As in ``Learner``."""
        apart = [replace(sample) for sample in samples]  # the same sample may be given twice
        places = {id(sample): place for place, sample in enumerate(apart)}
        mine: dict[int, Computed] = {}
        for micro in self._micro_batches(apart):
            logprobs_N, _, first_N = self._policy(micro)
            computed_2N = torch.stack([logprobs_N.float(), first_N.float()])
            for number, (logprobs, first) in by_sample(micro, computed_2N).items():
                mine[places[number]] = Computed(logprobs, first > 0)
        self._ranks.reshard(self._policy)
        found = {place: one for part in self._ranks.gather(mine) for place, one in part.items()}
        return [found[place] for place in range(len(apart))]

    def keep_reference(self, folder: Path) -> None:
        """As in ``Learner``."""
        if not folder.exists():
            state = merged_state(self.model, torch.float32, self._first)
            if self._first:
                with new_folder(folder) as draft:
                    self.model.save_pretrained(draft, state_dict=state)
            self._ranks.wait()
        reference = open_model(str(folder), torch.float32, self.device, self._ranks.size).requires_grad_(False)
        self.reference = LogprobModel(reference, self.dtype, attention=self._attention)
        self._shard(self.reference, str(folder))

    def reset_optimizer(self) -> None:
        """As in ``Learner``."""
        self.optimizer.state.clear()

    @memory_told
    @torch.no_grad()
    def compute_logprobs(self, tokens: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """As in ``Learner``."""
        mask = np.arange(tokens.size) > 0
        sample = Sample(tokens, mask, None, np.zeros(tokens.size, np.float32))
        kind = self._attention
        [micro] = micro_batches([sample], self.config.micro_tokens, self.device, flat=kind.flat, apart=kind.apart)
        logprobs_T: npt.NDArray[np.float32] = np.full(tokens.size, np.nan, np.float32)
        logprobs_T[1:] = self._policy(micro)[0].cpu().numpy()
        self._ranks.reshard(self._policy)
        return logprobs_T

    def send(self, sender: WeightSender, version: int, adapters: bool = False) -> Shipment:
        """As in ``Learner``; ranks other than the first take part in the gathering and return an empty shipment."""
        alone = adapters and self.config.lora.rank > 0
        layout, tensors = adapters_alone(self.model) if alone else whole_weights(self.model, self.dtype)
        said = Adapters(self._base_digest, self.config.lora.alpha / self.config.lora.rank) if alone else None
        if self._first:
            return replace(ship_each(sender, version, layout, tensors), adapters=said)
        for _ in tensors:
            pass
        return ship(ObjectStoreSender(), version, {})

    @cached_property
    def _base_digest(self) -> str:
        return base_digest(self.model, self.dtype)

    def save(self, folder: Path) -> None:
        """As in ``Learner``."""
        state = merged_state(self.model, self.dtype, self._first, copy=True)
        self._writing = [self._state.save(folder)]
        if self._first:
            self._writing.append(self._writer.submit(self.model.save_pretrained, folder, state_dict=state))

    def saved(self) -> bool:
        """As in ``Learner``."""
        if not all(writing.done() for writing in self._writing):
            return False
        for writing in self._writing:
            try:
                writing.result()
            except CheckpointException as several:  # a BaseException whose text holds the tracebacks of all ranks
                raise RuntimeError(next(str(cause) for cause, _ in several.failures.values())) from None
        return True

    def load(self, folder: Path) -> None:
        """As in ``Learner``."""
        self._state.load(folder)

    def close(self) -> None:
        """As in ``Learner``."""
        self._writer.shutdown()

    def memory(self) -> float:
        """As in ``Learner``."""
        return self._ranks.max({"memory": peak_memory(self.device)})["memory"]

    def _shard(self, policy: LogprobModel, path: str) -> None:
        """Keep this rank's shards of the parameters, and read those that were not loaded yet."""
        self._ranks.shard(policy, self.device)
        if load_shards(policy.model, path, self._ranks.rank, self.device):
            self._ranks.check(policy)

    def _micro_batches(self, samples: Sequence[Sample]) -> Iterable[MicroBatch]:
        ranks, kind = self._ranks, self._attention
        size = self.config.micro_tokens
        return micro_batches(samples, size, self.device, ranks.rank, ranks.size, flat=kind.flat, apart=kind.apart)

    @torch.no_grad()
    def _reference_logprobs(self, micro: MicroBatch) -> Tensor | None:
        if not self.objective.needs_reference:
            return None
        if self.reference is None:
            raise ConfigError("trainer.loss.kl needs a reference policy: call keep_reference() before the first step")
        logprobs_N: Tensor = self.reference(micro)[0]
        return logprobs_N

    def _begin_step(self) -> None:
        self._sums = None
        self._offload.restore()
        self.optimizer.zero_grad(set_to_none=False)

    def _optimizer_step(self, lr: float) -> float:
        """Clip the gradient, step, and return the norm before clipping. A non-finite gradient skips the step.

        Raises:
            InfrastructureError: More than ``trainer.max_nonfinite_steps`` steps in a row were skipped.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        norm = float(full_tensor(torch.nn.utils.clip_grad_norm_(self._trained, self.config.max_grad_norm)))
        if math.isfinite(norm):
            self.optimizer.step()
        if self.config.offload:
            self._offload.put_away()
        self.skipped = 0 if math.isfinite(norm) else self.skipped + 1
        if not self.skipped:
            return norm
        if self.skipped > self.config.max_nonfinite_steps:
            raise InfrastructureError(
                f"training diverged: the gradient's norm is {norm} ({self.skipped} steps in a row, "
                f"trainer.max_nonfinite_steps = {self.config.max_nonfinite_steps}); lower the learning rate "
                "and continue from the last checkpoint with --resume"
            )
        log.warning("a step was skipped because the gradient's norm is %s", norm)
        return norm
