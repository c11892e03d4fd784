"""The model that learns: its optimizer, and one step of either kind."""

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..rollout.config import ModelConfig
from ..rollout.model import check_context, load_model
from ..rollout.weights import Weights
from ..verifiers.errors import ConfigError, InfrastructureError
from .batch import MicroBatch, Sample, micro_batches
from .config import TrainerConfig
from .losses.normalization import weights
from .losses.objective import Objective
from .losses.terms import Tokens
from .tally import Tally

log = logging.getLogger("lachesis")

Metrics = dict[str, float]


class Learner:
    """A model and its AdamW.

    Args:
        model: settings; ``path`` is a folder or Hub id.
        config: settings.
        longest: most tokens of a reply, which a loss that is normalised by a constant is divided by.

    Attributes:
        logprobs: of the last policy step, by place in its samples: the trainer's logprob of each trained token before
            the step; None where a sample was left out because nothing was to be learned of it.
        skipped: how many steps in a row were skipped, because their gradient was not finite.
        reference: the frozen policy that the objective measures the divergence from, where it does.
    """

    def __init__(self, model: ModelConfig, config: TrainerConfig, longest: int = 0) -> None:
        self.objective = Objective(config.loss)
        self.longest = longest
        self.skipped = 0
        self.logprobs: list[npt.NDArray[np.float32] | None] = []
        self.reference: PreTrainedModel | None = None
        if config.threads:
            torch.set_num_threads(config.threads)
        name = config.device if config.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(name)
        self.config = config
        self.model: PreTrainedModel = load_model(model.path, dtype=getattr(torch, model.dtype), device=self.device)
        check_context(self.model, model.context)  # packed rows bring a mask of their own
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=config.lr, betas=config.betas, weight_decay=config.weight_decay
        )
        for parameter in self.model.parameters():  # None, AdamW would pass it by: a resumed run would differ
            parameter.grad = torch.zeros_like(parameter)

    def policy_step(self, samples: Sequence[Sample], lr: float) -> Metrics:
        """One optimizer step on the configured objective.

        Every token's loss is weighed by numbers of the whole batch. A sample whose advantages are all 0 adds nothing
        but counts in those numbers, so it is left out of the forward pass: the same gradient for less work. Without any
        samples the weights stay as they are.

        Raises:
            InfrastructureError: the gradient is not finite, once too often; the weights stay as they were.
        """
        if not samples:
            self.logprobs = []
            return {**Tally().metrics(), "grad_norm": 0.0, "skipped": 0.0, "tokens/trained": 0.0, "tokens/forward": 0.0}
        lengths = [int(sample.mask.sum()) for sample in samples]
        scales = weights(lengths, self.config.loss.normalize, self.longest)
        weighed = [replace(sample, weight=float(scale)) for sample, scale in zip(samples, scales, strict=True)]
        live = [one for one in weighed if self.objective.needs_all or one.advantages[one.mask].any()]
        tally = Tally()
        found: dict[int, npt.NDArray[np.float32]] = {}
        self.optimizer.zero_grad(set_to_none=False)
        for micro in micro_batches(live, self.config.micro_tokens, self.device):
            logprobs_N, entropy_N = self._logprobs(micro, self.model, self.objective.needs_entropy)
            own_N = micro.logprobs_N.isnan()  # nobody sampled them: as if this policy had
            micro = replace(micro, logprobs_N=torch.where(own_N, logprobs_N.detach(), micro.logprobs_N))
            tokens = Tokens(logprobs_N, micro.logprobs_N, micro.advantages_N, micro.sequences_N)
            terms = self.objective(tokens, entropy_N, self._reference_logprobs(micro))
            torch.autograd.backward((terms.loss * micro.weights_N).sum())
            tally.add(micro, logprobs_N.detach(), entropy_N.detach(), terms)
            found |= _by_sample(micro, logprobs_N.detach())
        self.logprobs = [found.get(id(one)) for one in weighed]
        return {
            **tally.metrics(),
            "grad_norm": self._apply(lr),
            "skipped": float(self.skipped > 0),
            "tokens/trained": float(sum(lengths)),
            "tokens/forward": float(sum(sample.tokens.size for sample in live)),
        }

    def supervised_step(self, samples: Sequence[Sample], lr: float) -> Metrics:
        """One step of cross-entropy on the masked tokens, averaged over all of them.

        Raises:
            InfrastructureError: the gradient is not finite, once too often; the weights stay as they were.
        """
        total = sum(int(sample.mask.sum()) for sample in samples)
        self.optimizer.zero_grad(set_to_none=False)
        loss = 0.0
        for micro in micro_batches(samples, self.config.micro_tokens, self.device):
            logprobs_N, _ = self._logprobs(micro, self.model)
            torch.autograd.backward(-logprobs_N.sum() / total)
            loss -= float(logprobs_N.detach().sum())
        return {"loss": loss / total, "grad_norm": self._apply(lr)}

    def keep_reference(self, folder: Path) -> None:
        """Measure the divergence from the policy in ``folder``; where there is none yet, from this one, saved there."""
        if not folder.exists():
            draft = folder.with_name(folder.name + ".draft")
            self.model.save_pretrained(draft)
            draft.rename(folder)  # a crash leaves no half of it
        reference = load_model(str(folder), dtype=self.model.dtype, device=self.device)
        self.reference = reference.requires_grad_(False)

    def reset_optimizer(self) -> None:
        """Forget moments: reinforcement does not inherit those of the warm start."""
        self.optimizer.state.clear()

    @torch.no_grad()
    def score(self, tokens: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """Logprob of each token given those before it, the first NaN: what engines are held against."""
        ids_1T = torch.from_numpy(tokens.astype(np.int64)).to(self.device)[None]
        logits_TV = self.model(input_ids=ids_1T).logits[0, :-1].float()
        logprobs_T = logits_TV.log_softmax(-1).gather(-1, ids_1T[0, 1:, None])[:, 0]
        scored_T: npt.NDArray[np.float32] = np.full(tokens.size, np.nan, np.float32)
        scored_T[1:] = logprobs_T.cpu().numpy()
        return scored_T

    def weights(self, version: int) -> Weights:
        """A copy of the weights for the engines."""
        return Weights.pack(self.model.state_dict(), version)

    def save(self, folder: Path) -> None:
        """Write the model as a plain Hugging Face folder, and the optimizer beside it."""
        self.model.save_pretrained(folder)
        torch.save(self.optimizer.state_dict(), folder / "optimizer.pt")

    def load_optimizer(self, folder: Path) -> None:
        """Take the moments that ``save`` wrote; rates are those of this learner's own settings.

        Raises:
            ConfigError: they are of another model.
        """
        saved: Any = torch.load(folder / "optimizer.pt", map_location=self.device, weights_only=True)
        shapes = [tuple(parameter.shape) for parameter in self.model.parameters()]
        found = {number: tuple(state["exp_avg"].shape) for number, state in saved["state"].items()}
        if any(number >= len(shapes) or shapes[number] != shape for number, shape in found.items()):
            raise ConfigError(
                f"{folder / 'optimizer.pt'} is of another model; resume with the model that it was saved of"
            )
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": saved["state"]})

    @torch.no_grad()
    def _reference_logprobs(self, micro: MicroBatch) -> Tensor | None:
        if not self.objective.needs_reference:
            return None
        if self.reference is None:
            raise ConfigError("trainer.loss.reference needs a reference policy: keep_reference() first")
        return self._logprobs(micro, self.reference)[0]

    def _logprobs(
        self, micro: MicroBatch, model: PreTrainedModel, differentiate: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Logprobs of the trained tokens, with gradient, and the entropies of what they were drawn from.

        Entropies have a gradient where ``differentiate``.
        """
        logits_RTV = model(
            input_ids=micro.tokens_RT,
            position_ids=micro.positions_RT,
            attention_mask=self._additive(micro.mask_RTT),
            use_cache=False,
        ).logits
        logits_NV = logits_RTV[micro.rows_N, micro.sources_N].float() / micro.temperatures_N[:, None]
        all_NV = logits_NV.log_softmax(-1)
        with torch.set_grad_enabled(differentiate and torch.is_grad_enabled()):
            entropy_N = -(all_NV.exp() * all_NV).sum(-1)
        return all_NV.gather(-1, micro.targets_N[:, None])[:, 0], entropy_N

    def _additive(self, mask: Tensor) -> Tensor:
        """0 where a token is attended to, the lowest number elsewhere."""
        zeros = torch.zeros(mask.shape, dtype=self.model.dtype, device=mask.device)
        return zeros.masked_fill_(~mask, torch.finfo(self.model.dtype).min)

    def _apply(self, lr: float) -> float:
        """Clip, step, and return the norm before clipping; a gradient that is not finite must not reach the weights.

        Raises:
            InfrastructureError: that happened once more than ``trainer.skip`` allows in a row.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.max_grad_norm))
        if math.isfinite(norm):
            self.optimizer.step()
            self.skipped = 0
            return norm
        self.skipped += 1
        if self.skipped > self.config.skip:
            raise InfrastructureError(
                f"training diverged: the gradient's norm is {norm} ({self.skipped} steps in a row, trainer.skip = "
                f"{self.config.skip}); lower the learning rate and go on from the last checkpoint with --resume"
            )
        log.warning("a step was skipped: the gradient's norm is %s", norm)
        return norm


def _by_sample(micro: MicroBatch, logprobs_N: Tensor) -> dict[int, npt.NDArray[np.float32]]:
    """Identity of each sample → the logprobs of its trained tokens."""
    ends = np.cumsum([int(sample.mask.sum()) for sample in micro.samples])
    parts = np.split(logprobs_N.float().cpu().numpy(), ends[:-1])
    return {id(sample): part for sample, part in zip(micro.samples, parts, strict=True)}
