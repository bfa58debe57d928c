"""Retrain: a new model from the retained rows. Exact by definition; every figure stands beside its."""

from recbole_unlearn.methods.base import Outcome, UnlearnContext, UnlearnMethod


class Retrain(UnlearnMethod):
    """Train from scratch on the retained rows, with the seed of the original."""

    name = "Retrain"
    needs_adapter = False

    def unlearn(self, context: UnlearnContext) -> Outcome:
        """Return a new model that never saw the withdrawn rows."""
        return Outcome(context.train())
