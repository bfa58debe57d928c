"""FineTune: the control that people would try first, some more epochs on the retained rows."""

from collections.abc import Mapping
from typing import Any

from recbole_unlearn.exceptions import ConfigError, UnsupportedModelError
from recbole_unlearn.methods.base import Outcome, UnlearnContext, UnlearnMethod
from recbole_unlearn.model.adapter import ModelAdapter


class FineTune(UnlearnMethod):
    """Train the trained model on the retained rows and hope that it forgets the rest.

    Formula: `finetune_epochs` epochs of the original's optimizer from theta. Nothing pushes the withdrawn rows out.
    Cost: `finetune_epochs` / `epochs` of training.
    """

    name = "FineTune"
    needs_adapter = False

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(options)
        if self.options["finetune_epochs"] < 1:
            raise ConfigError(f"FineTune: finetune_epochs is {self.options['finetune_epochs']}; allowed: 1 or more")

    def unlearn(self, context: UnlearnContext) -> Outcome:
        """Return the model after ``finetune_epochs`` epochs on the retained rows, and on the graph without the others."""
        epochs = self.options["finetune_epochs"]
        _drop_edges(context)
        return Outcome(context.train(context.model, epochs), {"epochs": epochs})


def _drop_edges(context: UnlearnContext) -> None:
    """Take the withdrawn rows out of the graph; a model without adapter has none that we know of."""
    try:
        adapter = ModelAdapter.of(context.model)
    except UnsupportedModelError:
        return
    forgotten = context.withdrawal.forget
    adapter.drop_edges(context.rows.users[forgotten], context.rows.items[forgotten])
