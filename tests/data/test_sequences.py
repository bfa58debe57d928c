"""Sequences are made of the rows that remain: RecBole's own, and after a withdrawal those of a file without the rows."""

import numpy as np
import pytest
import torch
from recbole.data.dataset import SequentialDataset

from recbole_unlearn import Config, WithdrawalRequest, load_data_and_model
from recbole_unlearn.data import create_dataset, data_preparation
from recbole_unlearn.data.sequences import SequenceDataset
from recbole_unlearn.exceptions import ConfigError, UnsupportedModelError
from recbole_unlearn.methods.plugins import get_method
from recbole_unlearn.settings.values import as_python
from recbole_unlearn.testing import write_inter
from recbole_unlearn.trainer import train_for_method, train_model

SPLITS = {
    "the last two": {"LS": "valid_and_test"},
    "the last": {"LS": "test_only"},
    "by ratio": {"RS": [0.8, 0.1, 0.1]},
}


def config_of(folder, model="GRU4Rec", split="the last two", **keys):
    defaults = {
        "data_path": str(folder),
        "epochs": 2,
        "embedding_size": 8,
        "hidden_size": 8,
        "MAX_ITEM_LIST_LENGTH": 6,
        "show_progress": False,
        "train_neg_sample_args": None,
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "eval_args": {"split": SPLITS[split], "order": "TO", "mode": "full", "group_by": "user"},
        "parallel_jobs": 1,
    }
    return Config(model, "tiny", config_dict=as_python({**defaults, **keys}), argv=())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sequences")
    write_inter(folder, "tiny")
    return folder


def columns(part):
    return {name: values for name, values in part.inter_feat.interaction.items()}


def same(parts, others):
    for part, other in zip(parts, others, strict=True):
        mine, theirs = columns(part), columns(other)
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) and mine[name].dtype == theirs[name].dtype for name in mine)


@pytest.mark.parametrize("split", SPLITS)
def test_without_a_withdrawal_they_are_recboles(folder, split):
    config = config_of(folder, split=split)
    dataset = create_dataset(config)
    assert type(dataset) is SequenceDataset
    same(dataset.with_sequences().build(), SequentialDataset(config).build())
    assert len(dataset.with_sequences().with_sequences().build()[0]) == len(dataset.with_sequences().build()[0])


def test_every_row_lies_in_one_part(folder):
    dataset = create_dataset(config_of(folder))
    lines = (folder / "tiny" / "tiny.inter").read_text().splitlines()[1:]
    expected = sorted(tuple(line.split("\t")[:2]) for line in lines)
    found = []
    for part in range(3):
        rows = dataset.interactions(part)
        found += zip(rows.user_tokens[rows.users], rows.item_tokens[rows.items], strict=True)
    assert sorted(found) == expected
    assert all(part._firsts is None for part in dataset.build()), "a shard's part would carry rows of others"


@pytest.mark.parametrize("scope", ["train", "all"])
@pytest.mark.parametrize("kind", ["users", "interactions"])
def test_after_it_they_are_those_of_a_file_without_the_rows(folder, tmp_path, kind, scope):
    """The last two of each user stay what they were, so a file without training rows is split into the same parts."""
    dataset = create_dataset(config_of(folder))
    rows = dataset.interactions()
    request = WithdrawalRequest.users(["u3"]) if kind == "users" else WithdrawalRequest.random(5, 1, "interactions")
    withdrawal = request.resolve(rows, scope)
    left = dataset.without(withdrawal)
    gone: set[tuple[str, str]] = set()
    gone |= {
        (rows.user_tokens[user], rows.item_tokens[item])
        for user, item in zip(rows.users[withdrawal.forget], rows.items[withdrawal.forget], strict=True)
    }
    if kind == "users":
        gone |= {("u3", token) for token in rows.item_tokens} if scope == "all" else set()
    head, *lines = (folder / "tiny" / "tiny.inter").read_text().splitlines()
    stay = [line for line in lines if tuple(line.split("\t")[:2]) not in gone]
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "tiny.inter").write_text("\n".join([head, *stay]) + "\n")
    never = create_dataset(config_of(tmp_path))
    for mine, other in zip(left.with_sequences().build(), never.with_sequences().build(), strict=True):
        found, expected = pairs_of(mine), pairs_of(other)
        if (kind, scope) == ("users", "train"):  # two held-out rows are left of u3, which a new split would divide anew
            found, expected = ({pair for pair in pairs if pair[0] != "u3"} for pairs in (found, expected))
        assert found
        assert found == expected


def pairs_of(part):
    """Return user, sequence and target of each pair, in tokens."""
    feat, items = part.inter_feat, part.field2id_token["item_id"]
    users = part.field2id_token["user_id"][feat["user_id"].numpy()]
    lists = [
        tuple(items[line[:n]])
        for line, n in zip(feat["item_id_list"].numpy(), feat["item_length"].numpy(), strict=True)
    ]
    return set(zip(users, lists, items[feat["item_id"].numpy()], strict=True))


def test_a_withdrawn_item_is_in_no_sequence(folder):
    dataset = create_dataset(config_of(folder))
    rows = dataset.interactions()
    item = rows.item_ids(["i4"])[0]
    left = dataset.without(WithdrawalRequest.items(["i4"]).resolve(rows, "all")).with_sequences()
    for part in left.build():
        assert not (part.inter_feat["item_id_list"] == item).any()
        assert not (part.inter_feat["item_id"] == item).any()
        lengths = (part.inter_feat["item_id_list"] > 0).sum(dim=1)
        assert torch.equal(lengths, part.inter_feat["item_length"])
        assert (lengths > 0).all()


@pytest.mark.parametrize("model", ["SASRec", "GRU4Rec"])
def test_models_are_retrained_tuned_and_sharded(folder, tmp_path, monkeypatch, model):
    monkeypatch.chdir(tmp_path)
    config = config_of(folder, model, shard_count=2, n_heads=1, inner_size=8, n_layers=1)
    dataset = create_dataset(config)
    original = train_model(config, dataset)
    request = WithdrawalRequest.users(["u3", "u8"])
    ids = dataset.interactions().user_ids(["u3", "u8"])
    for method in ("Retrain", "FineTune", "SISA"):
        unlearner = train_for_method(config, dataset, method, saved=False) or original.copy()
        before = [value.clone() for value in unlearner.model.parameters()]
        model_after = unlearner.unlearn(request, method).model
        assert any(not torch.equal(a, b) for a, b in zip(before, model_after.parameters(), strict=True))
        train_data, _, test_data = data_preparation(config, unlearner.dataset)
        assert not np.isin(train_data._dataset.inter_feat["user_id"], ids).any()
        assert np.isfinite(unlearner.evaluate(test_data)["ndcg@10"])
        assert unlearner.unlearn(request, method).diagnostics == {"nothing_to_do": True}
    for method, why in (("SCIF", "scores the sequence"), ("RetrainStopped", "scores the sequence before a row")):
        with pytest.raises(UnsupportedModelError, match=why):
            original.copy().unlearn(request, method)


def test_ready_made_parts_are_refused(folder):
    with pytest.raises(ConfigError, match="sequences hold rows of each other"):
        create_dataset(config_of(folder, benchmark_filename=["a", "b", "c"]))


def test_beside_a_sequence_of_dien_stand_other_items_that_were_not_withdrawn(folder):
    dataset = create_dataset(config_of(folder, "DIEN", metrics=["NDCG"], valid_metric="NDCG@10"))
    before = dataset.with_sequences().build()[0].inter_feat
    again = dataset.with_sequences().build()[0].inter_feat
    assert torch.equal(before["neg_item_id_list"], again["neg_item_id_list"])
    rows = dataset.interactions()
    left = dataset.without(WithdrawalRequest.items(["i4"]).resolve(rows, "all"))
    gone = rows.item_ids(["i4"])[0]
    for feat in (before, left.with_sequences().build()[0].inter_feat):
        inside = feat["item_id_list"] > 0
        drawn = feat["neg_item_id_list"]
        assert (drawn[inside] > 0).all()
        assert (drawn[~inside] == 0).all()
        assert (drawn[inside] != feat["item_id_list"][inside]).all()
        assert drawn.max() < dataset.item_num
    assert (drawn != gone).all()
    assert (before["neg_item_id_list"] == gone).any()


def test_a_model_that_looks_into_the_sequences_when_it_is_made_is_made_of_those_that_remain(
    folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    keys = {"n_layers": 2, "n_heads": 1, "inner_size": 8, "epochs": 1, "checkpoint_dir": str(tmp_path)}
    config = config_of(folder, "FEARec", **keys)
    trained = train_model(config, create_dataset(config))
    trained.save("model.pth")
    assert load_data_and_model("model.pth", config_dict={"data_path": str(folder)})[1].same_item_index
    before = sum(map(len, trained.model.same_item_index.values()))
    for method in ("FineTune", "Retrain", "SISA"):
        if method == "SISA":
            trained = train_for_method(config, create_dataset(config), get_method(config, method), saved=False)
        unlearner = trained.copy()
        unlearner.unlearn(WithdrawalRequest.users(["u3"]), method)
        if method != "SISA":
            assert sum(map(len, unlearner.model.same_item_index.values())) < before
