import copy

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction

from recbole_unlearn import Unlearner
from recbole_unlearn.checkpoints.read import read_checkpoint
from recbole_unlearn.data import create_dataset, data_preparation
from recbole_unlearn.exceptions import UnsupportedModelError
from recbole_unlearn.model.adapter import InfluenceAdapter, ScoringAdapter
from recbole_unlearn.model.renew import clear_caches
from recbole_unlearn.shards.aggregate import Aggregation
from recbole_unlearn.shards.ensemble import ShardEnsemble
from recbole_unlearn.shards.shard_trainer import ShardTrainer
from recbole_unlearn.trainer import train_for_method

ITEMS = ("item_id", "neg_item_id")
SMALL = {"shard_count": 3, "epochs": 3, "parallel_jobs": 1}


def learned(make_config, model, method):
    config = make_config(model, **SMALL, **({} if model == "NeuMF" else {"embedding_size": 8}))
    return train_for_method(config, create_dataset(config), method, saved=False)


@pytest.fixture(scope="module", params=["NeuMF", "LightGCN", "BPR"])
def attentive(request, make_config):
    return learned(make_config, request.param, "RecEraser")


@pytest.fixture(scope="module", params=["NeuMF", "LightGCN", "DMF"])
def plain(request, make_config):
    return learned(make_config, request.param, "SISA")


def all_scores(model, users):
    model.eval()
    with torch.no_grad():
        return model.full_sort_predict(Interaction({"user_id": torch.tensor(users)})).reshape(len(users), -1)


def pairs_scores(model, users):
    grid = torch.cartesian_prod(torch.tensor(users), torch.arange(model.n_items))
    with torch.no_grad():
        return model.predict(Interaction({"user_id": grid[:, 0], "item_id": grid[:, 1]})).reshape(len(users), -1)


def test_full_sort_is_predict_on_every_pair(attentive):
    users = [1, 5, 7]
    torch.testing.assert_close(all_scores(attentive.model, users), pairs_scores(attentive.model, users))


def test_the_mean_is_the_mean_of_the_shards_scores(plain):
    users = [2, 9]
    expected = torch.stack([pairs_scores(shard, users) for shard in plain.model.shards]).mean(dim=0)
    torch.testing.assert_close(pairs_scores(plain.model, users), expected)
    # DMF's full sort is predict's only up to the clamp that RecBole puts on negative cosines.
    if type(plain.model.shards[0]).__name__ != "DMF":
        torch.testing.assert_close(all_scores(plain.model, users), expected)


def test_recboles_evaluators_take_it(attentive, plain):
    for unlearner in (attentive, plain):
        result = unlearner.evaluate(data_preparation(unlearner.config, unlearner.dataset)[2])
        assert 0 < result["ndcg@10"] < 1


def test_shards_stay_fixed_while_the_aggregator_trains(attentive):
    model = copy.deepcopy(attentive.model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train_data = data_preparation(attentive.config, attentive.dataset)[0]
    Unlearner(attentive.config, model).fit(train_data, saved=False, verbose=False)
    model.settle()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert not any(name.startswith("shards.") for name in changed)
    assert any(name.endswith("transfer") for name in changed)
    assert any(name.startswith("served.") and "embedding" in name for name in changed)


def test_lightgcn_is_served_over_the_graph_of_all_training_rows(make_config):
    """Its own shards see their rows alone; what serves sees every edge, and none of a part that is held out."""
    unlearner = learned(make_config, "LightGCN", "RecEraser")
    rows = unlearner.dataset.interactions()
    pairs = set(zip(rows.users.tolist(), rows.items.tolist(), strict=True))
    edges = unlearner.model.served.norm_adj_matrix.pairs
    assert set(zip(*(ids.tolist() for ids in edges), strict=True)) == pairs
    assert max(len(shard.norm_adj_matrix.pairs[0]) for shard in unlearner.model.shards) < len(pairs)


def test_the_aggregator_learns(make_config):
    """Its loss on the rows falls: a wrong sign would raise it."""
    config = make_config("LightGCN", **SMALL, embedding_size=8)
    shard_trainer = ShardTrainer(config, create_dataset(config), Unlearner, alone=True)
    assignment = np.arange(len(shard_trainer.rows.users)) % 3
    batch = next(iter(data_preparation(config, shard_trainer.dataset)[0]))
    losses = []
    for epochs in (1, 30):
        model = shard_trainer.train_ensemble(assignment, 3, Aggregation("attention", epochs, 4, 0.05))
        losses.append(model.calculate_loss(batch).item())
    assert losses[1] < losses[0] - 0.05


def test_a_checkpoint_brings_every_score_back(attentive, tmp_path):
    attentive.save(tmp_path / "ensemble.pth")
    assert set(read_checkpoint(tmp_path / "ensemble.pth", "cpu", trusted=False)) >= {"state_dict", "config"}
    copied = Unlearner(attentive.config, copy.deepcopy(attentive.model), attentive.dataset)
    expected = all_scores(attentive.model, [1, 2])
    for parameter in copied.model.parameters():
        parameter.data.zero_()
    copied.load(tmp_path / "ensemble.pth")
    copied.model.settle()
    assert torch.equal(all_scores(copied.model, [1, 2]), expected)


def test_a_loaded_ensemble_does_not_serve_the_vectors_of_before(plain, tmp_path):
    plain.save(tmp_path / "ensemble.pth")
    expected = all_scores(plain.model, [1, 2])
    copied = Unlearner(plain.config, copy.deepcopy(plain.model), plain.dataset)
    with torch.no_grad():
        for parameter in copied.model.parameters():
            parameter.mul_(3.0)
    clear_caches(copied.model)
    for shard in copied.model.shards:
        getattr(shard, "clear_cache", list)()  # our LightGCN's own
    assert not torch.allclose(all_scores(copied.model, [1, 2]), expected)
    copied.load(tmp_path / "ensemble.pth")
    assert torch.equal(all_scores(copied.model, [1, 2]), expected)


def test_the_oracle_sees_what_serves(attentive, plain):
    users, items = torch.tensor([1, 2]), torch.tensor([3, 4])
    adapter = ScoringAdapter.of(attentive.model)
    served = InfluenceAdapter.of(attentive.model.served)
    assert torch.equal(adapter.embeddings(users, items)[0], served.embeddings(users, items)[0])
    torch.testing.assert_close(adapter.logits(users, items), served.logits(users, items))
    with pytest.raises(UnsupportedModelError, match="use the method that learned it"):
        InfluenceAdapter.of(attentive.model)
    assert not isinstance(adapter, InfluenceAdapter)
    assert [type(one) for one in adapter.serving] == [type(served)]
    if type(plain.model.shards[0]).__name__ != "DMF":
        parts = [InfluenceAdapter.of(shard).embeddings(users, items)[1] for shard in plain.model.shards]
        assert torch.equal(ScoringAdapter.of(plain.model).embeddings(users, items)[1], torch.cat(parts, dim=1))


def test_attention_needs_an_adapter(make_config):
    with pytest.raises(UnsupportedModelError, match="attention combines tables"):
        learned(make_config, "DMF", "RecEraser")


def test_the_mean_has_nothing_to_train(plain):
    assert isinstance(plain.model, ShardEnsemble)
    with pytest.raises(UnsupportedModelError, match="nothing to train"):
        plain.model.calculate_loss(None)


@pytest.mark.parametrize("method", ["RecEraser", "UltraRE"])
def test_a_pairwise_loss_that_reads_labels_reads_them_in_an_ensemble(make_config, method):
    keys = {"LABEL_FIELD": "rating", "normalize_field": ["rating"], "normalize_all": False, "embedding_size": 8}
    config = make_config("LightGCN", **SMALL, **keys)
    dataset = create_dataset(config)
    model = train_for_method(config, dataset, method, saved=False).model
    batch = next(iter(data_preparation(config, dataset)[0]))
    labels = batch["rating"].float()
    assert len(labels.unique()) > 2
    if method == "UltraRE":
        assert torch.equal(model.stacked(batch)[1], labels)
        return
    scores = [
        model.served.predict(Interaction({"user_id": batch["user_id"], "item_id": batch[item]})) for item in ITEMS
    ]
    expected = torch.nn.functional.binary_cross_entropy_with_logits(scores[0] - scores[1], labels)
    torch.testing.assert_close(model.calculate_loss(batch), expected)
