"""Data sets with a graph of knowledge: RecBole's own ids, which stay when an item's last row leaves."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from recbole.data.dataset import KGSeqDataset, KnowledgeBasedDataset
from recbole.utils import ModelType, init_seed

from recbole_unlearn import Config, load_data_and_model, withdraw_from_model
from recbole_unlearn.data import create_dataset
from recbole_unlearn.data.kinds import dataset_class
from recbole_unlearn.data.knowledge import KnowledgeDataset, KnowledgeSequenceDataset
from recbole_unlearn.exceptions import UnsupportedModelError
from recbole_unlearn.model.adapter import InfluenceAdapter
from recbole_unlearn.testing import write_inter, write_knowledge
from recbole_unlearn.trainer import train_model

KEYS = {
    "epochs": 1,
    "embedding_size": 8,
    "show_progress": False,
    "parallel_jobs": 1,
    "load_col": {
        "inter": ["user_id", "item_id", "timestamp"],
        "kg": ["head_id", "relation_id", "tail_id"],
        "link": ["item_id", "entity_id"],
    },
}

# KSR loads vectors of entities from further files, which the data set does not need.
SEQUENCES = {
    "train_neg_sample_args": None,
    "additional_feat_suffix": None,
    "preload_weight": None,
    "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "full"},
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The small data set, with a graph to which every item but i9 is linked."""
    monkeypatch.chdir(tmp_path)
    write_knowledge(write_inter(tmp_path, "tiny"))
    return tmp_path


def config_of(folder, model="CFKG", **keys):
    return Config(model, "tiny", config_dict={**KEYS, "data_path": str(folder), **keys}, argv=())


def withdraw(**names):
    Path("request.json").write_text(json.dumps({kind: [name] for kind, name in names.items()}))
    withdraw_from_model("model.pth", {"withdraw": "request.json", "methods": "Retrain"})


def ids_of(dataset):
    return {field: dict(index) for field, index in dataset.field2token_id.items()}


def facts_of(dataset):
    fields = dataset.head_entity_field, dataset.relation_field, dataset.tail_entity_field
    return [np.asarray(dataset.kg_feat[field]) for field in fields]


@pytest.mark.parametrize(
    ("model", "ours", "stock"),
    [("CFKG", KnowledgeDataset, KnowledgeBasedDataset), ("KSR", KnowledgeSequenceDataset, KGSeqDataset)],
)
def test_without_a_withdrawal_ids_facts_and_parts_are_recboles(folder, model, ours, stock):
    config = config_of(folder, model, **(SEQUENCES if model == "KSR" else {}))
    dataset, theirs = create_dataset(config), stock(config)
    assert type(dataset) is ours
    parts = dataset.with_sequences().build()
    init_seed(config["seed"], config["reproducibility"])
    for mine, other in zip(parts, theirs.build(), strict=True):
        columns, others = mine.inter_feat.interaction, other.inter_feat.interaction
        assert columns.keys() == others.keys()
        assert all(torch.equal(columns[name], others[name]) for name in columns)
    assert ids_of(dataset) == ids_of(theirs)
    assert all(np.array_equal(mine, other) for mine, other in zip(facts_of(dataset), facts_of(theirs), strict=True))


@pytest.mark.parametrize("reverse", [False, True])
def test_ids_and_facts_stay_after_an_item_and_a_user_have_left(folder, reverse):
    config = config_of(folder, kg_reverse_r=reverse)
    dataset = create_dataset(config)
    ids, facts = ids_of(dataset), facts_of(dataset.build()[0])
    trained = train_model(config, dataset)
    trained.save("model.pth")
    withdraw(items="i4")
    withdraw(users="u3")
    file = folder / "tiny/tiny.inter"
    lines = [line for line in file.read_text().splitlines() if not {"i4", "u3"} & set(line.split("\t"))]
    file.write_text("\n".join(lines) + "\n")
    _, model, later, *_ = load_data_and_model("model.pth")
    assert later.is_kept
    for field, index in ids_of(later).items():
        for token, place in index.items():
            assert token.startswith("[withdrawn") or ids[field][token] == place
    for field, gone in (("item_id", "i4"), ("user_id", "u3")):
        assert [name for name in later.field2id_token[field] if name.startswith("[withdrawn")] == [
            f"[withdrawn {ids[field][gone]}]"
        ]
    assert later.entity_num == dataset.entity_num == model.n_entities
    assert later.relation_num == dataset.relation_num
    assert all(np.array_equal(mine, other) for mine, other in zip(facts_of(later.build()[0]), facts, strict=True))
    rows = [later.interactions(part) for part in range(3)]
    assert not any(ids["item_id"]["i4"] in part.items or ids["user_id"]["u3"] in part.users for part in rows)
    for part in range(3):
        before, after = dataset.interactions(part), rows[part]
        stay = ~np.isin(before.users, [ids["user_id"]["u3"]]) & ~np.isin(before.items, [ids["item_id"]["i4"]])
        assert sorted(before.pair_keys()[stay]) == sorted(after.pair_keys())


def test_rows_of_an_item_that_is_not_linked_are_left_out_and_known(folder):
    dataset = create_dataset(config_of(folder))
    parts = [dataset.interactions(part) for part in range(3)]
    assert "i9" not in {token for part in parts for token in part.item_tokens[part.items]}
    assert "i9" in dataset.names_outside[1]


def test_an_item_that_is_not_linked_stays_out_after_a_withdrawal(folder):
    config = config_of(folder)
    trained = train_model(config, create_dataset(config))
    trained.save("model.pth")
    withdraw(users="u3")
    later = create_dataset(config)
    assert later.is_kept
    assert "i9" in later.names_outside[1]


def test_models_of_trees_say_that_nothing_can_be_withdrawn(folder):
    class Trees(dict):
        dataset_class = None

    with pytest.raises(UnsupportedModelError, match="XGBoost has a data set class of its own"):
        dataset_class(Trees(model="XGBoost", MODEL_TYPE=ModelType.DECISIONTREE))


def test_an_item_whose_token_is_that_of_an_entity_does_not_move_the_others(folder):
    """RecBole gives an item without a link an entity of its own, under the item's token."""
    items = "".join(f"i{n}\tc{n % 3}\n" for n in range(40))
    (folder / "tiny/tiny.item").write_text("item_id:token\tclass:token\n" + items)
    with (folder / "tiny/tiny.kg").open("a") as file:
        file.write("ei1\tis.a\ti9\n")
    config = config_of(folder, load_col={**KEYS["load_col"], "item": ["item_id", "class"]})
    dataset = create_dataset(config)
    trained = train_model(config, dataset)
    trained.save("model.pth")
    withdraw(users="u3")
    _, model, later, *_ = load_data_and_model("model.pth")
    assert later.is_kept
    assert later.entity_num == dataset.entity_num == model.n_entities
    assert all(
        np.array_equal(*both) for both in zip(facts_of(later.build()[0]), facts_of(dataset.build()[0]), strict=True)
    )
    withdraw(users="u5")
    assert load_data_and_model("model.pth")[2].is_kept


@pytest.mark.parametrize("name", ["CKE", "MKR"])
def test_users_are_found_where_there_are_as_many_entities(folder, name):
    config = config_of(folder, name, **({"kg_embedding_size": 8} if name == "CKE" else {}))
    dataset = create_dataset(config)
    more = dataset.user_num - dataset.entity_num
    with (folder / "tiny/tiny.kg").open("a") as file:
        file.writelines(f"ei1\tis.a\tmore{n}\n" for n in range(more))
    dataset = create_dataset(config)
    assert dataset.entity_num == dataset.user_num
    adapter = InfluenceAdapter.of(train_model(config, dataset).model)
    (users,) = adapter.names(adapter.user_tables)
    assert "user" in users
    assert any("entity" in table for table in adapter.names(adapter.item_tables))
