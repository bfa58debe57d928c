"""Worlds in which it is known what the items remember of whom."""

import math

import numpy as np
import torch
from torch import nn

from recbole_unlearn.data.interactions import Interactions
from recbole_unlearn.evaluator.halves import halves_of
from recbole_unlearn.evaluator.mio import Rows
from recbole_unlearn.evaluator.refit import RefitQuestion, refit_oracle

USERS, ITEMS, DIMS, GONE = 60, 400, 32, 30


class BPR(nn.Module):
    """Items that are what a test says; the adapter finds the model by its name."""

    def __init__(self, items):
        super().__init__()
        self.user_embedding = nn.Embedding(USERS + 1, items.shape[1])
        self.item_embedding = nn.Embedding.from_pretrained(torch.as_tensor(items, dtype=torch.float32), freeze=False)


class World:
    """Users like items by taste, and a random half of what they like is their training part.

    ``items(kept)`` are the vectors of a training in which each user of ``kept`` pulled its training items towards a direction
    of its own, as gradient descent does; test items were pulled by nobody.
    """

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.base = rng.normal(size=(ITEMS + 1, DIMS)) / math.sqrt(DIMS)
        tastes = rng.normal(size=(USERS, DIMS))
        liked = np.argsort(-(self.base[1:] @ tastes.T + 0.5 * rng.normal(size=(ITEMS, USERS))), axis=0)[:40].T + 1
        liked = rng.permuted(liked, axis=1)
        users = np.repeat(np.arange(1, USERS + 1), 20)
        self.train, self.test = Rows(users, liked[:, :20].ravel()), Rows(users, liked[:, 20:].ravel())
        self.pulls = rng.normal(size=(USERS + 1, DIMS)) / math.sqrt(DIMS)
        tokens = [
            np.array(["[PAD]", *(f"{kind}{n}" for n in range(size))]) for kind, size in (("u", USERS), ("i", ITEMS))
        ]
        self.table = Interactions(self.train.users, self.train.items, *tokens, {}, {})

    def items(self, kept, strength=0.4):
        found = self.base.copy()
        rows = np.isin(self.train.users, kept)
        np.add.at(found, self.train.items[rows], strength * self.pulls[self.train.users[rows]])
        return found

    def halves(self, users, **changes):
        known = Rows(
            *(np.concatenate([getattr(part, ids) for part in (self.train, self.test)]) for ids in ("users", "items"))
        )
        group = self.train.where(np.isin(self.train.users, users))
        return halves_of(
            **{
                "group": group,
                "test": self.test,
                "known": known,
                "table": self.table,
                "negatives": 4,
                "seed": 1,
                **changes,
            }
        )

    @property
    def question(self):
        return RefitQuestion(self.halves(WITHDRAWN), self.halves(RETAINED, most=GONE), calibrated=True)


WITHDRAWN, RETAINED = np.arange(1, GONE + 1), np.arange(GONE + 1, USERS + 1)
EVERYBODY = np.arange(1, USERS + 1)


def told(world, **models):
    return {name: {"mio": {"refit": refit_oracle(BPR(items), world.question, 1)}} for name, items in models.items()}
