"""FineTune: a control that trains some more epochs on the retained rows."""

from dataclasses import dataclass

from recbole_unlearn.methods.base import Outcome, UnlearnContext, UnlearnMethod
from recbole_unlearn.methods.options import option


@dataclass(frozen=True, kw_only=True)
class FineTune(UnlearnMethod):
    """Train the trained model for a few more epochs on the retained rows.

    Formula: `finetune_epochs` epochs of the original's optimizer from theta. The influence of withdrawn rows is not removed.
    Cost: `finetune_epochs` / `epochs` of training. Use it as a control: it shows how much more training alone forgets.

    Args:
        finetune_epochs: Epochs.
    """

    name = "FineTune"
    needs_adapter = False
    needs_epochs = True

    finetune_epochs: int = option(3, least=1)

    def unlearn(self, context: UnlearnContext) -> Outcome:
        """Return the model after ``finetune_epochs`` epochs on the retained rows; its graph has no other rows, either."""
        return Outcome(context.train(context.model, self.finetune_epochs), {"epochs": self.finetune_epochs})
