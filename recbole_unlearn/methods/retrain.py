"""Retrain: trains a new model on the retained rows; exact, and the reference of every figure."""

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
    """Retrain with the next seed; its difference to Retrain shows how much exact results vary.

    Formula: that of Retrain, from other initial weights and batches. Cost: that of training.
    """

    name = "RetrainAgain"
    needs_adapter = False
    fulfils = ("relearn", "retrain")

    def unlearn(self, context: UnlearnContext) -> Outcome:
        """Return a new model that never saw the withdrawn rows either, from other initial weights and batches."""
        return Outcome(context.train(seed=context.seed + 1))


class RetrainStopped(UnlearnMethod):
    """Retrain with RedrawItems' stop rule: training ends when the ranks of held-out rows no longer improve.

    Formula: that of Retrain, at the best epoch by held-out rows. Exact. Cost: that of training up to there.

    Use it as a control: it shows what early stopping alone gains in time and quality.
    """

    name = "RetrainStopped"
    needs_adapter = False
    needs_epochs = True
    fulfils = ("relearn", "retrain")

    def unlearn(self, context: UnlearnContext) -> Outcome:
        """Return a new model that never saw the withdrawn rows, from the epoch that the rule chooses."""
        return Outcome(*context.train_until_best(most=context.epochs))
