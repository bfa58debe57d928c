"""Assigns roles in worlds: in a block each target is once trained and kept, once forgotten, once never trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recbole_unlearn.data.frozen import row_keys, token_keys

IN, FORGET, OUT = 0, 1, 2
BLOCK = 3  # worlds of a block: one for each role
SHARE = 0.15  # of the users, so that a third of them, 5 %, leaves in each world
_ORDERS = np.array([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]], dtype=np.int8)


def draw_targets(tokens: Sequence[str], seed: int, share: float = SHARE) -> np.ndarray:
    """Draw the people who change their role from world to world; all others are trained in all worlds.

    The draw is a keyed hash of seed and token: other users do not change who is drawn.

    Args:
        tokens: Tokens of those who may be drawn, shape [users].
        seed: Seed of the audit.
        share: Share of the users, in (0, 1].

    Returns:
        Their positions in ``tokens``, ascending; the ``share`` of the users with the smallest hashes, rounded.

    Example:
        >>> len(draw_targets([f"user {number}" for number in range(40)], seed=1))
        6
    """
    keys = token_keys(tokens, seed)
    return np.sort(np.argsort(keys, kind="stable")[: round(share * len(keys))])


def draw_roles(tokens: Sequence[str], seed: int, worlds: int) -> np.ndarray:
    """Draw the role of each target in each world; in every block of three worlds a target has each role once.

    The order of the roles in a block is one of six, by a keyed hash of seed, block and token. So targets are independent
    of each other, each role has a third of each world on average, and more worlds leave the roles in the first ones as
    they are.

    Args:
        tokens: Tokens of the targets, shape [targets].
        seed: Seed of the audit.
        worlds: How many worlds; rounded up to whole blocks.

    Returns:
        ``IN``, ``FORGET`` or ``OUT``, shape [worlds, targets].

    Example:
        >>> sorted(draw_roles(["196"], seed=1, worlds=3)[:, 0].tolist())
        [0, 1, 2]
    """
    blocks = -(-worlds // BLOCK)
    of_blocks = token_keys([f"block {number}" for number in range(blocks)], seed)
    keys = row_keys(token_keys(tokens, seed)[None, :], of_blocks[:, None])
    orders = _ORDERS[(keys % np.uint64(len(_ORDERS))).astype(np.int64)]  # [blocks, targets, 3]
    return orders.transpose(0, 2, 1).reshape(blocks * BLOCK, len(tokens))


def by_role(values: np.ndarray, roles: np.ndarray) -> np.ndarray:
    """Sort what was measured in each world by role.

    Args:
        values: A figure for each column in each world, shape [worlds, columns].
        roles: The role that the column's target has there, shape [worlds, columns]; whole blocks.

    Returns:
        Shape [3, blocks, columns]: the value of the block's world in which the target is IN, FORGET and OUT.

    Example:
        >>> by_role(np.array([[1.0], [2.0], [3.0]]), np.array([[OUT], [IN], [FORGET]])).ravel().tolist()
        [2.0, 3.0, 1.0]
    """
    worlds, columns = values.shape
    in_blocks = values.reshape(worlds // BLOCK, BLOCK, columns)
    order = np.argsort(roles.reshape(in_blocks.shape), axis=1)
    return np.take_along_axis(in_blocks, order, axis=1).transpose(1, 0, 2)
