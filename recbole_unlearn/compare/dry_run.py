"""`--dry_run=True`: shows what a request would withdraw; trains and writes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.request import Withdrawal
from recbole_unlearn.data.utils import data_preparation
from recbole_unlearn.methods import UnlearnMethod
from recbole_unlearn.methods.sisa import SISA
from recbole_unlearn.model.trainers import batches, first_loss
from recbole_unlearn.shards.partition import partition

_BATCHES = 5


def what_would_go(
    data: WithdrawalDataset, withdrawal: Withdrawal, methods: Iterable[UnlearnMethod], assignment: Any = None
) -> dict[str, Any]:
    """Return which rows a withdrawal would remove.

    Args:
        data: The data set before it.
        withdrawal: The request, resolved.
        methods: The methods that would carry it out; for those with shards, the shards to train again are counted.
        assignment: Shard of each training row of a trained ensemble; by default the partition of each method.

    Returns:
        ``users`` (named as a whole, and all who lose rows), ``items``, ``interactions``, ``rows`` (lost by each part), and
        ``shards`` (of each method with shards, how many of how many would be trained anew).
    """
    rows, request, forget = data.interactions(), withdrawal.request, withdrawal.forget
    after = data.without(withdrawal)
    lost = [len(before) - len(left) for before, left in zip(data.build(), after.build(), strict=True)]
    shards = {}
    for method in methods:
        if isinstance(method, SISA):
            count = method.shard_count
            of_row = (
                assignment
                if assignment is not None
                else partition(rows, method.partition_kind, count, int(data.config["seed"]))
            )
            shards[method.name] = [len(np.unique(of_row[forget])), int(count)]
    return {
        "scope": withdrawal.scope,
        "users": {"named": len(request.user_tokens), "lose_rows": len(np.unique(rows.users[forget]))},
        "items": len(request.item_tokens),
        "interactions": len(request.pair_tokens),
        "rows": dict(zip(("train", "valid", "test"), lost, strict=True)),
        "of_rows": len(forget),
        "shards": shards,
    }


def seconds_of_training(config: Any, data: WithdrawalDataset, model: Any) -> float:
    """Return about how long the training of the config takes: that of a few batches, times all.

    Early stopping, evaluation and other load are not included.
    """
    train_data, _, _ = data_preparation(config, data)
    optimizer = torch.optim.Adam(model.parameters(), lr=config["learning_rate"])
    seconds, last = [], time.perf_counter()
    for batch, interaction in enumerate(batches(train_data)):
        optimizer.zero_grad()
        loss = first_loss(model, interaction.to(config["device"]))
        torch.as_tensor(sum(loss) if isinstance(loss, tuple) else loss).backward()
        optimizer.step()
        seconds.append(time.perf_counter() - last)
        last = time.perf_counter()
        if batch == _BATCHES:
            break
    return float(np.median(seconds[1:] or seconds)) * len(train_data) * int(config["epochs"])


def render_plan(plan: Mapping[str, Any]) -> str:
    """Return a plan as lines for the terminal."""
    users, rows = plan["users"], plan["rows"]
    lines = [
        f"would forget (scope {plan['scope']}): {users['named']} whole users, {plan['items']} whole items, "
        f"{plan['interactions']} single interactions",
        f"rows that leave: {rows['train']:,} of {plan['of_rows']:,} for training, {rows['valid']:,} for validation, "
        f"{rows['test']:,} for test; {users['lose_rows']:,} users lose training rows",
    ]
    for name, (touched, count) in plan["shards"].items():
        lines.append(f"{name} would train {touched} of {count} shards anew")
    if plan.get("seconds_of_training") is not None:
        lines.append(
            f"training takes about {plan['seconds_of_training']:,.0f} s here (by a few batches; without evaluation), and so "
            f"does Retrain; how long other methods take is only known once they ran"
        )
    else:
        lines.append("how long it takes is not known beforehand")
    return "\n".join([*lines, "nothing was written"])
