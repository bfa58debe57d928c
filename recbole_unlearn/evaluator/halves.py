"""Divides each user's withdrawn rows into the two halves that the refit oracle fits and scores."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from recbole_unlearn.arrays.sets import Taken
from recbole_unlearn.data.frozen import frozen_negatives, row_keys, token_keys
from recbole_unlearn.data.interactions import Interactions
from recbole_unlearn.evaluator.mio import Rows
from recbole_unlearn.influence.rows import LossRows

LEAST_ROWS = 4  # withdrawn rows of a user who can be asked: two in each half
LEAST_TEST_ROWS = 2


@dataclass(frozen=True)
class Halves:
    """The question to a group of users; a user has two blocks, each fitted to one half and asked about the other one.

    Args:
        users: Ids of the users who can be asked, ascending, shape [users].
        fitted: What the rows are fitted to, pairs of one half (1) and its negatives (0). ``users`` holds the number of the
            block: 2 u for the first half of ``users[u]``, 2 u + 1 for the second.
        asked: What is scored, the other half (1) and the user's test rows (0), with the number of the block.
        candidates: How many users the group has, those included who have too few rows to be asked.
    """

    users: np.ndarray
    fitted: LossRows
    asked: LossRows
    candidates: int

    @cached_property
    def owners(self) -> np.ndarray:
        """Number of the user of each asked row, shape [asked]."""
        return self.asked.users.numpy() // 2


def halves_of(
    group: Rows, test: Rows, known: Rows, table: Interactions, negatives: int, seed: int, most: int | None = None
) -> Halves:
    """Draw the question: who can be asked, which half is which, and the negatives.

    A pair that occurs more than once counts once; one that is in both parts is left out of both. Every draw
    is a hash of the seed and the tokens, so that it depends neither on the model nor on other users.

    Args:
        group: Training pairs of the users to ask about: withdrawn ones, or retained ones as the control.
        test: Test pairs of everybody.
        known: All pairs of all parts: no negative is one of them.
        table: The tokens of the ids.
        negatives: Negatives for each fitted pair.
        seed: Seed of every draw.
        most: Users to ask at most, the first by a hash of their tokens; none: all.

    Raises:
        RequestError: A user has every item, so that no negative can be drawn.
    """
    trained, tested = _without_common(group, test, len(table.item_tokens))
    rows, tests = (np.bincount(pairs.users, minlength=len(table.user_tokens)) for pairs in (trained, tested))
    users = np.flatnonzero((rows >= LEAST_ROWS) & (tests >= LEAST_TEST_ROWS))
    keys = token_keys(table.user_tokens[users], seed)
    if most is not None:
        kept = np.sort(np.argsort(keys, kind="stable")[:most])
        users, keys = users[kept], keys[kept]
    trained, tested = (pairs.where(np.isin(pairs.users, users)) for pairs in (trained, tested))
    place = np.searchsorted(users, trained.users)
    item_keys = token_keys(table.item_tokens, seed)
    pair_keys = row_keys(keys[place], item_keys[trained.items])
    half = _halves(place, pair_keys)
    known = known.where(np.isin(known.users, users))
    taken = Taken(known.users, known.items, len(table.item_tokens), np.array([], dtype=np.int64))
    drawn = frozen_negatives(pair_keys, trained.users, taken, negatives)
    block = 2 * place + half
    fitted = [(block, trained.items, 1.0), (np.repeat(block, negatives), drawn.reshape(-1), 0.0)]
    of_test = 2 * np.searchsorted(users, tested.users)
    asked = [(2 * place + 1 - half, trained.items, 1.0), (of_test, tested.items, 0.0), (of_test + 1, tested.items, 0.0)]
    return Halves(users, _loss_rows(fitted), _loss_rows(asked), len(np.unique(group.users)))


def _without_common(group: Rows, test: Rows, n_items: int) -> tuple[Rows, Rows]:
    """Return the distinct pairs of each that are not in the other one."""
    keys = [np.unique(rows.users.astype(np.int64) * n_items + rows.items) for rows in (group, test)]
    parts = (np.setdiff1d(keys[0], keys[1]), np.setdiff1d(keys[1], keys[0]))
    trained, tested = (Rows(*np.divmod(part, n_items)) for part in parts)
    return trained, tested


def _halves(place: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Return 0 or 1 for each pair: of a user with n pairs, the n // 2 of the smallest keys are the first half."""
    order = np.lexsort((keys, place))
    counts = np.bincount(place)
    rank = np.arange(len(place)) - np.repeat(np.cumsum(counts) - counts, counts)
    half = np.empty(len(place), dtype=np.int64)
    half[order] = rank >= np.repeat(counts // 2, counts)
    return half


def _loss_rows(parts: list[tuple[np.ndarray, np.ndarray, float]]) -> LossRows:
    blocks, items = (torch.from_numpy(np.concatenate([part[column] for part in parts])) for column in (0, 1))
    targets = torch.cat([torch.full((len(block),), label) for block, _, label in parts])
    return LossRows(blocks, items, None, targets, torch.ones(len(blocks)))
