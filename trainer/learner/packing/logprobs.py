"""A causal language model that computes logprobs of given tokens in bounded memory."""

import math
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from ....verifiers.errors import ConfigError
from .attention import Attention, MaskedAttention
from .micro_batch import MicroBatch

LOGITS = 1 << 27
"""The most logits (tokens times vocabulary) that are in memory at once: half a GiB in float32."""


class LogprobModel(nn.Module):
    """Computes logprobs and entropies of a micro-batch's trained tokens, and which of them are the most probable.

    If the logits of all tokens would be more than ``LOGITS`` numbers, the output layer runs over a part of the tokens
    at a time, and again in the backward pass.

    Args:
        model: the model, in eval mode.
        dtype: the dtype of the computation; parameters may be wider.
        gradient_checkpointing: recompute the layers' activations in the backward pass instead of keeping them.
        attention: how packed rows are computed; by default with explicit masks.
        compiled: compile the layers with ``torch.compile``, all of them by the same code for all shapes.

    Raises:
        ConfigError: The model's logits are not its output layer applied to its last hidden state.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        dtype: torch.dtype,
        gradient_checkpointing: bool = False,
        attention: Attention | None = None,
        compiled: bool = False,
    ) -> None:
        super().__init__()
        self._attention = attention or MaskedAttention()
        self._attention.prepare(model)
        self.model = model
        self.dtype = dtype
        whole = cast(Any, model)
        self._body, self._head = whole.base_model, whole.get_output_embeddings()
        text = model.config.get_text_config()
        self._divisor = float(getattr(text, "logits_scaling", 1.0)) / float(getattr(text, "logit_scale", None) or 1.0)
        self._cap = getattr(text, "final_logit_softcapping", None)
        if model.device.type != "meta":
            self.check()
        if compiled:  # layers of two kinds, with and without mask and gradient, for one row and several
            cast(Any, torch._dynamo.config).recompile_limit = 32
        for layer in cast(list[Any], layers_of(model)):
            if compiled:
                layer.forward = torch.compile(layer.forward, dynamic=True)
            if gradient_checkpointing:
                layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)

    def forward(self, micro: MicroBatch, differentiate: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Return the logprobs [N] of the trained tokens, the entropies [N] of their distributions in nats, and
        whether each token is the most probable one, bool [N].

        Args:
            micro: the micro-batch.
            differentiate: whether the entropies have a gradient.
        """
        device = micro.tokens_RT.device.type
        narrower = self.dtype != next(self._head.parameters()).dtype
        with torch.autocast(device, self.dtype if narrower else torch.bfloat16, enabled=narrower):
            hidden_RTD = self._body(
                input_ids=micro.tokens_RT,
                position_ids=micro.positions_RT,
                use_cache=False,
                **self._attention.inputs(micro.ends_RT, micro.lengths),
            ).last_hidden_state
            hidden_ND = hidden_RTD[micro.rows_N, micro.sources_N]
            count = max(1, LOGITS // self.model.config.get_text_config().vocab_size)
            parts = [part.split(count) for part in (hidden_ND, micro.targets_N, micro.temperatures_N)]
            if len(parts[0]) == 1:
                return self._compute(hidden_ND, micro.targets_N, micro.temperatures_N, differentiate)
            computed = [
                checkpoint(self._compute, *chunk, differentiate, use_reentrant=False)
                for chunk in zip(*parts, strict=True)
            ]
        logprobs, entropies, first = zip(*computed, strict=True)
        return torch.cat(logprobs), torch.cat(entropies), torch.cat(first)

    def _compute(
        self, hidden_ND: Tensor, targets_N: Tensor, temperatures_N: Tensor, differentiate: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        logits_NV = self._logits(hidden_ND).float() / temperatures_N[:, None]
        all_NV = logits_NV.log_softmax(-1)
        with torch.set_grad_enabled(differentiate and torch.is_grad_enabled()):
            entropy_N = -(all_NV.exp() * all_NV).sum(-1)
        logprobs_N = all_NV.gather(-1, targets_N[:, None])[:, 0].clone()  # FSDP does not take a view
        return logprobs_N, entropy_N, logprobs_N.detach() == all_NV.detach().amax(-1)

    def _logits(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self._head(hidden)
        if self._divisor != 1.0:
            logits = logits / self._divisor
        if self._cap:
            logits = torch.tanh(logits / self._cap) * self._cap
        return logits

    @torch.no_grad()
    def check(self) -> None:
        """Raise ``ConfigError`` unless the model's logits are its output layer applied to its last hidden state.

        A model without weights must be checked once it has them, by all ranks at the same time.
        """
        ids = torch.arange(1, 4, device=self.model.device)[None]
        expected = self.model(input_ids=ids, use_cache=False).logits.float()
        found = self._logits(self._body(input_ids=ids, use_cache=False).last_hidden_state).float()
        gap = float((found - expected).abs().max()) / max(1.0, float(expected.abs().max()))
        if not math.isfinite(gap) or gap > 1e-2:
            raise ConfigError(
                f"{self.model.config.model_type}: logits are not those of the output layer over the last hidden state "
                f"(relative difference {gap:.3g}), so this kind of model cannot be trained; choose another model.path"
            )


def layers_of(model: PreTrainedModel) -> list[nn.Module]:
    """Return the model's blocks, which FSDP shards and gradient checkpointing recomputes one by one."""
    names = set(model._no_split_modules or ())
    return [module for module in model.modules() if type(module).__name__ in names]
