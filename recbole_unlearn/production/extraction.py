"""Asks the refit oracle about the users who leave, for receipts, and carries out rehearsals.

The rows of who left are gone afterwards, so nobody can measure them on a later model. A rehearsal takes retained users out
of a copy of the model in the same way instead: their rows are there, and the copy is thrown away.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.interactions import Interactions
from recbole_unlearn.data.request import Withdrawal, WithdrawalRequest
from recbole_unlearn.evaluator.halves import Halves, halves_of
from recbole_unlearn.evaluator.mio import Rows
from recbole_unlearn.evaluator.refit import LEAST_USERS, NEGATIVES, group_figures
from recbole_unlearn.exceptions import RequestError
from recbole_unlearn.lineage.receipt import as_range
from recbole_unlearn.methods import UnlearnMethod
from recbole_unlearn.trainer import Unlearner

# An exact figure can tell who it was: whoever holds the old model and the old rows can compute everybody's.
_STEP_OF_FEW, _STEP = 0.05, 0.01
_SHARE = 10  # a rehearsal takes out a tenth of the users at most


class Look:
    """Asks the refit oracle about a request before it is carried out; ``after`` asks about the unlearned model.

    Args:
        unlearner: Before the withdrawal.
        request: What the model knows of it, resolved or not.
    """

    def __init__(self, unlearner: Unlearner, request: WithdrawalRequest | Withdrawal) -> None:
        self._unlearner, self._seed = unlearner, unlearner.config["seed"]
        dataset = unlearner.dataset
        assert dataset is not None
        rows = dataset.interactions()
        withdrawal = request.resolve(rows, "all")
        forget = withdrawal.forget
        left = np.unique(rows.users[forget])
        self._names_users = withdrawal.request.kind == "users"
        is_whole = not np.isin(rows.users[~forget], left).any() and self._names_users
        self._calibrated = bool(is_whole and unlearner.config["eval_args"]["order"] == "RO")
        try:
            self._halves: Halves | None = question(dataset, forget, self._seed)
        except RequestError:
            self._halves = None
        self._of, self._before = len(left), self._read()

    def _read(self) -> dict[str, Any]:
        if self._halves is None:
            return {
                "auc": None,
                "reason": "a user has rows with every item, so that no negative can be drawn",
            }
        return rounded(group_figures(self._unlearner.model, self._halves, self._seed))

    def after(self) -> dict[str, Any]:
        """Return what goes into the ledger's row.

        Returns:
            ``before`` and ``after``: AUC and, of 5 users or more, its 95 % interval, to the nearest .01, of fewer users to
            the nearest .05; ``users``, of how many, ``of`` how many who lost rows, as ranges unless whole users are named;
            ``calibrated``: .5 means nothing.
        """
        numbers = {"users": 0 if self._halves is None else len(self._halves.users), "of": self._of}
        reading: dict[str, Any] = {"before": self._before, "after": self._read(), "calibrated": self._calibrated}
        # How many people share an item can tell which item it was.
        return reading | (
            numbers if self._names_users else {name: as_range(number) for name, number in numbers.items()}
        )


def question(dataset: WithdrawalDataset, group: np.ndarray, seed: int, most: int | None = None) -> Halves:
    """Return the refit oracle's question about some training rows of a data set, bool, shape [rows].

    They are compared with the user's validation and test rows, on which the model was not trained.
    """
    parts = [dataset.interactions(part) for part in range(3)]
    known, held_out = (
        Rows(*(np.concatenate([getattr(part, ids) for part in some]) for ids in ("users", "items")))
        for some in (parts, parts[1:])
    )
    chosen = Rows(parts[0].users[group], parts[0].items[group])
    return halves_of(chosen, held_out, known, parts[0], NEGATIVES, seed, most)


def rehearsal(unlearner: Unlearner, method: UnlearnMethod, users: int, draw: int) -> dict[str, Any]:
    """Withdraw retained users from a copy of a model by a method, and return the refit oracle's AUC for them.

    Args:
        unlearner: With the model as it is served; it is not changed.
        method: What is rehearsed, such as RetrainSVD.
        users: How many are withdrawn at most; at most a tenth of those who can be asked.
        draw: Number of the draw; another number draws other users.

    Returns:
        ``users``; ``before`` and ``after``, for the users who were withdrawn, on the model and on the copy; ``control``, for
        as many others, on the copy: if it is not above .5, the copy shows no user at all, and ``after`` has no meaning.
        Or ``reason``.
    """
    dataset = unlearner.dataset
    assert dataset is not None
    rows, seed = dataset.interactions(), unlearner.config["seed"] + draw
    ask = partial(question, dataset, seed=seed)
    try:
        everybody = ask(np.ones(len(rows.users), dtype=bool)).users
        number = min(users, len(everybody) // _SHARE)
        if number < LEAST_USERS:
            return {"reason": f"{number} users could be taken out for it, and {LEAST_USERS} are needed"}
        shuffled = np.random.default_rng(seed).permutation(everybody)
        taken_out, others = (ask(rows.of_users(part)) for part in (shuffled[:number], shuffled[number : 2 * number]))
    except RequestError as error:
        return {"reason": str(error)}
    rehearsed = unlearner.copy()
    rehearsed.unlearn(_request(rows, taken_out.users), method, "train")
    looks = ((unlearner.model, taken_out), (rehearsed.model, taken_out), (rehearsed.model, others))
    before, after, control = (rounded(group_figures(model, halves, seed)) for model, halves in looks)
    return {"users": number, "before": before, "after": after, "control": control}


def _request(rows: Interactions, users: np.ndarray) -> WithdrawalRequest:
    return WithdrawalRequest.users(rows.user_tokens[users])


def rounded(figures: dict[str, Any]) -> dict[str, Any]:
    """Return figures rounded for a receipt.

    >>> rounded({"auc": 0.7314, "auc_low": 0.6931, "auc_high": 0.77, "users": 9, "mean": 0.7})
    {'auc': 0.73, 'auc_low': 0.69, 'auc_high': 0.77}
    >>> rounded({"auc": 0.7314, "users": 1})
    {'auc': 0.75}
    """
    if figures["auc"] is None:
        return {"auc": None, "reason": figures["reason"]}
    step = _STEP if figures["users"] >= LEAST_USERS else _STEP_OF_FEW
    names = ("auc", "auc_low", "auc_high")
    return {name: round(round(figures[name] / step) * step, 2) for name in names if name in figures}
