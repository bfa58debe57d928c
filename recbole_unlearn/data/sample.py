"""How a withdrawal request is drawn from the training rows, for experiments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from recbole_unlearn.data.interactions import Interactions
from recbole_unlearn.data.tokens import pairs_of, tokens_of
from recbole_unlearn.exceptions import RequestError, suggest


class Drawn(NamedTuple):
    """What was drawn, in tokens; any of the three may be empty.

    Args:
        users: Whole users.
        items: Whole items.
        pairs: Single (user, item) interactions.
    """

    users: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Sample:
    """How a request is drawn from the training rows.

    ``rand``: all rows of ``alpha`` per cent of the users, at random; ``core``: of the most active; ``edge``: of the least
    active; ``interactions``: ``alpha`` per cent of the (user, item) pairs; and what was added to ``SAMPLES``.

    Raises:
        RequestError: A value is not allowed.
    """

    kind: str
    alpha: float
    seed: int

    def __post_init__(self) -> None:
        alpha, seed, kind = self.alpha, self.seed, self.kind
        if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha < 100:
            raise RequestError(f"alpha is {_shown(alpha)}; it is a share in per cent, strictly between 0 and 100")
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise RequestError(f"seed is {_shown(seed)}; it is a whole number, 0 or more")
        if not isinstance(kind, str) or kind not in SAMPLES:
            raise RequestError(
                f"the sample's kind is not known;{suggest(str(kind), SAMPLES)} allowed: {', '.join(SAMPLES)}"
            )
        object.__setattr__(self, "alpha", float(alpha))

    @classmethod
    def of(cls, given: Any) -> Sample:
        """Return the sample that a dict describes, as it stands in a request file."""
        if not isinstance(given, dict) or not {"alpha", "seed"} <= given.keys():
            raise RequestError("`sample` must hold kind, alpha and seed, and be an object")
        return cls(given.get("kind", "rand"), given["alpha"], given["seed"])

    def draw(self, rows: Interactions) -> Drawn:
        """Draw from the training rows; the same seed draws the same."""
        return SAMPLES[self.kind](rows, self.alpha, np.random.default_rng(self.seed))


def _users(rows: Interactions, alpha: float, rng: np.random.Generator, order: int = 0) -> Drawn:
    """Draw users: at random, or by their number of rows, the most first (order -1) or the fewest first (order 1)."""
    ids, counts = np.unique(rows.users, return_counts=True)
    # Sorted by token, so that the draw does not depend on how the data set numbers its users.
    by_token = np.argsort(rows.user_tokens[ids].astype(str))
    ids, counts = ids[by_token], counts[by_token]
    shuffled = rng.permutation(len(ids))
    if order:
        shuffled = shuffled[np.argsort(order * counts[shuffled], kind="stable")]
    chosen = ids[np.sort(shuffled[: _count(alpha, len(ids))])]
    return Drawn(users=tokens_of(rows.user_tokens[chosen], "user"))


def _interactions(rows: Interactions, alpha: float, rng: np.random.Generator) -> Drawn:
    pairs = np.unique(rows.pair_keys())
    chosen = np.sort(rng.choice(pairs, _count(alpha, len(pairs)), replace=False))
    users, items = rows.split_pair_keys(chosen)
    return Drawn(pairs=pairs_of(zip(rows.user_tokens[users], rows.item_tokens[items], strict=True)))


SAMPLES: dict[str, Callable[[Interactions, float, np.random.Generator], Drawn]] = {
    "rand": _users,
    "core": partial(_users, order=-1),
    "edge": partial(_users, order=1),
    "interactions": _interactions,
}


def _count(alpha: float, total: int) -> int:
    return max(1, round(alpha / 100 * total))


def _shown(setting: object) -> str:
    """Return a number as it is; whatever stands in its place in a file might be a person."""
    return str(setting) if isinstance(setting, int | float) else f"of type {type(setting).__name__}"
