"""RedrawItems: no item keeps anything, the stop rule keeps the best epoch, and a planted world is forgotten."""

import copy

import numpy as np
import pytest
import torch

from recbole_unlearn import Config, RedrawItems, WithdrawalRequest
from recbole_unlearn.checkpoints.best import train_until_best
from recbole_unlearn.checkpoints.trainer import CheckpointTrainer
from recbole_unlearn.data import create_dataset
from recbole_unlearn.evaluator.halves import halves_of
from recbole_unlearn.evaluator.mio import Rows
from recbole_unlearn.evaluator.refit import fresh_scores, user_aucs
from recbole_unlearn.methods.reset import draw_rows
from recbole_unlearn.model.adapter import InfluenceAdapter, read_rows
from recbole_unlearn.testing import REQUESTS, copy_of, flat, original_of
from recbole_unlearn.trainer import train_model

MODELS = ("NeuMF", "LightGCN", "BPR")


def redrawn(model, request=REQUESTS["users"], change=None, **options):
    unlearner = copy_of(original_of(model))
    if change:
        with torch.no_grad():
            change(InfluenceAdapter.of(unlearner.model))
    return unlearner, unlearner.unlearn(request, RedrawItems(**options))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", ["users", "items"])
def test_nothing_of_the_old_items_is_left(model, kind):
    """Whatever the items held before, the result is the same to the bit."""

    def spoil(adapter):
        for table in adapter.item_tables:
            table.weight[1:].normal_(generator=torch.Generator().manual_seed(5))

    if kind == "items":  # users who lose a row are solved against the items as they were: their rows may move
        expected, spoiled = (redrawn(model, REQUESTS[kind], change, relearn_rate=1e-30) for change in (None, spoil))
        tables = InfluenceAdapter.of(expected[0].model).item_tables
        ids = torch.arange(1, tables[0].num_embeddings)
        assert torch.equal(read_rows(tables, ids), read_rows(InfluenceAdapter.of(spoiled[0].model).item_tables, ids))
    else:
        assert torch.equal(flat(redrawn(model)[0].model), flat(redrawn(model, change=spoil)[0].model))


@pytest.mark.parametrize("model", MODELS)
def test_the_rows_of_who_left_teach_nothing(model):
    gone = original_of(model).dataset.interactions().user_ids(["u3", "u8"])

    def spoil(adapter):
        for table in adapter.user_tables:
            table.weight[gone] = 3.0

    assert torch.equal(flat(redrawn(model)[0].model), flat(redrawn(model, change=spoil)[0].model))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("share", [1.0, 0.25])
def test_items_start_from_the_models_draws_and_users_from_what_they_learned(model, share):
    """At a rate of next to nothing, training moves nothing, and what it starts from stands in the model."""
    original, (unlearner, _) = original_of(model), redrawn(model, relearn_rate=1e-30, user_share=share)
    adapter, before = InfluenceAdapter.of(unlearner.model), InfluenceAdapter.of(original.model)
    rows = original.dataset.interactions()
    drawn = draw_rows(adapter, adapter.item_tables, rows.item_tokens[1:], original.config["seed"])
    assert torch.equal(read_rows(adapter.item_tables, torch.arange(1, len(rows.item_tokens))), drawn)
    kept = torch.from_numpy(np.setdiff1d(np.unique(rows.users), rows.user_ids(["u3", "u8"])))
    assert torch.equal(read_rows(adapter.user_tables, kept), share * read_rows(before.user_tables, kept))
    for new, old in zip(adapter.shared_parameters, before.shared_parameters, strict=True):
        assert torch.equal(new, old)


def test_users_who_left_share_the_row_that_the_new_items_lead_to():
    unlearner, outcome = redrawn("NeuMF")
    rows = original_of("NeuMF").dataset.interactions()
    left = read_rows(InfluenceAdapter.of(unlearner.model).user_tables, torch.from_numpy(rows.user_ids(["u3", "u8"])))
    assert torch.equal(left[0], left[1])
    assert outcome.diagnostics["converged"] == 1.0
    drawn = redrawn("NeuMF", collaborate=False)[0]
    left = read_rows(InfluenceAdapter.of(drawn.model).user_tables, torch.from_numpy(rows.user_ids(["u3", "u8"])))
    assert not torch.equal(left[0], left[1])


def test_it_forgets_those_who_left_before():
    """SCIF at once, RedrawItems at night: the rows of both requests end on one solution, against the new items."""
    unlearner = copy_of(original_of("NeuMF"))
    unlearner.unlearn(WithdrawalRequest.users(["u3"]), "SCIF")
    unlearner.unlearn(WithdrawalRequest.users(["u8"]), "RedrawItems")
    assert torch.equal(flat(unlearner.model), flat(redrawn("NeuMF")[0].model))


@pytest.mark.parametrize(
    ("gains", "losses", "best", "trained"),
    [
        ([0.2, 0.1, 0.3, 0.2, 0.25, 0.9], [1.0] * 6, 3, 5),
        ([0.2, 0.1, 0.1, 0.3, 0.2, 0.2], [6.0, 5.0, 4.0, 4.0, 4.0, 4.0], 4, 6),  # the loss falls where ranks stay
    ],
)
def test_training_keeps_the_best_epoch(monkeypatch, gains, losses, best, trained):
    """What held-out rows say is planned; after two epochs without progress the model is that of the highest gain."""
    original = original_of("NeuMF")
    config = copy.deepcopy(original.config)
    config["stopping_step"] = 1
    states = []

    def ask(self, model):
        states.append(flat(model).clone())
        return gains[len(states) - 1], losses[len(states) - 1]

    monkeypatch.setattr("recbole_unlearn.data.held_out.HeldOut.ask", ask)
    model, diagnostics = train_until_best(config, original.dataset, CheckpointTrainer, most=10)
    assert (diagnostics["epochs"], diagnostics["epochs_trained"], len(states)) == (best, trained, trained)
    assert torch.equal(flat(model), states[best - 1])
    assert not torch.equal(states[best - 1], states[-1])


@pytest.mark.parametrize(("options", "allowed"), [({"relearn_share": 0.5}, 2), ({}, 1)])
def test_no_more_epochs_than_allowed(monkeypatch, options, allowed):
    """By default .06 of the four epochs of the training, rounded up."""
    gains = iter(range(100))
    monkeypatch.setattr("recbole_unlearn.data.held_out.HeldOut.ask", lambda self, model: (next(gains), 1.0))
    assert redrawn("NeuMF", **options)[1].diagnostics["epochs_trained"] == allowed


@pytest.fixture(scope="module")
def random_world(tmp_path_factory):
    """BPR on pairs that nobody's taste explains: what a refit recognises is what the items remember, and nothing else."""
    folder = tmp_path_factory.mktemp("random")
    rng = np.random.default_rng(3)
    lines = [f"u{user}\ti{item}" for user in range(90) for item in rng.choice(150, size=30, replace=False)]
    (folder / "random").mkdir()
    (folder / "random" / "random.inter").write_text("\n".join(["user_id:token\titem_id:token", *lines]) + "\n")
    keys = {"epochs": 45, "learning_rate": 0.01, "embedding_size": 16, "train_batch_size": 256, "show_progress": False}
    config = Config(
        "BPR",
        "random",
        config_dict={**keys, "protocol": "paper", "data_path": str(folder), "ledger_dir": str(folder / "ledger")},
    )
    return train_model(config, create_dataset(config))


def test_what_scif_leaves_in_the_items_is_gone(random_world):
    """Users who left are recognised by a refit after SCIF; after RedrawItems no more than after Retrain."""
    rows, test = (random_world.dataset.interactions(part) for part in (0, 2))
    request = WithdrawalRequest.users([f"u{user}" for user in range(30)])
    forgotten = request.resolve(rows).forget
    every = Rows(*(np.concatenate([getattr(part, ids) for part in (rows, test)]) for ids in ("users", "items")))
    withdrawn = Rows(rows.users[forgotten], rows.items[forgotten])
    halves = halves_of(withdrawn, Rows(test.users, test.items), every, rows, negatives=4, seed=1)
    read = {}
    for method in ("SCIF", "RedrawItems", "Retrain"):
        model = copy_of(random_world).unlearn(request, method).model
        aucs, weights = user_aucs(halves, fresh_scores(InfluenceAdapter.of(model), halves))
        read[method] = np.average(aucs, weights=weights)
    assert read["SCIF"] > 0.65
    assert abs(read["Retrain"] - 0.5) < 0.06
    assert abs(read["RedrawItems"] - read["Retrain"]) < 0.06
