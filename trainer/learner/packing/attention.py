"""The kinds of attention by which packed rows are computed: with explicit masks, or by blocks or lengths on a GPU."""

from collections.abc import Sequence
from functools import cache
from inspect import signature
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

from ....verifiers.errors import ConfigError

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:  # torch before 2.10
    varlen_attn = None  # type: ignore[assignment]

BLOCK = 128
"""Tokens in a block of ``FlexAttention``."""
PACKED = "lachesis_packed"
"""The name under which transformers knows the attention of packed rows on a GPU."""
VARLEN_OPTIONS = frozenset(signature(varlen_attn).parameters) if varlen_attn is not None else frozenset()
"""The options of torch's variable-length attention, which differ by version."""
VARLEN = {"scale", "window_size"} <= VARLEN_OPTIONS
"""Whether it has the options that are needed."""


class Attention(Protocol):
    """Computes which tokens of a packed row see each other.

    Attributes:
        flat: whether a micro-batch is one long row of many prefix trees instead of several padded rows of one each.
        apart: whether samples that share no tokens with others get rows of their own.
    """

    flat: bool
    apart: bool

    def prepare(self, model: PreTrainedModel) -> None:
        """Set the model up once. Raises ``ConfigError`` if this kind of model cannot be computed so."""
        ...

    def inputs(self, ends_RT: Tensor | None, lengths: Sequence[int] | None) -> dict[str, Any]:
        """Return what the model takes besides tokens and positions, from the fields of a ``MicroBatch``."""
        ...


class MaskedAttention:
    """Gives the model's own attention an explicit mask, whose cost is the square of a row; runs everywhere."""

    flat = False
    apart = False
    _added = False

    def prepare(self, model: PreTrainedModel) -> None:
        """As in ``Attention``."""
        self._added = model.config._attn_implementation == "eager"

    def inputs(self, ends_RT: Tensor | None, lengths: Sequence[int] | None) -> dict[str, Any]:
        """As in ``Attention``: a mask [R, 1, T, T], added to the scores by eager attention, else bool; maybe none."""
        mask = None if ends_RT is None else dense_mask(ends_RT)
        if mask is not None and self._added:
            mask = torch.where(mask, 0.0, torch.finfo(torch.float32).min)
        return {"attention_mask": mask}


class FlexAttention:
    """Computes attention by blocks and skips those that no token attends to (Dong et al. 2024, FlexAttention).

    The kernels are compiled once for all shapes. They need a GPU; a CPU has only the forward pass.
    """

    flat = True
    apart = False

    def prepare(self, model: PreTrainedModel) -> None:
        """As in ``Attention``."""
        if not getattr(model, "_supports_attention_backend", False):
            raise ConfigError(
                f'{model.config.model_type} does not let its attention be replaced; set trainer.attention = "masked"'
            )
        AttentionInterface.register(PACKED, _packed_forward)
        model.set_attn_implementation(PACKED)

    def inputs(self, ends_RT: Tensor | None, lengths: Sequence[int] | None) -> dict[str, Any]:
        """As in ``Attention``: the blocks that are computed."""
        return {"attention_mask": None if ends_RT is None else block_mask(ends_RT)}


class FlashAttention(FlexAttention):
    """Computes samples that share nothing by variable-length flash attention, and prefix trees as ``FlexAttention``.

    The samples' lengths reach the kernel through the keyword arguments that transformers hands from the model to its
    attention. The kernel needs no compilation.

    Args:
        dtype: the dtype of the computation.
        device: the device of the computation.
    """

    apart = True

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self._dtype, self._device = dtype, device

    def prepare(self, model: PreTrainedModel) -> None:
        """As in ``Attention``."""
        if lack := self.lack(model):
            raise ConfigError(f'trainer.attention = "flash" cannot be used: {lack}; leave it at "auto"')
        super().prepare(model)

    def lack(self, model: PreTrainedModel) -> str:
        """Say in a few words why flash attention cannot compute this model here; empty if it can."""
        text = model.config.get_text_config()
        size = getattr(text, "head_dim", None) or text.hidden_size // getattr(text, "num_attention_heads", 1)
        reasons = {
            f"it needs a GPU, and the device is {self._device}": self._device.type != "cuda",
            f"it computes in 16 bits, and model.dtype is {str(self._dtype)[6:]}": self._dtype.itemsize != 2,
            f"torch {torch.__version__} has no variable-length attention that it could use": not VARLEN,
            f"{model.config.model_type} does not support it": not getattr(model, "_supports_flash_attn", False),
            f"{model.config.model_type} caps its attention scores": getattr(text, "attn_logit_softcapping", None),
            f"heads of {size} numbers do not fit its kernel": size > 256 or size % 8,
            f"{model.config.model_type} has values and keys of different sizes": getattr(text, "v_head_dim", None),
        }
        found = next((reason for reason, holds in reasons.items() if holds), "")
        if not found and torch.cuda.get_device_capability(self._device)[0] < 8:
            return f"{torch.cuda.get_device_name(self._device)} is older than its kernel"
        return found

    def inputs(self, ends_RT: Tensor | None, lengths: Sequence[int] | None) -> dict[str, Any]:
        """As in ``Attention``: blocks for prefix trees, else where each sample begins and ends, and the most tokens."""
        if lengths is None:
            return super().inputs(ends_RT, lengths)
        bounds = torch.from_numpy(np.cumsum([0, *lengths], dtype=np.int32)).to(self._device)
        return {
            "attention_mask": None,
            "cu_seq_lens_q": bounds,
            "cu_seq_lens_k": bounds,
            "max_length_q": max(lengths),
            "max_length_k": max(lengths),
        }


def choose_attention(name: str, model: PreTrainedModel, dtype: torch.dtype, device: torch.device) -> Attention:
    """The attention for ``trainer.attention``.

    On a GPU ``auto`` takes ``flash`` if that can compute the model, else ``flex``; elsewhere it takes ``masked``.

    Raises:
        ConfigError: ``flex`` was chosen without a GPU.
    """
    on_gpu = device.type == "cuda"
    if name == "flex" and not on_gpu:
        raise ConfigError(f'trainer.attention = "flex" needs a GPU, and the device is {device}; leave it at "auto"')
    flash = FlashAttention(dtype, device)
    if name == "flash" or (name == "auto" and on_gpu and not flash.lack(model)):
        return flash
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


def _packed_forward(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: BlockMask | None,
    scaling: float | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int = 0,
    **_: Any,
) -> tuple[Tensor, None]:
    """The attention function that transformers calls: heads on the second axis in, on the third axis out."""
    if s_aux is not None:
        raise ConfigError('models with attention sinks need trainer.attention = "masked"')
    kind = query.device.type
    if torch.is_autocast_enabled(kind):  # norms and rotary positions leave wider numbers, which the kernels refuse
        query, key, value = (part.to(torch.get_autocast_dtype(kind)) for part in (query, key, value))
    if cu_seq_lens_q is not None:
        return _by_lengths(query, key, value, cu_seq_lens_q, max_length_q, scaling), None
    if attention_mask is None and query.shape[2] >= BLOCK:
        raise ConfigError(f'{type(module).__name__} does not pass lengths on; set trainer.attention = "flex"')
    return _by_blocks(query, key, value, attention_mask, scaling, softcap), None


def _by_lengths(
    query: Tensor, key: Tensor, value: Tensor, bounds_S: Tensor, longest: int, scaling: float | None
) -> Tensor:
    """One row of plain samples, whose tokens attend to all tokens before them in their sample."""
    query, key, value = (part.transpose(1, 2).squeeze(0) for part in (query, key, value))
    options: dict[str, Any] = {"scale": scaling, "window_size": (-1, 0)}
    shared = query.shape[1] // key.shape[1]
    if "enable_gqa" in VARLEN_OPTIONS:
        options["enable_gqa"] = shared > 1
    elif shared > 1:
        key, value = (part.repeat_interleave(shared, 1) for part in (key, value))
    out: Tensor = varlen_attn(query, key, value, bounds_S, bounds_S, longest, longest, **options)  # type: ignore[assignment]
    return out[None]


def _by_blocks(
    query: Tensor, key: Tensor, value: Tensor, mask: BlockMask | None, scaling: float | None, softcap: float | None
) -> Tensor:
    """One row of prefix trees; without a mask, the few tokens by which the output layer is checked."""
    grouped = query.shape[1] != key.shape[1]
    if mask is None:  # a cap of the scores makes no difference to the check
        few = scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling, enable_gqa=grouped)
        return few.transpose(1, 2).contiguous()

    def cap(score: Tensor, _batch: Tensor, _head: Tensor, _query: Tensor, _key: Tensor) -> Tensor:
        return cast(float, softcap) * torch.tanh(score / cast(float, softcap))

    kernel = flex_attention if torch.compiler.is_compiling() else _flex(query.device.type)
    score_mod = None if softcap is None else cap
    out = kernel(query, key, value, score_mod=score_mod, block_mask=mask, scale=scaling, enable_gqa=grouped)
    return cast(Tensor, out.transpose(1, 2).contiguous())
