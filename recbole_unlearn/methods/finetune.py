"""FineTune: the control that people would try first, some more epochs on the retained rows."""

from dataclasses import dataclass

from recbole_unlearn.exceptions import UnsupportedModelError
from recbole_unlearn.methods.base import Outcome, UnlearnContext, UnlearnMethod
from recbole_unlearn.methods.options import option
from recbole_unlearn.model.adapter import ScoringAdapter
from recbole_unlearn.model.renew import renew


@dataclass(frozen=True, kw_only=True)
class FineTune(UnlearnMethod):
    """Train the trained model for a few more epochs on the retained rows.

    Formula: `finetune_epochs` epochs of the original's optimizer from theta. Nothing removes the withdrawn rows' influence.
    Cost: `finetune_epochs` / `epochs` of training. Use it to see that more training alone does not forget.

    Args:
        finetune_epochs: Epochs.
    """

    name = "FineTune"
    needs_adapter = False

    finetune_epochs: int = option(3, least=1)

    def unlearn(self, context: UnlearnContext) -> Outcome:
        """Return the model after ``finetune_epochs`` epochs on the retained rows, and on the graph without the others."""
        _drop_edges(context)
        return Outcome(context.train(context.model, self.finetune_epochs), {"epochs": self.finetune_epochs})


def _drop_edges(context: UnlearnContext) -> None:
    """Take the withdrawn rows out of all that the model keeps of rows, such as a graph or histories."""
    try:
        ScoringAdapter.of(context.model, context.rebuilt).drop_edges(*context.forgotten)
    except UnsupportedModelError:
        if context.rebuilt is not None:
            renew(context.model, context.rebuilt())
