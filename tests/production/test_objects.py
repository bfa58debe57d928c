"""Content that was read already: models in any wrapping, moments, caches, data sets, tables and lists."""

import hashlib

import numpy as np
import pytest

from recbole_unlearn.production.formats.objects import objects
from recbole_unlearn.production.formats.views import View
from recbole_unlearn.production.trace import CHECK, MUST_FIX, NOT_INSPECTED, Place
from tests.production.planted import clear, hashed

STATE = {"user_embedding.weight": np.zeros((30, 2)), "item_embedding.weight": np.zeros((50, 2)), "b": np.zeros(2)}
ITEMS = {"item_embedding.weight": np.zeros((50, 2))}
MOMENTS = {"state": {0: {"step": 3, "exp_avg": np.zeros((30, 2))}}, "param_groups": [{"lr": 0.1}]}
SMALL = {"state": {0: {"exp_avg": np.zeros((4, 2))}}, "param_groups": []}
DATASET = {
    "uid_field": "user_id",
    "iid_field": "item_id",
    "inter_feat": {"user_id": np.array([1, 2, 1, 2]), "item_id": np.array([1, 1, 2, 2])},
    "field2id_token": {"user_id": np.array(["[PAD]", "22", "7", "8"]), "item_id": np.array(["[PAD]", "a", "b"])},
}


def told(content, wanted=None, **more):
    return [(one.group, one.kind) for one in objects(Place("a.pth"), content, wanted or clear(n_users=30, **more))]


class Digesting(View):
    def digests(self, state):
        return (hashlib.sha256(repr(sorted(state)).encode()).hexdigest(),)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (STATE, [(MUST_FIX, "model")]),
        ({"model": STATE, "epoch": 3}, [(MUST_FIX, "model")]),
        ({"state_dict": STATE}, [(MUST_FIX, "model")]),
        ({"a": {"b": [STATE]}}, [(MUST_FIX, "model")]),
        ({"w": np.zeros((30, 4))}, [(MUST_FIX, "model")]),
        (ITEMS, [(CHECK, "model")]),
        ({"config": {"dataset": "shop"}, "state_dict": ITEMS}, [(MUST_FIX, "model")]),
        ({"config": {"dataset": "other"}, "state_dict": ITEMS}, []),
        ({"config": {"dataset": "other"}, "state_dict": STATE, "optimizer": MOMENTS}, [(CHECK, "model")]),
        ({"config": {"dataset": "other"}, "state_dict": ITEMS, "optimizer": SMALL}, []),
        ({"user_embedding.weight": np.zeros((31, 2))}, [(CHECK, "model")]),
        ({"user_bias": np.zeros(30), "w": np.zeros((3, 3))}, [(MUST_FIX, "model")]),
        (MOMENTS, [(MUST_FIX, "optimizer moments")]),
        (SMALL, [(CHECK, "optimizer moments")]),
        ({"optimizer": MOMENTS, "state_dict": STATE}, [(MUST_FIX, "model"), (MUST_FIX, "optimizer moments")]),
        ({"restore_user_e": np.zeros((4, 2))}, [(MUST_FIX, "cached embeddings"), (CHECK, "model")]),
        ({"other_parameter": {"restore_user_e": None, "restore_item_e": None}}, []),
        ({"other_parameter": {"norm_adj_matrix": [1.5]}}, [(MUST_FIX, "cached embeddings")]),
        ({"user_id": np.array([22, 196])}, [(MUST_FIX, "objects")]),
        ([{"user": "196"}], [(MUST_FIX, "objects")]),
        ({"splits": {"test_users": ["22", "196"]}}, [(MUST_FIX, "objects")]),
        ({"196": [3, 4]}, [(CHECK, "objects")]),
        ([["user_id", "n"], ["196", 4]], [(MUST_FIX, "objects")]),
        (["anna@example.org"], [(MUST_FIX, "objects")]),
        (np.array(["anna@example.org"], dtype=object), [(MUST_FIX, "objects")]),
        (np.arange(300), [(NOT_INSPECTED, "objects")]),
        ({"seed": 196, "topk": [10, 196], "lr": 0.1}, []),
        ({"users": 196}, []),
        ({"user_id": np.array([22, 7])}, [(NOT_INSPECTED, "objects")]),
    ],
)
def test_what_is_found(content, expected):
    assert sorted(told(content)) == sorted(expected)


def test_without_the_number_of_users_the_name_decides():
    assert told(STATE, clear()) == [(MUST_FIX, "model")]
    assert told({"w": np.zeros((30, 4))}, clear()) == [(CHECK, "model")]
    assert told(MOMENTS, clear()) == [(CHECK, "optimizer moments")]


def test_the_digest_of_all_weights_proves_a_model_but_no_moments():
    digests = Digesting().digests(STATE)
    wanted = clear(n_users=30, digests=digests)
    both = {"state_dict": STATE, "optimizer": MOMENTS}
    assert list(objects(Place("a"), {"state_dict": STATE}, wanted, Digesting())) == []
    assert [one.kind for one in objects(Place("a"), both, wanted, Digesting())] == ["optimizer moments"]
    assert [one.kind for one in objects(Place("a"), STATE, clear(n_users=30, digests=["00"]), Digesting())] == ["model"]


def test_numbers_in_a_data_set_of_recbole_are_no_tokens():
    assert told(DATASET) == []
    tokens = {"user_id": np.array(["[PAD]", "196", "7", "8"]), "item_id": np.array(["[PAD]", "a", "b"])}
    found = list(objects(Place("a"), [{**DATASET, "field2id_token": tokens}], clear()))
    assert [(one.kind, one.what) for one in found] == [
        ("data set or dataloaders", "2 rows of withdrawn users"),
        ("objects", "1 withdrawn token under names of users or items"),
    ]
    assert told({**DATASET, "uid_field": "nobody"}) == [(NOT_INSPECTED, "data set or dataloaders")]


def test_a_cycle_ends():
    ring = {"user": "196"}
    ring["self"] = [ring]
    assert told(ring) == [(MUST_FIX, "objects")]


def test_evidence_of_rows_in_arrays():
    rows = np.array([["196", item] for item in ("242", "302", "377", "51")])
    assert told(rows, hashed()) == [(MUST_FIX, "objects without names")]
