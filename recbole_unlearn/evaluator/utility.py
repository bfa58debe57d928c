"""P3, utility: RecBole's metrics for each group of users, with the same masked items for every model.

After a withdrawal every model, the original too, is evaluated with the retained history masked and the same test rows.
Withdrawn pairs may then be ranked: whether they are is a figure of forgetting, not of the mask.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from recbole.data.dataloader import FullSortEvalDataLoader
from recbole.evaluator import Evaluator
from recbole.evaluator.collector import DataStruct
from recbole.model.general_recommender.pop import Pop
from recbole.utils import EvaluatorType, init_seed
from torch import Tensor

from recbole_unlearn.evaluator.ranked_lists import Listener, RankedLists


class GroupEvaluator(Evaluator):
    """RecBole's Evaluator, which also evaluates subsets of the users from the same scores.

    Args:
        config: RecBole's Config.
        collector: Knows whose each row of what was collected is.
        withdrawn: Ids of the users who lost rows.
    """

    def __init__(self, config: Any, collector: Owners, withdrawn: np.ndarray) -> None:
        super().__init__(config)
        self.collector, self.withdrawn = collector, withdrawn

    def evaluate(self, dataobject: DataStruct) -> dict[str, dict[str, float]]:
        """Return RecBole's metrics for each group; empty for a group of no user.

        NaN stands for what a group has no figure of, such as the AUC of rows of one label.
        """
        gone = np.isin(self.collector.owners, self.withdrawn)
        groups = {"retained": ~gone, "withdrawn": gone, "all": np.ones_like(gone)}
        return {name: self._evaluate_rows(dataobject, rows) for name, rows in groups.items()}

    def _evaluate_rows(self, dataobject: DataStruct, rows: np.ndarray) -> dict[str, float]:
        if not rows.any():
            return {}
        chosen = torch.from_numpy(np.flatnonzero(rows))
        if self.collector.by_pair and len(chosen) == 1:
            chosen = chosen.repeat(2)  # RecBole takes one pair for a number; the figures of two equal ones are the same
        part = DataStruct()
        for key, value in dataobject._data_dict.items():
            by_row = key.startswith("rec.") or key == "data.label"
            part.set(key, value[chosen] if by_row else value)
        return {name: float(value) for name, value in super().evaluate(part).items()}


class Owners:
    """Takes the place of RecBole's collector and remembers whose each row of what is collected is.

    A row is a user where users' lists are ranked, a sequence in a sequential data set, and a pair where scores are compared
    with labels.

    Args:
        collector: RecBole's collector, which gets everything.
        uid_field: Name of the user column.
        by_pair: Whether a row is a pair.
        by_sequence: Whether a row is a sequence, of which a user may have several.
    """

    def __init__(self, collector: Any, uid_field: str, by_pair: bool, by_sequence: bool) -> None:
        self.collector, self.uid_field, self.by_pair, self.by_sequence = collector, uid_field, by_pair, by_sequence
        self.parts_of_owners: list[Tensor] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.collector, name)

    def eval_batch_collect(self, scores: Tensor, interaction: Any, rows: Any, items: Any) -> None:
        """Take the scores of a batch, in which the rows of a user stand side by side."""
        users = interaction[self.uid_field].cpu()
        each = self.by_pair or self.by_sequence
        self.parts_of_owners.append(users if each else users.unique_consecutive())
        self.collector.eval_batch_collect(scores, interaction, rows, items)

    @property
    def owners(self) -> np.ndarray:
        """User id of each row so far."""
        return torch.cat(self.parts_of_owners).numpy()


def evaluate_by_group(
    unlearner: Any, train_data: Any, eval_data: Any, withdrawn_users: np.ndarray, withdrawn_items: np.ndarray
) -> tuple[dict[str, dict[str, float]], RankedLists | None]:
    """Evaluate a model for retained, withdrawn and all users, as ``eval_args`` says; all items are scored at most once.

    Args:
        unlearner: The Unlearner with the model.
        train_data: A dataloader of the retained rows, which metrics such as AveragePopularity count.
        eval_data: RecBole's dataloader of the test rows, whose history is the retained rows. Where it draws negatives, they
            are the same in each call.
        withdrawn_users: User id of each withdrawn row, shape [withdrawn rows].
        withdrawn_items: Its item id.

    Returns:
        ``{"retained": {"ndcg@10": ...}, "withdrawn": {...}, "all": {...}}``, and the lists that the model serves, or None
        where not all items were ranked.
    """
    config, recboles = unlearner.config, (unlearner.evaluator, unlearner.eval_collector)
    is_full = isinstance(eval_data, FullSortEvalDataLoader)
    field = eval_data._dataset.uid_field
    listener = Listener(unlearner.eval_collector, field, withdrawn_users, withdrawn_items) if is_full else None
    by_pair, by_sequence = config["eval_type"] == EvaluatorType.VALUE, is_full and eval_data.is_sequential
    collector = Owners(listener or unlearner.eval_collector, field, by_pair, by_sequence)
    unlearner.eval_collector.data_collect(train_data)
    unlearner.evaluator, unlearner.eval_collector = GroupEvaluator(config, collector, withdrawn_users), collector
    if not is_full:
        init_seed(config["seed"], config["reproducibility"])
    try:
        figures = unlearner.evaluate(eval_data, show_progress=config["show_progress"])
    finally:
        unlearner.evaluator, unlearner.eval_collector = recboles
    return figures, None if listener is None else listener.served


def popularity_model(config: Any, dataset: Any) -> Pop:
    """Return RecBole's Pop, fitted on the training part of a data set by counting."""
    rows = dataset.interactions()
    model = Pop(config, dataset).to(config["device"])
    counts = np.bincount(rows.items, minlength=len(rows.item_tokens))
    model.item_cnt = torch.from_numpy(counts).unsqueeze(1).to(config["device"])
    model.max_cnt = model.item_cnt.max(dim=0)[0]
    return model
