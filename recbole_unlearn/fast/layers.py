"""torch's Dropout and Embedding with faster CPU code for training; parameters and their names stay the same."""

from __future__ import annotations

from typing import Any

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


class FastEmbedding(nn.Embedding):
    """torch's Embedding; in training its gradient is one addition by index, a third of the time of torch's kernel."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the rows of these ids, shape [..., dims]."""
        plain = self.padding_idx is None and self.max_norm is None and not self.scale_grad_by_freq and not self.sparse
        if not self.training or input.dim() != 1 or not plain:
            return super().forward(input)
        return gather_rows(self.weight, input)


def gather_rows(table: Tensor, ids: Tensor) -> Tensor:
    """Return rows of a table, shape [ids, dims]; differentiable to any order.

    >>> gather_rows(torch.tensor([[1.0], [2.0]]), torch.tensor([1, 1, 0]))
    tensor([[2.],
            [2.],
            [1.]])
    """
    return _Gather.apply(table, ids)


def scatter_rows(rows: Tensor, ids: Tensor, size: int) -> Tensor:
    """Return the sum of the rows of each id, shape [size, dims], the adjoint of ``gather_rows``; differentiable to any order.

    >>> scatter_rows(torch.tensor([[1.0], [2.0]]), torch.tensor([1, 1]), 2)
    tensor([[0.],
            [3.]])
    """
    return _Scatter.apply(rows, ids, size)


class _Gather(torch.autograd.Function):
    """y = table[ids]; its adjoint is ``_Scatter``."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, ids: Tensor) -> Tensor:
        ctx.size = len(table)
        ctx.save_for_backward(ids)
        return table.index_select(0, ids)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _Scatter.apply(gradients[0], *ctx.saved_tensors, ctx.size), None


class _Scatter(torch.autograd.Function):
    """The sum of the rows of each id, shape [size, dims]; its adjoint is ``_Gather``."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, ids: Tensor, size: int) -> Tensor:
        ctx.save_for_backward(ids)
        return rows.new_zeros(size, rows.shape[1]).index_add_(0, ids, rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _Gather.apply(gradients[0], *ctx.saved_tensors), None, None


def use_fast_layers(model: nn.Module) -> None:
    """Replace torch's Dropout and Embedding wherever they stand in a model."""
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is nn.Dropout:
                setattr(parent, name, FastDropout(layer.p, layer.inplace))
            elif type(layer) is nn.Embedding:
                layer.__class__ = FastEmbedding  # the same parameter object, which optimizers and users may hold
