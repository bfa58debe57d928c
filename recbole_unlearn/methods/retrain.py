"""Retrain: a new model from the retained rows. Exact by definition, and the reference of every figure."""

from recbole_unlearn.methods.base import Outcome, UnlearnContext, UnlearnMethod


class Retrain(UnlearnMethod):
    """Train from scratch on the retained rows, with the seed of the original.

    Formula: theta' = argmin of the loss over the retained rows, by the training that made the original. Exact.
    Cost: that of training, every time.
    """

    name = "Retrain"
    needs_adapter = False
    fulfils = ("relearn", "retrain")

    def unlearn(self, context: UnlearnContext) -> Outcome:
        """Return a new model that never saw the withdrawn rows."""
        return Outcome(context.train())


class RetrainAgain(UnlearnMethod):
    """Retrain with the next seed; the difference between two exact results is the noise of the reference.

    Formula: that of Retrain, from other initial weights and batches. Cost: that of training.
    """

    name = "RetrainAgain"
    needs_adapter = False
    fulfils = ("relearn", "retrain")

    def unlearn(self, context: UnlearnContext) -> Outcome:
        """Return a new model that never saw the withdrawn rows either, from other initial weights and batches."""
        return Outcome(context.train(seed=context.seed + 1))


class RetrainStopped(UnlearnMethod):
    """Retrain that stops by RedrawItems' rule: where held-out retained rows are ranked no higher.

    Formula: that of Retrain, at the best epoch by held-out rows. Exact. Cost: that of training up to there.

    Use it to see what is won by stopping early alone.
    """

    name = "RetrainStopped"
    needs_adapter = False
    needs_epochs = True
    fulfils = ("relearn", "retrain")

    def unlearn(self, context: UnlearnContext) -> Outcome:
        """Return a new model that never saw the withdrawn rows, from the epoch that the rule chooses."""
        return Outcome(*context.train_until_best(most=context.epochs))
