"""What a model tells of users, or items: their rows, and their scores with others that are drawn."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from recbole_unlearn.attributes.groups import Groups
from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.influence.rows import LossRows
from recbole_unlearn.model.adapter import InfluenceAdapter, Tensors, read_rows

_OTHERS = 200  # more than most embeddings have dimensions: what a score tells, these tell
_MEMBERS = 1024  # whose scores are computed at a time
LARGEST_SEED = (1 << 32) - 1  # that scikit-learn takes


def tables_of(adapter: InfluenceAdapter, groups: Groups) -> list[nn.Embedding]:
    """Return the tables with a row for each member: also those that no score reads."""
    return [*adapter.user_tables, *adapter.beside_tables] if groups.of_users else adapter.item_tables


def others_of(adapter: InfluenceAdapter, groups: Groups, seed: int) -> Tensor:
    """Return the ids, shape [others], of items (or users) whose scores with the members are looked at."""
    number = adapter.model.n_items if groups.of_users else adapter.model.n_users
    known = np.arange(1, number)
    drawn = np.random.default_rng(seed).choice(known, min(_OTHERS, len(known)), replace=False)
    return torch.from_numpy(np.sort(drawn))


def scores(adapter: InfluenceAdapter, encoded: Tensors, members: Tensor, others: Tensor, of_users: bool) -> Tensor:
    """Return the logit s of each member and each other, shape [members, others]."""
    first, second = members.repeat_interleave(len(others)), others.repeat(len(members))
    users, items = (first, second) if of_users else (second, first)
    ones = torch.ones(len(users), device=users.device)
    return adapter.score(encoded, LossRows(users, items, None, ones, ones)).view(len(members), len(others))


@torch.no_grad()
def read_views(adapter: InfluenceAdapter, groups: Groups, seed: int) -> Mapping[str, np.ndarray]:
    """Return ``rows``, shape [members, dims], and ``scores``, shape [members, others], of a model as it is."""
    adapter.model.eval()
    rows = member_rows(adapter, groups)
    device = adapter.user_tables[0].weight.device
    members, others = torch.from_numpy(groups.ids).to(device), others_of(adapter, groups, seed).to(device)
    encoded = adapter.encode({name: parameter.detach() for name, parameter in adapter.model.named_parameters()})
    found = [scores(adapter, encoded, part, others, groups.of_users) for part in members.split(_MEMBERS)]
    return {"rows": rows, "scores": torch.cat(found).cpu().numpy()}


def member_rows(adapter: InfluenceAdapter, groups: Groups) -> np.ndarray:
    """Return the embeddings of the members, their tables side by side, shape [members, dims].

    Raises:
        ConfigError: One of them is no finite number.
    """
    tables = tables_of(adapter, groups)
    rows = read_rows(tables, torch.from_numpy(groups.ids).to(tables[0].weight.device)).double().cpu().numpy()
    broken = int((~np.isfinite(rows)).any(axis=1).sum())
    if broken:
        raise ConfigError(
            f"{broken} of {len(rows)} embeddings hold values that are no finite numbers; train the model anew"
        )
    return rows
