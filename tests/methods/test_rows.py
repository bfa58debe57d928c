"""The rows of a request's objectives: what may stand among frozen negatives."""

import numpy as np
import pytest
import torch

from recbole_unlearn.methods.rows import RequestRows
from recbole_unlearn.testing import REQUESTS, original_of
from tests.methods.test_scif import context_of


def rows_of(model, kind, draw=0):
    original = original_of(model)
    context = context_of(original, REQUESTS[kind])
    return context, RequestRows(context, model != "NeuMF", torch.float64, torch.device("cpu"), draw)


def drawn_by(rows):
    """Return owners and items of the negatives."""
    negative = rows.targets == 0
    return (rows.users, rows.others) if rows.others is not None else (rows.users[negative], rows.items[negative])


@pytest.mark.parametrize("model", ["NeuMF", "BPR"])
def test_a_withdrawn_item_is_no_negative(model):
    """It is not served any more, so nothing is to be learned from it; the same draw without the request would take it."""
    context, rows = rows_of(model, "items")
    (gone,) = context.gone_items
    every = np.arange(len(context.withdrawal.forget))
    assert gone not in drawn_by(rows.of(every))[1]
    assert gone not in rows.catalogue().items
    without, unasked = rows_of(model, "users")
    assert not len(without.gone_items)
    assert gone in drawn_by(unasked.of(every))[1]


@pytest.mark.parametrize("model", ["NeuMF", "BPR"])
def test_a_negative_is_no_row_of_the_same_part(model):
    """Rows that stay know the retained rows; withdrawn ones are of the old objective, in which all rows were positives."""
    context, rows = rows_of(model, "interactions")
    forget, all_rows = context.withdrawal.forget, context.rows
    for chosen, known in ((~forget, ~forget), (forget, np.ones_like(forget))):
        users, items = drawn_by(rows.of(np.flatnonzero(chosen)))
        drawn = all_rows.pair_keys(users.numpy(), items.numpy())
        assert not np.isin(drawn, all_rows.pair_keys()[known]).any()
    users, items = drawn_by(rows.of(np.flatnonzero(~forget)))
    assert np.isin(all_rows.pair_keys(users.numpy(), items.numpy()), all_rows.pair_keys()[forget]).any()


def test_another_draw_is_independent():
    every = np.arange(len(rows_of("BPR", "users")[0].withdrawal.forget))
    first, again, other = (rows_of("BPR", "users", draw)[1].of(every).others for draw in (0, 0, 1))
    assert torch.equal(first, again)
    assert (
        float((first == other).double().mean()) < 0.2
    )  # by chance about one in the 30 items that a user does not have
