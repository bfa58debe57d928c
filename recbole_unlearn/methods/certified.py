"""CertifiedRemoval: solves users' convex blocks and adds the noise for which the removal from them is certified."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from recbole_unlearn.data.frozen import token_keys
from recbole_unlearn.exceptions import ConfigError, UnsupportedModelError
from recbole_unlearn.methods.base import Outcome, UnlearnContext, UnlearnMethod
from recbole_unlearn.methods.influence_function import SIF
from recbole_unlearn.methods.options import option
from recbole_unlearn.methods.reset import reset_beside, reset_items
from recbole_unlearn.methods.rows import RequestRows
from recbole_unlearn.methods.scif import UserRows, summary
from recbole_unlearn.model.adapter import InfluenceAdapter, read_rows, write_rows

_NOISE = "recbole_unlearn: noise of a certified removal"


@dataclass(frozen=True, kw_only=True)
class CertifiedRemoval(UnlearnMethod):
    """Solve the embeddings of users who lose rows, and add noise for which (epsilon, delta) is certified.

    With all items fixed, the loss of a user's retained rows in a dot product model is strongly convex in the user's
    embedding. Where its gradient is r, the minimum is at most r / m away, with m the ridge. Newton steps go on until noise of
    the given size hides that distance.

    Formula: e_u' = e + sigma n, with e from Newton steps on the loss of u's retained rows plus m / 2 |e|^2 until
    |gradient at e| / m (2 ln(1.25 / delta))^1/2 <= sigma epsilon, n ~ N(0, I). For users with no row left e_u' ~ the model's
    initialiser.
    Cost: a few d x d systems for each user who loses rows.

    **What the certificate says**: given the item embeddings, the embedding of a user is (epsilon, delta)-indistinguishable
    from the minimum on the retained rows with the same noise, which withdrawn rows do not reach. It says nothing of item
    embeddings, which keep what they learned from withdrawn rows. The noise is another one for each user and request, drawn
    from the seed, which a saved model holds: whoever has the file, and knows the request, can subtract it. A solve from a new
    draw needs no noise for the same statement.

    Use it to see what a certificate on the convex part is worth. Models: BPR. NeuMF's MLP is not convex in an embedding, and
    LightGCN's graph couples users.

    Args:
        epsilon: At most 1, as the Gaussian mechanism asks.
        delta: Probability with which epsilon may be exceeded.
        sigma: Standard deviation of the noise, which depends on no row.
        newton_steps: Newton steps at most; if they are too few, nothing is certified, and the diagnostics say so.
        ridge: m as a share of a retained user's mean number of loss rows.

    Deviations: the paper perturbs the objective at training, and bounds r by the data's norms; here r is computed (in
    float64), and the noise is added to the result, as Sekhari et al. (2021) do.

    Reference: Guo, Goldstein, Hannun and van der Maaten (2020), Certified data removal from machine learning models, section
    3; Sekhari, Acharya, Kamath and Suresh (2021), Remember what you want to forget.
    """

    name = "CertifiedRemoval"
    works_with = "BPR"

    epsilon: float = option(1.0, above=0)
    delta: float = option(1e-5, above=0)
    sigma: float = option(0.01, above=0)
    newton_steps: int = option(50, least=1)
    ridge: float = option(0.003, above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epsilon > 1:
            raise ConfigError(f"{self.name}: epsilon is {self.epsilon}; allowed: 1 or less")
        if self.delta >= 1:
            raise ConfigError(f"{self.name}: delta is {self.delta}; allowed: less than 1")

    def check_class(self, model_class: type) -> None:
        """Refuse a model whose user blocks are not convex."""
        super().check_class(model_class)
        if not InfluenceAdapter.class_for(model_class).has_convex_users:
            raise UnsupportedModelError(
                f"CertifiedRemoval needs a loss that is convex in each user's embedding, which that of "
                f"{model_class.__name__} is not known to be; use it with BPR, or use Retrain"
            )

    def check_model(self, model: Any, rows: int) -> None:
        """Refuse a model whose user blocks are not convex."""
        self.check_class(type(model))

    def unlearn(self, context: UnlearnContext) -> Outcome:
        """Change the embeddings in place; no other value of the model changes."""
        adapter = InfluenceAdapter.of(context.model, context.rebuilt)
        dtype = adapter.user_tables[0].weight.dtype
        context.model.double()  # the bound must not be one of rounding
        try:
            adapter.drop_edges(*context.forgotten)
            reset_items(context, adapter)
            reset_beside(context, adapter)
            told = self._solve(context, adapter)
        finally:
            context.model.to(dtype)
        adapter.parameters_changed()
        return Outcome(context.model, told)

    def _solve(self, context: UnlearnContext, adapter: InfluenceAdapter) -> dict[str, Any]:
        weight = adapter.user_tables[0].weight
        rows = RequestRows(context, adapter.pairwise, weight.dtype, weight.device)
        solver = SIF(ridge=self.ridge, newton_steps=self.newton_steps, newton_tolerance=1e-12)
        user_rows = UserRows(context, adapter, rows, solver)
        results = user_rows.solve(context.partial)
        user_rows.solve_gone()
        left = max((float((one.residual * one.gradient_norm).max()) for one in results), default=0.0)
        bound = left / (self.ridge * rows.rows_per_user)
        hidden = bound * math.sqrt(2 * math.log(1.25 / self.delta)) <= self.sigma * self.epsilon
        self._add_noise(context, adapter)
        told = {"epsilon": self.epsilon, "delta": self.delta, "sigma": self.sigma, "distance_bound": bound}
        certified = "user embeddings, given the items" if hidden else "nothing: too few Newton steps"
        return {**summary(results), **told, "converged": float(hidden), "certified": certified}

    def _add_noise(self, context: UnlearnContext, adapter: InfluenceAdapter) -> None:
        if not len(context.partial):
            return
        ids = torch.from_numpy(context.partial).to(adapter.user_tables[0].weight.device)
        solved = read_rows(adapter.user_tables, ids)
        tokens = context.rows.user_tokens[context.partial]
        keys = token_keys((f"{_NOISE} {context.withdrawal.digest} {token}" for token in tokens), context.seed)
        drawn = np.stack([np.random.default_rng(int(key)).standard_normal(solved.shape[1]) for key in keys])
        write_rows(adapter.user_tables, ids, solved + self.sigma * torch.from_numpy(drawn).to(solved))
