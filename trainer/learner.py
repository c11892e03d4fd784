"""The model that learns: its optimizer, and one step of either kind."""

import math
from collections.abc import Sequence
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
from .losses import clipped_policy_loss, kl_estimate

Metrics = dict[str, float]


class Learner:
    """A model and its AdamW.

    Args:
        model: settings; ``path`` is a folder or Hub id.
        config: settings.
    """

    def __init__(self, model: ModelConfig, config: TrainerConfig) -> None:
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
        """One GRPO step.

        The loss is the sum over all trained tokens divided by their global number. A sample whose advantages are all 0
        adds nothing to the sum but counts in the number, so it is left out of the forward pass: the same gradient for
        less work.

        Raises:
            InfrastructureError: the gradient is not finite; the weights stay as they were.
        """
        total = sum(int(sample.mask.sum()) for sample in samples)
        live = [sample for sample in samples if sample.advantages[sample.mask].any()]
        sums: dict[str, float] = {"loss": 0.0, "kl": 0.0, "ratio": 0.0, "clipped": 0.0, "entropy": 0.0}
        trained, widest = 0, 0.0
        self.optimizer.zero_grad(set_to_none=False)
        for micro in micro_batches(live, self.config.micro_tokens, self.device):
            logprobs_N, entropy_N = self._logprobs(micro)
            terms = clipped_policy_loss(
                logprobs_N, micro.logprobs_N, micro.advantages_N, self.config.clip_low, self.config.clip_high
            )
            torch.autograd.backward(terms.loss.sum() / total)
            detached_N = logprobs_N.detach()
            sums["loss"] += float(terms.loss.detach().sum())
            sums["kl"] += float(kl_estimate(detached_N, micro.logprobs_N).sum())
            sums["ratio"] += float(terms.ratio.sum())
            sums["clipped"] += float(terms.clipped.sum())
            sums["entropy"] += float(entropy_N.sum())
            widest = max(widest, float((detached_N - micro.logprobs_N).abs().max()))
            trained += int(micro.rows_N.numel())
        norm = self._apply(lr)
        count = max(trained, 1)
        return {
            "loss": sums["loss"] / max(total, 1),
            "grad_norm": norm,
            "mismatch_kl": sums["kl"] / count,
            "mismatch_max": widest,
            "ratio": sums["ratio"] / count if trained else 1.0,
            "clip_fraction": sums["clipped"] / count,
            "entropy": sums["entropy"] / count,
            "tokens/trained": float(total),
            "tokens/forward": float(sum(sample.tokens.size for sample in live)),
        }

    def supervised_step(self, samples: Sequence[Sample], lr: float) -> Metrics:
        """One step of cross-entropy on the masked tokens, averaged over all of them.

        Raises:
            InfrastructureError: the gradient is not finite; the weights stay as they were.
        """
        total = sum(int(sample.mask.sum()) for sample in samples)
        self.optimizer.zero_grad(set_to_none=False)
        loss = 0.0
        for micro in micro_batches(samples, self.config.micro_tokens, self.device):
            logprobs_N, _ = self._logprobs(micro)
            torch.autograd.backward(-logprobs_N.sum() / total)
            loss -= float(logprobs_N.detach().sum())
        return {"loss": loss / total, "grad_norm": self._apply(lr)}

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

    def _logprobs(self, micro: MicroBatch) -> tuple[Tensor, Tensor]:
        """Logprobs (with gradient) of the trained tokens, and the entropies (without) of what they were drawn from."""
        logits_RTV = self.model(
            input_ids=micro.tokens_RT,
            position_ids=micro.positions_RT,
            attention_mask=self._additive(micro.mask_RTT),
            use_cache=False,
        ).logits
        logits_NV = logits_RTV[micro.rows_N, micro.sources_N].float() / micro.temperatures_N[:, None]
        all_NV = logits_NV.log_softmax(-1)
        with torch.no_grad():
            entropy_N = -(all_NV.exp() * all_NV).sum(-1)
        return all_NV.gather(-1, micro.targets_N[:, None])[:, 0], entropy_N

    def _additive(self, mask: Tensor) -> Tensor:
        """0 where a token is attended to, the lowest number elsewhere."""
        zeros = torch.zeros(mask.shape, dtype=self.model.dtype, device=mask.device)
        return zeros.masked_fill_(~mask, torch.finfo(self.model.dtype).min)

    def _apply(self, lr: float) -> float:
        """Clip, step, and return the norm before clipping; a gradient that is not finite must not reach the weights."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.max_grad_norm))
        if not math.isfinite(norm):
            raise InfrastructureError(
                f"training diverged: the gradient's norm is {norm}; lower the learning rate and go on from the last "
                "checkpoint with --resume"
            )
        self.optimizer.step()
        return norm
