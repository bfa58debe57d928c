"""NegGrad: gradient ascent on the loss of the withdrawn rows."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import softplus

from recbole_unlearn.methods.base import Outcome, UnlearnContext, UnlearnMethod
from recbole_unlearn.methods.options import option
from recbole_unlearn.methods.reversal import reversal_of
from recbole_unlearn.model.adapter import Tensors


@dataclass(frozen=True, kw_only=True)
class NegGrad(UnlearnMethod):
    """Train the model on the withdrawn rows with the sign of their loss reversed (Golatkar et al. 2020).

    All parameters change, and nothing keeps the model where it serves retained users well. Embeddings of withdrawn users stay
    what the steps make of them; those of withdrawn items are drawn anew. The steps end when half of the withdrawn rows rank
    below items that are drawn for their users.

    Formula: theta <- theta + `learning_rate` * Adam(grad of the mean loss of withdrawn rows).
    Cost: up to `reverse_steps` passes over the withdrawn rows, and as many over the graph, if there is one.

    Use it as the simplest baseline of the literature.

    Args:
        reverse_steps: Steps at most.

    Deviations: published versions take a number of epochs chosen by hand, with the training's optimizer; the stop rule is
    ours, since the loss has no maximum.

    Reference: Golatkar, Achille and Soatto (2020), Eternal sunshine of the spotless net.
    """

    name = "NegGrad"

    reverse_steps: int = option(200, least=1)

    def unlearn(self, context: UnlearnContext) -> Outcome:
        """Change the parameters in place."""
        reversal, _ = reversal_of(context)
        rows = reversal.observed()

        def loss(_: dict[str, Tensor], encoded: Tensors) -> Tensor:
            x = reversal.adapter.score(encoded, rows)
            return -(softplus(x) - rows.targets * x).mean()

        rate = float(context.setting("learning_rate"))
        return Outcome(context.model, reversal.descend(loss, self.reverse_steps, rate))
