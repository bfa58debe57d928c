"""P3, utility: RecBole's evaluators, by group of users, under one mask rule.

After a withdrawal every model, the original too, is evaluated with the retained history masked and the same test rows.
Withdrawn pairs may then be ranked: whether they are is a figure of forgetting, not of the mask.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from recbole.evaluator import Evaluator
from recbole.evaluator.collector import DataStruct
from recbole.model.general_recommender.pop import Pop

from recbole_unlearn.evaluator.ranked_lists import Listener, RankedLists

GROUPS = ("retained", "withdrawn", "all")


class GroupEvaluator(Evaluator):
    """RecBole's Evaluator, which also evaluates subsets of the users from the same ranking.

    Args:
        config: RecBole's Config.
        groups: For each group, which rows of the evaluation dataloader belong to it, bool, shape [evaluated users].
    """

    def __init__(self, config: Any, groups: Mapping[str, np.ndarray]) -> None:
        super().__init__(config)
        self.groups = groups

    def evaluate(self, dataobject: DataStruct) -> dict[str, dict[str, float]]:
        """Return RecBole's metrics for each group; empty for a group of no user."""
        return {name: self._evaluate_rows(dataobject, rows) for name, rows in self.groups.items()}

    def _evaluate_rows(self, dataobject: DataStruct, rows: np.ndarray) -> dict[str, float]:
        if not rows.any():
            return {}
        chosen = torch.from_numpy(rows)
        part = DataStruct()
        for key, value in dataobject._data_dict.items():
            per_user = key.startswith("rec.") and isinstance(value, torch.Tensor)
            part.set(key, value[chosen] if per_user else value)
        return {name: float(value) for name, value in super().evaluate(part).items()}


def evaluate_by_group(
    unlearner: Any, eval_data: Any, withdrawn_users: np.ndarray, withdrawn_items: np.ndarray
) -> tuple[dict[str, dict[str, float]], RankedLists]:
    """Evaluate a model for retained, withdrawn and all users, and keep what it serves them: all items are scored once.

    Args:
        unlearner: The Unlearner with the model.
        eval_data: A full-sort dataloader whose history is the retained rows.
        withdrawn_users: User id of each withdrawn row, shape [withdrawn rows].
        withdrawn_items: Its item id.

    Returns:
        ``{"retained": {"ndcg@10": ...}, "withdrawn": {...}, "all": {...}}``, and the lists.
    """
    users = eval_data._dataset.inter_feat[eval_data.uid_field] if eval_data.is_sequential else eval_data.uid_list
    is_withdrawn = np.isin(users.numpy(), withdrawn_users)
    groups = {"retained": ~is_withdrawn, "withdrawn": is_withdrawn, "all": np.ones_like(is_withdrawn)}
    recboles = unlearner.evaluator, unlearner.eval_collector
    listener = Listener(unlearner.eval_collector, eval_data.uid_field, withdrawn_users, withdrawn_items)
    unlearner.evaluator, unlearner.eval_collector = GroupEvaluator(unlearner.config, groups), listener
    try:
        figures = unlearner.evaluate(eval_data, show_progress=unlearner.config["show_progress"])
    finally:
        unlearner.evaluator, unlearner.eval_collector = recboles
    return figures, listener.served


def popularity_model(config: Any, dataset: Any) -> Pop:
    """Return RecBole's Pop, fitted on the training part of a data set by counting."""
    rows = dataset.interactions()
    model = Pop(config, dataset).to(config["device"])
    counts = np.bincount(rows.items, minlength=len(rows.item_tokens))
    model.item_cnt = torch.from_numpy(counts).unsqueeze(1).to(config["device"])
    model.max_cnt = model.item_cnt.max(dim=0)[0]
    return model
