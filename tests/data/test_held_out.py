"""Held-out rows: no row of the training, none that was withdrawn, the same whatever else is there."""

import numpy as np
import torch

from recbole_unlearn import WithdrawalRequest
from recbole_unlearn.data.held_out import HeldOut
from recbole_unlearn.testing import original_of


def pairs(held_out, dataset):
    """Return the observed pairs of the batch."""
    batch = held_out._batch
    observed = batch["label"] == 1 if "label" in batch else torch.ones(len(batch), dtype=torch.bool)
    rows = dataset.interactions()
    return np.unique(rows.pair_keys(batch["user_id"][observed].numpy(), batch["item_id"][observed].numpy()))


def test_a_tenth_of_the_training_rows_is_held_out_and_no_other_row():
    unlearner = original_of("NeuMF")
    dataset = unlearner.dataset
    held_out = HeldOut(unlearner.config, dataset)
    held, kept, every = (
        pairs(held_out, dataset),
        np.unique(held_out.training.interactions().pair_keys()),
        np.unique(dataset.interactions().pair_keys()),
    )
    assert not np.intersect1d(held, kept).size
    assert np.array_equal(np.union1d(held, kept), every)
    assert 0.05 < len(held) / len(every) < 0.15


def test_negatives_are_nobodys_training_rows():
    unlearner = original_of("NeuMF")
    batch, rows = HeldOut(unlearner.config, unlearner.dataset)._batch, unlearner.dataset.interactions()
    negative = batch["label"] == 0
    drawn = rows.pair_keys(batch["user_id"][negative].numpy(), batch["item_id"][negative].numpy())
    assert len(drawn)
    assert not np.isin(drawn, rows.pair_keys()).any()


def test_the_negatives_are_the_same_in_every_run():
    unlearner = original_of("NeuMF")
    first = HeldOut(unlearner.config, unlearner.dataset)._batch
    np.random.random(7)
    assert torch.equal(HeldOut(unlearner.config, unlearner.dataset)._batch["item_id"], first["item_id"])


def test_which_rows_does_not_depend_on_other_rows():
    unlearner = original_of("NeuMF")
    dataset = unlearner.dataset
    rest = dataset.without(WithdrawalRequest.users(["u3"]).resolve(dataset.interactions()))
    before, after = (pairs(HeldOut(unlearner.config, view), dataset) for view in (dataset, rest))
    gone = dataset.interactions().user_ids(["u3"])
    assert np.array_equal(after, before[~np.isin(dataset.interactions().split_pair_keys(before)[0], gone)])


def test_validation_rows_are_taken_where_there_are_some(make_config):
    from recbole_unlearn.data import create_dataset

    keys = {"eval_args": {"split": {"RS": [0.6, 0.2, 0.2]}, "order": "RO", "group_by": "user", "mode": "full"}}
    config = make_config("BPR", **keys)
    dataset = create_dataset(config)
    held_out = HeldOut(config, dataset)
    valid = dataset.interactions(1)
    assert len(valid.users)
    assert np.array_equal(pairs(held_out, dataset), np.unique(valid.pair_keys()))
    assert held_out.training is dataset


def test_the_loss_is_the_models_own_and_leaves_it_as_it_was():
    unlearner = original_of("NeuMF")
    held_out = HeldOut(unlearner.config, unlearner.dataset)
    unlearner.model.train()
    loss = held_out.loss(unlearner.model)
    assert unlearner.model.training
    unlearner.model.eval()
    with torch.no_grad():
        expected = torch.nn.functional.binary_cross_entropy_with_logits(
            unlearner.model.forward(held_out._batch["user_id"], held_out._batch["item_id"]), held_out._batch["label"]
        )
    assert loss == expected.item()
