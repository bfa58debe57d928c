"""The fast data set and dataloaders against RecBole's own, field by field and draw by draw."""

import numpy as np
import pytest
import recbole.data as recbole_data
import torch
from recbole.data.dataset import Dataset
from recbole.data.interaction import cat_interactions
from recbole.utils import init_seed

from recbole_unlearn import WithdrawalRequest
from recbole_unlearn.arrays.sets import distinct
from recbole_unlearn.data import create_dataset, data_preparation
from recbole_unlearn.data.redirect import redirected
from recbole_unlearn.exceptions import RequestError
from recbole_unlearn.fast.rows import Rows

CORE = {"user_inter_num_interval": "[11,inf)", "item_inter_num_interval": "[12,inf)"}
BY_USER = {"split": {"RS": [0.5, 0.2, 0.3]}, "group_by": "user", "order": "RO", "mode": "full"}
CONFIGS = {
    "by user": {"eval_args": BY_USER},
    "at random": {"eval_args": BY_USER | {"group_by": None}},
    "in time": {"eval_args": BY_USER | {"order": "TO"}},
    "leave one out": {"eval_args": BY_USER | {"split": {"LS": "valid_and_test"}, "order": "TO"}},
    "5-core": {"eval_args": BY_USER, **CORE},
    "labels": {"eval_args": BY_USER, "threshold": {"rating": 3}},
    "values": {"eval_args": BY_USER, "val_interval": {"rating": "[2,5]"}, "normalize_field": ["timestamp"]},
    "rated twice": {"eval_args": BY_USER, "rm_dup_inter": "last"},
    "popular negatives": {
        "eval_args": BY_USER,
        "train_neg_sample_args": {"distribution": "popularity", "sample_num": 2, "alpha": 0.8},
    },
    "sampled ranking": {"eval_args": BY_USER | {"mode": "uni20"}},
}


def seeded(config, make):
    init_seed(config["seed"], True)
    return make()


def pair_of(make_config, keys, model="NeuMF"):
    """Return our data set and RecBole's, each with its dataloaders."""
    config = make_config(model, **keys)
    ours = seeded(config, lambda: (data := create_dataset(config), data_preparation(config, data)))
    config = make_config(model, **keys)
    stock = seeded(config, lambda: (data := Dataset(config), recbole_data.data_preparation(config, data)))
    return ours, stock


def same(first, second):
    assert list(first) == list(second)
    for field in first:
        assert torch.equal(first[field], second[field]), field


@pytest.mark.parametrize("keys", CONFIGS.values(), ids=CONFIGS)
def test_the_data_set_is_recboles_field_by_field(make_config, keys):
    (ours, loaders), (stock, stock_loaders) = pair_of(make_config, keys)
    for name in ("field2type", "field2source", "field2seqlen", "field2token_id", "feat_name_list"):
        assert getattr(ours, name) == getattr(stock, name), name
    for field, tokens in stock.field2id_token.items():
        assert ours.field2id_token[field].tolist() == tokens.tolist()
    for loader, stock_loader in zip(loaders, stock_loaders, strict=True):
        assert len(loader) == len(stock_loader)
        same(loader._dataset.inter_feat, stock_loader._dataset.inter_feat)


@pytest.mark.parametrize("model", ["NeuMF", "BPR"])
@pytest.mark.parametrize("keys", CONFIGS.values(), ids=CONFIGS)
def test_every_batch_of_every_epoch_is_recboles(make_config, keys, model):
    batches = []
    for _, loaders in pair_of(make_config, {**keys, "train_batch_size": 64}, model):
        np.random.seed(5)
        batches.append([batch for _ in range(3) for batch in loaders[0]])
    assert len(batches[0]) > 6
    for ours, stock in zip(*batches, strict=True):
        same(ours, stock)


def test_epochs_differ_in_order_and_negatives(make_config):
    config = make_config(eval_args=BY_USER)
    dataset = create_dataset(config)
    train_data = data_preparation(config, dataset)[0]
    epochs = []
    for _ in range(2):
        rows = [torch.stack([batch["user_id"], batch["item_id"], batch["label"].long()], 1) for batch in train_data]
        epochs.append(torch.cat(rows))
    positive, negative = ([rows[rows[:, 2] == label] for rows in epochs] for label in (1, 0))
    assert not torch.equal(positive[0], positive[1])
    assert sorted(positive[0].tolist()) == sorted(positive[1].tolist())
    assert sorted(negative[0].tolist()) != sorted(negative[1].tolist())


@pytest.mark.parametrize("keys", [CONFIGS["by user"], CONFIGS["leave one out"], CONFIGS["sampled ranking"]])
def test_evaluation_batches_are_recboles(make_config, keys):
    (_, loaders), (_, stock_loaders) = pair_of(make_config, {**keys, "eval_batch_size": 400})
    for loader, stock_loader in zip(loaders[1:], stock_loaders[1:], strict=True):
        np.random.seed(5)
        ours = list(loader)
        np.random.seed(5)
        for mine, theirs in zip(ours, stock_loader, strict=True):
            same(mine[0], theirs[0])
            if isinstance(theirs[1], tuple):
                assert pairs(*mine[1]) == pairs(*theirs[1])
            assert pairs(*mine[2:]) == pairs(*theirs[2:])


SAID = [{"protocol": None, "eval_batch_size": 4096}, {"protocol": None, "eval_batch_size": 100}, {"protocol": "paper"}]


@pytest.mark.parametrize("keys", SAID)
def test_as_many_users_are_ranked_at_a_time_as_somebody_says(make_config, keys):
    (_, loaders), (_, stock_loaders) = pair_of(make_config, {**CONFIGS["by user"], **keys})
    assert [loader.step for loader in loaders[1:]] == [loader.step for loader in stock_loaders[1:]]


def test_where_nobody_says_how_many_more_users_are_ranked_at_a_time(make_config, monkeypatch):
    monkeypatch.setattr("recbole_unlearn.fast.loaders._PAIRS", 410)
    (_, loaders), (_, stock_loaders) = pair_of(make_config, {**CONFIGS["by user"], "protocol": None})
    for loader, stock in zip(loaders[1:], stock_loaders[1:], strict=True):
        assert (loader.step, loader._batch_size, loader.batch_size, stock.step) == (10, 410, 10, 4096 // 41)
        same(cat_interactions([batch[0] for batch in loader]), cat_interactions([batch[0] for batch in stock]))


def test_one_user_is_ranked_at_a_time_where_two_have_too_many_pairs(make_config, monkeypatch):
    monkeypatch.setattr("recbole_unlearn.fast.loaders._PAIRS", 60)
    (_, loaders), _ = pair_of(make_config, {**CONFIGS["by user"], "protocol": None})
    assert [loader.step for loader in loaders[1:]] == [1, 1]


@pytest.mark.parametrize("size", [123, 4096])
def test_a_size_that_a_script_sets_later_counts(make_config, size):
    config = make_config(eval_args=BY_USER, protocol=None)
    config["eval_batch_size"] = size
    assert [loader.step for loader in data_preparation(config, create_dataset(config))[1:]] == [size // 41] * 2


def test_models_that_may_need_much_memory_for_a_pair_rank_as_many_as_by_recbole(make_config):
    config = make_config("DMF", eval_args=BY_USER, protocol=None)
    assert [loader.step for loader in data_preparation(config, create_dataset(config))[1:]] == [4096 // 41] * 2


@pytest.mark.parametrize("keys", [CONFIGS["by user"], CONFIGS["leave one out"]])
def test_lists_of_users_are_recboles_and_no_second_copy_of_the_rows(make_config, keys):
    (_, loaders), (_, stock_loaders) = pair_of(make_config, keys)
    for loader, stock in zip(loaders[1:], stock_loaders[1:], strict=True):
        for name in ("uid2history_item", "uid2positive_item"):
            mine, theirs = getattr(loader, name), getattr(stock, name)
            assert len(mine) == len(theirs)
            for one, other in zip((mine[user] for user in range(len(mine))), theirs, strict=True):
                assert (one is None) == (other is None)
                assert one is None or sorted(one.tolist()) == sorted(other.tolist())
            users = list(loader.uid_list[[2, 0]])
            assert [one.tolist() for one in mine[users]] == [mine[int(user)].tolist() for user in users]
            everybody = [None if one is None else one.tolist() for one in mine]
            for index in (loader.uid_list, loader.uid2items_num > 3, slice(1, 4), np.array([3, 3]), [-1]):
                asked = np.arange(len(mine))[index]
                told = [None if one is None else one.tolist() for one in mine[index]]
                assert told == [everybody[user] for user in asked]
            with pytest.raises(IndexError):
                mine[len(mine)]
        assert loader.uid2history_item.used is loader._sampler.used_ids
        assert loader.uid2history_item._keys is loader.uid2positive_item._keys


def pairs(rows, items):
    return set(zip(rows.tolist(), items.tolist(), strict=True))


def sampler_of(make_config, dataset=None, **keys):
    config = make_config(eval_args=BY_USER, **keys)
    dataset = create_dataset(config) if dataset is None else dataset
    return data_preparation(config, dataset)[0]._sampler, dataset


@pytest.mark.parametrize("bitmap", [True, False])
def test_negatives_are_uniform_over_what_the_user_has_not(make_config, monkeypatch, bitmap):
    if not bitmap:
        monkeypatch.setattr("recbole_unlearn.fast.sampler._BITMAP_PAIRS", 0)
    sampler, dataset = sampler_of(make_config)
    np.random.seed(0)
    own = sampler.used_ids[3]
    drawn = sampler.sample_by_user_ids(np.array([3, 4]), None, 4000)[::2].numpy()
    counts = np.bincount(drawn, minlength=dataset.item_num)
    free = np.setdiff1d(np.arange(1, dataset.item_num), list(own))
    assert counts.sum() == counts[free].sum() == 4000
    expected = 4000 / len(free)
    statistic = ((counts[free] - expected) ** 2 / expected).sum()
    degrees = len(free) - 1
    assert abs(statistic - degrees) < 4 * np.sqrt(2 * degrees)  # chi-square: mean and variance are df and 2 df


def test_withdrawn_items_are_in_every_users_set(make_config):
    _, dataset = sampler_of(make_config)
    view = dataset.without(WithdrawalRequest.items(["i4", "i7"]).resolve(dataset.interactions()))
    gone = dataset.token2id("item_id", ["i4", "i7"])
    sampler, _ = sampler_of(make_config, view)
    assert all({*gone.tolist()} <= sampler.used_ids[user] for user in range(1, dataset.user_num))
    assert not np.isin(sampler.sample_by_user_ids(np.arange(1, 50), None, 40), gone).any()
    repeatable, _ = sampler_of(make_config, view, repeatable=True)
    assert all({*gone.tolist()} <= items for items in repeatable.used_ids)


def test_a_user_who_has_everything_is_named(make_config):
    sampler, dataset = sampler_of(make_config)
    user = int(dataset.interactions().users[0])
    others = np.setdiff1d(np.arange(1, dataset.item_num), list(sampler.used_ids[user]))
    request = WithdrawalRequest.items(dataset.id2token("item_id", others))
    view = dataset.without(request.resolve(dataset.interactions()))
    with pytest.raises(RequestError, match="no negative can be drawn"):
        sampler_of(make_config, view)


@pytest.mark.parametrize(
    "index", [[2, 0], np.array([2, 0]), torch.tensor([2, 0]), slice(0, 2), range(1, 3), [-1, 0], [], 1]
)
def test_rows_are_indexed_like_an_interaction(index):
    columns = {"user_id": torch.tensor([5, 6, 7]), "rating": torch.tensor([0.5, 1.0, 2.0])}
    same(Rows(columns)[index], recbole_data.Interaction(columns)[index])


def test_masks_and_names_index_rows():
    rows = Rows({"user_id": torch.tensor([5, 6, 7])})
    assert rows[np.array([True, False, True])]["user_id"].tolist() == [5, 7]
    assert rows["user_id"] is rows.interaction["user_id"]


def test_distinct_is_numpys_unique():
    values = np.random.default_rng(0).integers(0, 50, 200)
    assert np.array_equal(distinct(values), np.unique(values))
    assert len(distinct(np.array([], dtype=np.int64))) == 0


def test_a_name_that_recbole_lost_is_an_error():
    with pytest.raises(KeyError, match="knows no read_tsv"):
        redirected(Dataset._load_feat, read_tsv=None)
    assert Dataset._load_feat.__globals__["pd"].__name__ == "pandas"
