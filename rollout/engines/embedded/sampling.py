"""Drawing a token from logits: temperature, filters, and a uniform random number of the request's own stream."""

import numpy as np
import torch


def uniforms(seed: int, count: int) -> torch.Tensor:
    """The first ``count`` random numbers of ``seed``, float64 in [0, 1); counter-based, the same on every machine."""
    bits = np.random.Philox(key=seed % 2**128).random_raw(count)
    return torch.from_numpy((bits >> np.uint64(11)) * 2.0**-53)


def draw(
    logits: torch.Tensor,
    temperature: torch.Tensor,
    top_k: torch.Tensor,
    top_p: torch.Tensor,
    min_p: torch.Tensor,
    uniform: torch.Tensor,
    allowed: dict[int, torch.Tensor] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw one token a row by inverting the distribution function; a row's result depends on that row alone.

    Temperature comes first, then min-p, top-k and top-p, as in vLLM (whose ``processed_logprobs`` these are).
    Temperature 0 takes the most probable token, without filters and with logprobs at temperature 1.

    Args:
        logits: float32 ``[rows, vocabulary]``; not changed.
        temperature: float32 ``[rows]``.
        top_k: int64 ``[rows]``; 0 keeps all.
        top_p: float32 ``[rows]``; 1 keeps all.
        min_p: float32 ``[rows]``; 0 keeps all.
        uniform: float64 ``[rows]`` in [0, 1).
        allowed: row → bool ``[vocabulary]``, the only tokens that may be drawn there; applied before all filters.

    Returns:
        Tokens, int64 ``[rows]``, and their logprobs, float32 ``[rows]``, under the distribution that was drawn from;
        in rows of ``allowed``, under the policy's own distribution after temperature.
    """
    greedy = temperature == 0
    scaled = logits / torch.where(greedy, 1.0, temperature)[:, None]
    whole = {row: scaled[row].log_softmax(-1) for row in allowed or ()}
    for row, tokens in (allowed or {}).items():
        scaled[row].masked_fill_(~tokens, -torch.inf)
    filtered = ((top_k > 0) | (top_p < 1) | (min_p > 0)) & ~greedy
    if filtered.any():
        likely = keep_likely(scaled[filtered], min_p[filtered])
        scaled[filtered] = keep_top(likely, top_k[filtered], top_p[filtered])
    logprobs = scaled.log_softmax(-1)
    mass = logprobs.exp().cumsum(-1, dtype=torch.float64)
    # A token of probability 0 adds no mass, so `right=True` never lands on it; 1 - 2^-53 times the total is below it.
    drawn = torch.searchsorted(mass, uniform[:, None] * mass[:, -1:], right=True)[:, 0]
    tokens = torch.where(greedy, scaled.argmax(-1), drawn.clamp(max=logits.shape[1] - 1))
    picked = logprobs.gather(1, tokens[:, None])[:, 0]
    for row, own in whole.items():
        picked[row] = own[tokens[row]]
    return tokens, picked


def keep_likely(logits: torch.Tensor, min_p: torch.Tensor) -> torch.Tensor:
    """``logits`` with -inf for tokens below the share ``min_p`` of the most probable token's probability."""
    least = logits.amax(-1) + min_p.log()
    return logits.masked_fill(logits < least[:, None], -torch.inf)


def keep_top(logits: torch.Tensor, top_k: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
    """``logits`` with -inf for tokens that top-k, or then top-p, leaves out; ties with the k-th token stay."""
    ascending, order = logits.sort(-1)
    vocabulary = logits.shape[1]
    kept = torch.where(top_k > 0, top_k.clamp(max=vocabulary), vocabulary)
    least = ascending.gather(1, (vocabulary - kept)[:, None])
    ascending = ascending.masked_fill(ascending < least, -torch.inf)
    dropped = ascending.softmax(-1).cumsum(-1) <= 1 - top_p[:, None]
    dropped[:, -1] = False  # the most probable token always stays
    return logits.scatter(1, order, ascending.masked_fill(dropped, -torch.inf))
