import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from recbole.data.dataset import Dataset
from recbole.utils import init_seed

from recbole_unlearn import Config, WithdrawalRequest
from recbole_unlearn.data import create_dataset, data_preparation
from recbole_unlearn.exceptions import ConfigError, RequestError, UntrustedFileError


@pytest.fixture
def dataset(make_config):
    config = make_config()
    init_seed(config["seed"], True)
    return create_dataset(config)


def rows_of(part):
    return list(zip(part.inter_feat["user_id"].tolist(), part.inter_feat["item_id"].tolist(), strict=True))


def test_the_split_is_recboles_and_made_once(make_config, dataset):
    init_seed(7, True)  # our split does not depend on what was drawn before
    ours = dataset.build()
    config = make_config()
    init_seed(config["seed"], True)
    expected = Dataset(config).build()
    assert [rows_of(part) for part in ours] == [rows_of(part) for part in expected]
    assert [rows_of(part) for part in dataset.build()] == [rows_of(part) for part in ours]


def test_views_keep_ids_and_table_sizes(dataset):
    train, _, test = dataset.build()
    withdrawal = WithdrawalRequest.users(["u3", "u4"]).resolve(dataset.interactions(), "train")
    view = dataset.without(withdrawal)
    retained, _, test_after = view.build()
    expected = [pair for pair, gone in zip(rows_of(train), withdrawal.forget, strict=True) if not gone]
    assert rows_of(retained) == expected
    assert len(train) == len(retained) + withdrawal.forget.sum()
    assert rows_of(test_after) == rows_of(test)
    assert (view.user_num, view.item_num) == (dataset.user_num, dataset.item_num)
    assert view.field2id_token["user_id"].tolist() == dataset.field2id_token["user_id"].tolist()
    assert rows_of(dataset.build()[0]) == rows_of(train)


def test_a_view_holds_its_training_rows_and_takes_one_mask_for_each_part(dataset):
    """RecBole counts popularity and density on the rows that the data set itself holds: those of training."""
    masks = [np.arange(len(part)) % 3 > 0 for part in dataset.build()]
    view = dataset.where(masks)
    train = view.build()[0]
    assert rows_of(view) == rows_of(train)
    assert len(view) == masks[0].sum()
    with pytest.raises(ValueError, match="shorter"):
        dataset.where(masks[:2])


def test_scope_all_leaves_every_part(dataset):
    request = WithdrawalRequest.users(["u3"]) | WithdrawalRequest.items(["i5"])
    user, item = dataset.token2id("user_id", "u3"), dataset.token2id("item_id", "i5")
    before = dataset.build()[2]
    view = dataset.without(request.resolve(dataset.interactions(), "all"))
    for part in view.build():
        assert not (part.inter_feat["user_id"] == user).any()
        assert not (part.inter_feat["item_id"] == item).any()
    assert rows_of(view.build()[2]) == [(u, i) for u, i in rows_of(before) if u != user and i != item]


def test_scope_all_takes_named_pairs_out_of_the_test_part(dataset):
    user, item = rows_of(dataset.build()[2])[0]
    pair = (dataset.id2token("user_id", user), dataset.id2token("item_id", item))
    view = dataset.without(WithdrawalRequest.interactions([pair]).resolve(dataset.interactions(), "all"))
    assert (user, item) not in rows_of(view.build()[2])
    assert len(view.build()[2]) == len(dataset.build()[2]) - 1


def test_recboles_loaders_take_the_view(make_config, dataset):
    withdrawal = WithdrawalRequest.users(["u3"]).resolve(dataset.interactions(), "train")
    gone = int(withdrawal.users[0])
    train_data, valid_data, test_data = data_preparation(make_config(), dataset.without(withdrawal))
    seen = torch.cat([batch["user_id"] for batch in train_data])
    assert not (seen == gone).any()
    assert len(valid_data) == 0
    history = test_data.uid2history_item[gone]
    assert len(history) == 0  # the withdrawn rows are not masked: the one mask rule
    assert len(test_data.uid2history_item[gone + 1]) > 0


def test_the_same_config_gives_the_same_split(make_config):
    one, two = (create_dataset(make_config()).build()[0] for _ in range(2))
    assert rows_of(one) == rows_of(two)
    assert rows_of(create_dataset(make_config(seed=2021)).build()[0]) != rows_of(one)


def test_a_part_is_its_own_training_part(dataset):
    train = dataset.build()[0]
    again, valid, test = train.build()
    assert rows_of(again) == rows_of(train)
    assert len(valid) == len(test) == 0


def test_a_view_reads_and_writes_no_cache(make_config, dataset, tmp_path):
    config = make_config(save_dataloaders=True, checkpoint_dir=str(tmp_path))
    data_preparation(config, dataset)
    (cache,) = tmp_path.glob("*-dataloader.pth")
    written = cache.read_bytes()
    view = dataset.without(WithdrawalRequest.users(["u3"]).resolve(dataset.interactions()))
    train_data, _, _ = data_preparation(config, view)
    assert not (train_data._dataset.inter_feat["user_id"] == view.token2id("user_id", "u3")).any()
    assert cache.read_bytes() == written


def test_missing_data_sets_are_named(tmp_path):
    config = Config("NeuMF", "no-such-set", config_dict={"data_path": str(tmp_path)})
    with pytest.raises(ConfigError, match="neither in"):
        create_dataset(config)
    (tmp_path / "no-such-set").mkdir()
    with pytest.raises(ConfigError, match=r"no-such-set.inter is missing"):
        create_dataset(config)


def test_pickled_caches_are_not_loaded_silently(make_config, tmp_path, dataset):
    cache = tmp_path / "cache.pth"
    cache.write_bytes(b"not even a pickle")
    with pytest.raises(UntrustedFileError, match="trust_checkpoint"):
        create_dataset(make_config(dataset_save_path=str(cache)))
    with pytest.raises(UntrustedFileError, match="trust_checkpoint"):
        data_preparation(make_config(dataloaders_save_path=str(cache)), dataset)


class Owned:
    def __reduce__(self):
        return os.mkdir, ("owned",)


@pytest.mark.parametrize(
    ("model", "name"),
    [("GRU4Rec", "SequentialDataset"), ("CFKG", "KnowledgeBasedDataset"), ("DIEN", "DIENDataset"), ("BPR", "Dataset")],
)
def test_no_pickle_is_loaded_wherever_recbole_looks_for_one(make_config, tmp_path, monkeypatch, model, name):
    (tmp_path / f"tiny-{name}.pth").write_bytes(pickle.dumps(Owned()))
    (tmp_path / f"tiny-for-{model}-dataloader.pth").write_bytes(pickle.dumps(Owned()))
    config = make_config(model, checkpoint_dir=str(tmp_path), train_neg_sample_args=None)
    if model in ("BPR", "GRU4Rec"):  # our own way, which looks for no such file
        create_dataset(config)
    else:
        monkeypatch.setattr("recbole_unlearn.data.utils.is_withdrawable", lambda config: False)  # as of models of trees
        with pytest.raises(UntrustedFileError, match=f"tiny-{name}.pth' is a pickle"):
            create_dataset(config)
    with pytest.raises(UntrustedFileError, match=r"dataloader\.pth' is a pickle"):
        data_preparation(config, None)
    assert not Path("owned").exists()


def test_interactions_carry_tokens(dataset):
    rows = dataset.interactions()
    train = dataset.build()[0]
    assert np.array_equal(rows.users, train.inter_feat["user_id"].numpy())
    assert rows.user_tokens[rows.user_ids(["u3"])].tolist() == ["u3"]


def test_withdrawn_items_are_neither_drawn_nor_ranked(make_config, dataset):
    items = [f"i{k}" for k in range(0, 20)]
    withdrawal = WithdrawalRequest.items(items).resolve(dataset.interactions())
    train_data, _, test_data = data_preparation(make_config(), dataset.without(withdrawal))
    drawn = torch.cat([batch["item_id"] for batch in train_data])
    assert not np.isin(drawn.numpy(), withdrawal.items).any()
    for user in test_data.uid_list.tolist():
        assert np.isin(withdrawal.items, test_data.uid2history_item[user].numpy()).all()
        assert not np.isin(test_data.uid2positive_item[user].numpy(), withdrawal.items).any()


@pytest.fixture
def with_blanks(make_config, data_path, tmp_path):
    """Return a function that makes the small data set with other spellings of some tokens."""

    def make(**spellings):
        with open(f"{data_path}/tiny/tiny.inter") as file:
            lines = [line.split("\t") for line in file]
        text = "".join("\t".join([spellings.get(cell, cell) for cell in line]) for line in lines)
        (tmp_path / "tiny").mkdir()
        (tmp_path / "tiny" / "tiny.inter").write_text(text, encoding="utf-8")
        return create_dataset(make_config(data_path=str(tmp_path)))

    return make


def test_outer_blanks_in_the_data_are_no_part_of_a_token(with_blanks, dataset):
    blanks = with_blanks(u3=" u3", i5="i5\u00a0", u4="u4  ")
    assert blanks.token2id("user_id", " u3") == dataset.token2id("user_id", "u3")
    pair = next(("u4", dataset.id2token("item_id", i)) for u, i in rows_of(dataset.build()[2]) if _is(dataset, u, "u4"))
    named = WithdrawalRequest.users([" u3 "]) | WithdrawalRequest.items(["i5"]) | WithdrawalRequest.interactions([pair])
    ours, plain = (named.resolve(data.interactions(), "all") for data in (blanks, dataset))
    assert ours.forget.tolist() == plain.forget.tolist()
    assert ours.forget.any()
    assert ours.digest == plain.digest
    assert ours.request.user_tokens == ("u3",)
    view, plain_view = blanks.without(ours), dataset.without(plain)
    assert [rows_of(part) for part in view.build()] == [rows_of(part) for part in plain_view.build()]
    assert len(view.build()[2]) < len(blanks.build()[2])
    for part in range(3):  # views and parts know the spellings too
        assert view.interactions(part).item_ids(["i5"]).tolist() == [blanks.token2id("item_id", "i5\u00a0")]


def _is(dataset, user, token):
    return dataset.id2token("user_id", user) == token


def test_a_data_set_without_outer_blanks_needs_no_second_index(dataset):
    assert dataset.interactions().user_index is dataset.field2token_id["user_id"]
    assert dataset.interactions(2).item_index is dataset.field2token_id["item_id"]


def test_a_user_of_two_spellings_cannot_be_named(with_blanks):
    dataset = with_blanks(u3=" u4")
    with pytest.raises(RequestError, match="1 of 1 user tokens match several users of the data set") as error:
        WithdrawalRequest.users(["u4"]).resolve(dataset.interactions())
    assert "u4" not in str(error.value)
    assert WithdrawalRequest.users(["u5"]).resolve(dataset.interactions()).forget.any()


def test_unknown_users_are_counted_and_nobody_is_suggested(dataset):
    with pytest.raises(RequestError) as error:
        WithdrawalRequest.users(["u3", "u333", "U4"]).resolve(dataset.interactions())
    assert str(error.value) == (
        "2 of 3 user tokens are not in the data set; "
        "write tokens as in the atomic file, whose 60 users remain after filtering"
    )


def test_a_part_of_a_view_knows_nothing_of_the_part_that_it_was_made_of(trained):
    data = trained.dataset
    view = data.without(WithdrawalRequest.users(["u3"]).resolve(data.interactions()))
    for one in (view, data.only(np.arange(len(data.interactions().users)) < 20)):
        train = one.build()[0]
        assert train.build()[0] is train
        assert [len(part) for part in train.build()[1:]] == [0, 0]
        held = [part for part in vars(train)["_parts"] if len(part) > len(train)]
        assert held == []
