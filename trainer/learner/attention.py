"""The kinds of attention by which a packed row is computed: with an explicit mask, or by blocks on a GPU."""

from functools import cache
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention
from transformers import AttentionInterface, PreTrainedModel

from ...verifiers.errors import ConfigError

BLOCK = 128
"""Tokens in a block of ``FlexAttention``."""
FLEX = "lachesis_flex"
"""The name under which transformers knows ``FlexAttention``."""


class Attention(Protocol):
    """Computes which tokens of a packed row see each other.

    Attributes:
        flat: whether a micro-batch is one long row of many prefix trees instead of several padded rows of one each.
    """

    flat: bool

    def prepare(self, model: PreTrainedModel) -> None:
        """Set the model up once. Raises ``ConfigError`` if this kind of model cannot be computed so."""
        ...

    def mask(self, ends_RT: Tensor | None) -> Any:
        """Return what the model takes as ``attention_mask``, from ``MicroBatch.ends_RT``."""
        ...


class MaskedAttention:
    """Gives the model's own attention an explicit mask, whose cost is the square of a row; runs everywhere."""

    flat = False
    _added = False

    def prepare(self, model: PreTrainedModel) -> None:
        """As in ``Attention``."""
        self._added = model.config._attn_implementation == "eager"

    def mask(self, ends_RT: Tensor | None) -> Tensor | None:
        """As in ``Attention``: [R, 1, T, T], added to the scores by eager attention, else bool; None for plain rows."""
        if ends_RT is None:
            return None
        seen = dense_mask(ends_RT)
        return torch.where(seen, 0.0, torch.finfo(torch.float32).min) if self._added else seen


class FlexAttention:
    """Computes attention by blocks and skips those that no token attends to (Dong et al. 2024, FlexAttention).

    The kernels are compiled once for all shapes. They need a GPU; a CPU has only the forward pass.
    """

    flat = True

    def prepare(self, model: PreTrainedModel) -> None:
        """As in ``Attention``."""
        if not getattr(model, "_supports_attention_backend", False):
            raise ConfigError(
                f'{model.config.model_type} does not let its attention be replaced; set trainer.attention = "masked"'
            )
        AttentionInterface.register(FLEX, _flex_forward)
        model.set_attn_implementation(FLEX)

    def mask(self, ends_RT: Tensor | None) -> BlockMask | None:
        """As in ``Attention``; None lets every token of a row attend to all before it."""
        return None if ends_RT is None else block_mask(ends_RT)


def choose_attention(name: str, device: torch.device) -> Attention:
    """The attention for ``trainer.attention``; ``auto`` takes ``flex`` on a GPU and ``masked`` elsewhere.

    Raises:
        ConfigError: ``flex`` was chosen without a GPU.
    """
    on_gpu = device.type == "cuda"
    if name == "flex" and not on_gpu:
        raise ConfigError(f'trainer.attention = "flex" needs a GPU, and the device is {device}; leave it at "auto"')
    return FlexAttention() if on_gpu and name != "masked" else MaskedAttention()


def dense_mask(ends_RT: Tensor) -> Tensor:
    """Whether a token (third axis) attends to another (fourth axis): bool [R, 1, T, T]."""
    columns_T = torch.arange(ends_RT.shape[1], device=ends_RT.device)
    before_TT = columns_T[None, :] <= columns_T[:, None]
    return (before_TT & (columns_T[:, None] < ends_RT[:, None, :]))[:, None]


def block_mask(ends_RT: Tensor) -> BlockMask:
    """The same for one row (R = 1), as blocks of ``BLOCK`` tokens; T is a multiple of ``BLOCK``.

    A block of keys before a block of queries is needed if one of its tokens is continued beyond the first query, and
    needs no mask inside if all are continued beyond the last.
    """
    [ends_T] = ends_RT
    ends_BK = ends_T.cpu().numpy().reshape(-1, BLOCK)
    blocks = ends_BK.shape[0]
    starts_B = np.arange(blocks) * BLOCK
    earlier_BB = np.tri(blocks, k=-1, dtype=np.bool_)
    full_BB = earlier_BB & (ends_BK.min(1)[None, :] >= starts_B[:, None] + BLOCK)
    partial_BB = earlier_BB & (ends_BK.max(1)[None, :] > starts_B[:, None]) & ~full_BB
    np.fill_diagonal(partial_BB, val=True)

    def attends(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        seen: Tensor = (key <= query) & (query < ends_T[key])
        return seen

    def listed(needed_BB: npt.NDArray[np.bool_]) -> tuple[Tensor, Tensor]:
        """How many blocks of keys each block of queries needs, and their numbers, the needed ones first."""
        order_BB = np.argsort(~needed_BB, axis=1, kind="stable").astype(np.int32)
        counts_B = needed_BB.sum(1, dtype=np.int32)
        counts, order = (torch.from_numpy(array).to(ends_RT.device)[None, None] for array in (counts_B, order_BB))
        return counts, order

    counts, order = listed(partial_BB)
    return BlockMask.from_kv_blocks(counts, order, *listed(full_BB), BLOCK_SIZE=BLOCK, mask_mod=attends)


@cache
def _flex(device: str) -> Any:
    """The kernel for a type of device, compiled once for all models, layers and shapes."""
    return torch.compile(flex_attention, dynamic=True) if device == "cuda" else flex_attention


def _flex_forward(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: BlockMask | None,
    scaling: float | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """The attention function that transformers calls: heads on the second axis in, on the third axis out."""
    if s_aux is not None:
        raise ConfigError('models with attention sinks need trainer.attention = "masked"')

    def cap(score: Tensor, _batch: Tensor, _head: Tensor, _query: Tensor, _key: Tensor) -> Tensor:
        return cast(float, softcap) * torch.tanh(score / cast(float, softcap))

    def causal(score: Tensor, batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return torch.where(key <= query, score if softcap is None else cap(score, batch, head, query, key), -torch.inf)

    same: dict[str, Any] = {"scale": scaling, "enable_gqa": query.shape[1] != key.shape[1]}
    if attention_mask is None:  # the few tokens of a check
        out = flex_attention(query, key, value, score_mod=causal, **same)
    else:
        score_mod = None if softcap is None else cap
        out = _flex(query.device.type)(query, key, value, score_mod=score_mod, block_mask=attention_mask, **same)
    return out.transpose(1, 2).contiguous(), None
