"""RecBole's data set, split once, with views that lack the withdrawn rows."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import torch
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction

from recbole_unlearn.data.remembering import RememberingDataset
from recbole_unlearn.data.withdrawal import Interactions, Withdrawal
from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.lineage.ledger import NOTHING_WITHDRAWN


class WithdrawalDataset(RememberingDataset):
    """A RecBole data set whose split outlives a withdrawal.

    ``build`` splits once and remembers the parts. ``without(withdrawal)`` is the same data set whose parts lack the
    withdrawn rows: same ids, same table sizes, the other rows where they were. RecBole's ``data_preparation``,
    samplers, dataloaders and evaluators take either as they are. ``anchor`` is the place in the ledger up to which
    withdrawals are known here.
    """

    _parts: list[Dataset] | None = None
    _gone: np.ndarray = np.array([], dtype=np.int64)
    anchor: dict[str, Any] = NOTHING_WITHDRAWN

    def build(self) -> list[Dataset]:
        """Return the train, valid and test parts; the first call splits as RecBole does, later ones return the same."""
        if self._parts is None:
            self._parts = super().build()
        return list(self._parts)

    @property
    def withdrawn_users(self) -> np.ndarray:
        """Ids of the users whose last training row had left when the data set was loaded."""
        if not self.is_kept:
            return self._gone
        train, *held_out = (np.asarray(part.inter_feat[self.uid_field]) for part in self.build())
        gone = [place for place, token in enumerate(self.field2id_token[self.uid_field]) if _is_gone(token, place)]
        return np.setdiff1d(np.concatenate([gone, *held_out]).astype(np.int64), train)

    @property
    def digest(self) -> str:
        """SHA-256 of the rows of each part, in any order, and of the tokens that they name; other ids do not count."""
        found = hashlib.sha256()
        rows = [self.interactions(part) for part in range(3)]
        for part in rows:
            # RecBole's evaluation dataloaders sort the held-out parts in place.
            found.update(np.int64(len(part.users)).tobytes() + np.sort(part.pair_keys()).tobytes())
        for tokens, ids in (
            (rows[0].user_tokens, np.concatenate([part.users for part in rows])),
            (rows[0].item_tokens, np.concatenate([part.items for part in rows])),
        ):
            found.update(json.dumps(tokens[np.flatnonzero(np.bincount(ids))].tolist()).encode())
        return found.hexdigest()

    def interactions(self, part: int = 0) -> Interactions:
        """Return the rows of a part (0 train, 1 valid, 2 test) with the tokens of their ids."""
        return _rows(self.build()[part])

    def without(self, withdrawal: Withdrawal) -> WithdrawalDataset:
        """Return this data set after a withdrawal: scope ``train`` drops training rows, ``all`` rows of every part.

        Rows of withdrawn items leave every part under either scope, since such an item is ranked no more.
        """
        train, *held_out = self.build()
        parts = [_keep(train, ~withdrawal.forget)]
        for part in held_out:
            if len(part) and (withdrawal.scope == "all" or len(withdrawal.items)):
                rows = _rows(part)
                gone = _named(withdrawal, rows) if withdrawal.scope == "all" else np.isin(rows.items, withdrawal.items)
                part = _keep(part, ~gone)
            parts.append(part)
        view = self._with_parts(parts)
        view.withdrawn_items = np.union1d(self.withdrawn_items, withdrawal.items)
        return view

    def where(self, masks: list[np.ndarray]) -> WithdrawalDataset:
        """Return this data set with only some rows of each part, from one mask of shape [rows] per part."""
        view = self._with_parts([_keep(part, mask) for part, mask in zip(self.build(), masks, strict=True)])
        view._gone = np.setdiff1d(self.interactions().users, view.interactions().users)
        return view

    def _with_parts(self, parts: list[Dataset]) -> WithdrawalDataset:
        view = self.copy(parts[0].inter_feat)
        view._parts = parts
        return view


def _is_gone(token: str, place: int) -> bool:
    return token == f"[withdrawn {place}]"


def _rows(part: Dataset) -> Interactions:
    users, items = part.uid_field, part.iid_field
    feat = part.inter_feat
    return Interactions(
        users=np.asarray(feat[users]),
        items=np.asarray(feat[items]),
        user_tokens=part.field2id_token[users],
        item_tokens=part.field2id_token[items],
        user_index=part.field2token_id[users],
        item_index=part.field2token_id[items],
        labels=_labels(part),
    )


def _labels(part: Dataset) -> np.ndarray | None:
    """Return explicit labels, where rows are trained on them and no negatives are drawn."""
    sampled = part.config["train_neg_sample_args"]["distribution"] != "none"
    if sampled or part.label_field not in part.inter_feat:
        return None
    labels = np.asarray(part.inter_feat[part.label_field], dtype=np.float64)
    if labels.size and not (labels.min() >= 0 and labels.max() <= 1):
        raise ConfigError(
            f"labels {part.label_field!r} lie between {labels.min():g} and {labels.max():g}; a logistic loss takes 0 to 1: "
            f"set threshold, or normalize_field: [{part.label_field}]"
        )
    return labels


def _keep(part: Dataset, mask: np.ndarray) -> Dataset:
    # Interaction.__getitem__ turns the index into a Python list: 30 ms for 50,000 rows instead of 1.
    chosen = torch.from_numpy(np.flatnonzero(mask))
    return part.copy(Interaction({field: values[chosen] for field, values in part.inter_feat.interaction.items()}))


def _named(withdrawal: Withdrawal, rows: Interactions) -> np.ndarray:
    """Return which rows of another part than train the request names."""
    named = np.isin(rows.users, withdrawal.users) | np.isin(rows.items, withdrawal.items)
    pairs = withdrawal.request.pair_tokens
    if pairs:
        users, items = rows.user_ids(user for user, _ in pairs), rows.item_ids(item for _, item in pairs)
        named |= np.isin(rows.pair_keys(), rows.pair_keys(users, items))
    return named
