"""The clipped ratio of whole sequences: GSPO."""

import torch

from .config import LossConfig
from .terms import PolicyLoss, Tokens, bounded


def gspo(tokens: Tokens, config: LossConfig) -> PolicyLoss:
    """PPO's clip of s = exp(mean of log ρ over the sequence), which all tokens of the sequence share.

    GSPO-token (arXiv:2507.18071, eq. 14): each token's ratio is sg(s)·π/sg(π), sg being stop-gradient, so that each
    token has its own gradient and advantages may differ between tokens. The usual bounds are far closer than PPO's
    (3e-4 and 4e-4 in the paper).
    """
    log_ratio_N = tokens.logprobs_N - tokens.old_N
    mean_N = bounded(tokens.mean_by_sequence(log_ratio_N.detach()))
    ratio_N = torch.exp(mean_N + tokens.logprobs_N - tokens.logprobs_N.detach())
    plain_N = ratio_N * tokens.advantages_N
    bounded_N = ratio_N.clamp(1 - config.clip_low, 1 + config.clip_high) * tokens.advantages_N
    return PolicyLoss(-torch.minimum(plain_N, bounded_N), ratio_N.detach(), (bounded_N < plain_N).detach())
