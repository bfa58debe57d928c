"""RRL: the ranking loss of the withdrawn rows reversed, anchored where retained rows are sensitive."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from recbole_unlearn.influence.rows import LossRows
from recbole_unlearn.methods.base import Outcome, UnlearnContext, UnlearnMethod
from recbole_unlearn.methods.options import option
from recbole_unlearn.methods.reversal import Reversal, reversal_of
from recbole_unlearn.model.adapter import Tensors

_PROBES = 16  # random signs with which the Fisher information is estimated
_CHUNK = 1 << 14


@dataclass(frozen=True, kw_only=True)
class RRL(UnlearnMethod):
    """Train withdrawn rows to rank below drawn items, with an anchor weighted by Fisher information (You et al. 2024).

    The reversed BPR loss asks that an item that is drawn for the user ranks above the withdrawn one. The diagonal of the
    Fisher information of retained rows says how much each parameter matters to them; parameters that matter hardly move. Only
    embeddings change, as in the paper. The steps end when half of the withdrawn rows rank below drawn items.

    Formula: minimise sum over withdrawn rows of softplus(s_ui - s_uj) + `anchor` / 2 sum_k F_k (theta_k - theta~_k)^2, with
    F_k = sum over retained rows of sigma (1 - sigma) (dx / dtheta_k)^2, by Adam from theta~.
    Cost: 16 backward passes over `curvature_rows` rows, and up to `reverse_steps` passes over the withdrawn rows.

    Use it as the strongest baseline of gradient ascent. Embeddings of withdrawn users stay what the steps make of
    them; those of withdrawn items are drawn anew.

    Args:
        reverse_steps: Steps at most.
        anchor: Weight of the anchor; 1 is the second-order expansion of the retained rows' loss, by its diagonal. The default
            was chosen on a seed of no table (ml-100k, seed 101, NeuMF and LightGCN), where 1 broke what retained users get.
        curvature_rows: Observed rows that are sampled to estimate F.

    Deviations: the stop rule is ours; F is that of the loss that trained the model, and the paper's similarity between users
    is left out.

    Reference: You, Xu, Zhang, Gao and Yang (2024), RRL: Recommendation reverse learning.
    """

    name = "RRL"

    reverse_steps: int = option(200, least=1)
    anchor: float = option(30.0, least=0)
    curvature_rows: int = option(30000, least=1)

    def unlearn(self, context: UnlearnContext) -> Outcome:
        """Change the parameters in place."""
        reversal, rows = reversal_of(context, shared=False)
        sampled = rows.sample(np.flatnonzero(~rows.forget), self.curvature_rows)
        fisher = fisher_diagonal(reversal, sampled, context.seed) if self.anchor else {}
        withdrawn = len(reversal.observed())

        def loss(values: dict[str, Tensor], encoded: Tensors) -> Tensor:
            moved = [(f * (values[name] - reversal.start[name]).square()).sum() for name, f in fisher.items()]
            anchored = self.anchor / (2 * withdrawn) * sum(moved, torch.zeros(()).to(encoded[0]))
            return softplus(reversal.margins(encoded)).mean() + anchored

        rate = float(context.setting("learning_rate"))
        return Outcome(context.model, reversal.descend(loss, self.reverse_steps, rate))


def fisher_diagonal(reversal: Reversal, rows: LossRows, seed: int, probes: int = _PROBES) -> dict[str, Tensor]:
    """Return an unbiased estimate of F_k = sum_r w_r sigma (1 - sigma) (dx_r / dtheta_k)^2, by parameter.

    With random signs e_r the gradient of sum_r e_r a_r x_r has the square sum_r (a_r dx_r / dtheta_k)^2 in expectation.

    Args:
        reversal: Gives the parameters and their encoding.
        rows: Retained rows.
        seed: Of the signs.
        probes: Draws of the signs; the relative error of an entry is at most (2 / probes)^1/2.
    """
    generator = torch.Generator().manual_seed(seed)
    leaves = {name: value.clone().requires_grad_() for name, value in reversal.start.items()}
    total = {name: torch.zeros_like(value) for name, value in reversal.start.items()}
    for _ in range(probes):
        encoded = reversal.encode(leaves)
        inner = tuple(part.detach().requires_grad_() for part in encoded)
        for chunk in rows.chunks(_CHUNK):
            signs = torch.randint(2, (len(chunk),), generator=generator).to(chunk.weights) * 2 - 1
            x = reversal.adapter.score(inner, chunk)
            p = x.detach().sigmoid()
            (signs * (chunk.weights * p * (1 - p)).sqrt() * x).sum().backward()
        pairs = [(part, one.grad) for part, one in zip(encoded, inner, strict=True) if part.requires_grad]
        pairs = [(part, slope) for part, slope in pairs if slope is not None]
        outputs, slopes = [part for part, _ in pairs], [slope for _, slope in pairs]
        found = torch.autograd.grad(outputs, list(leaves.values()), slopes, allow_unused=True)
        for name, gradient in zip(leaves, found, strict=True):
            if gradient is not None:
                total[name] += gradient.square() / probes
    return total
