"""Pickles and files of torch and joblib, through the readers that run nothing in them."""

import collections
import io
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import torch

from recbole_unlearn.lineage.digest import weights_digest
from recbole_unlearn.production.formats.dispatch import inspect
from recbole_unlearn.production.trace import CHECK, MUST_FIX, NOT_INSPECTED
from tests.production.planted import ROWS, clear, gz, hashed, npy, zipped

TABLE = pd.DataFrame({"user_id": ["22", "196"], "n": [1, 2]})
TOKENS = {"user_id": np.array(["1", "196"])}


class Mine:
    def __init__(self):
        self.user_id = "196"


def model():
    torch.manual_seed(0)
    return torch.nn.ModuleDict(
        {"user_embedding": torch.nn.Embedding(30, 4), "item_embedding": torch.nn.Embedding(9, 4)}
    )


def trained():
    """Return a model and its optimizer after a step."""
    made = model()
    optimizer = torch.optim.Adam(made.parameters())
    sum(one.sum() for one in made.parameters()).backward()
    optimizer.step()
    return made.state_dict(), optimizer.state_dict()


def saved(content, **options):
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def dumped(content, **options):
    file = io.BytesIO()
    joblib.dump(content, file, **options)
    return file.getvalue()


def groups(name, data, wanted=None):
    return {(trace.group, trace.kind) for trace in inspect(name, data, len(data), wanted or clear(n_users=30))}


OBJECTS, REQUEST, MODEL, MOMENTS = "objects", "request file", "model", "optimizer moments"
CASES = {
    "table.pkl": (lambda: pickle.dumps(TABLE), OBJECTS),
    "numbers.pkl": (lambda: pickle.dumps(TABLE.astype({"user_id": int})), OBJECTS),
    "categories.pkl": (lambda: pickle.dumps(TABLE.astype({"user_id": "category"})), OBJECTS),
    "series.pkl": (lambda: pickle.dumps(TABLE["user_id"]), OBJECTS),
    "index.pkl": (lambda: pickle.dumps(TABLE.set_index("user_id")), OBJECTS),
    "request.pkl": (lambda: pickle.dumps({"users": ["196"]}), REQUEST),
    "oldest.pkl": (lambda: pickle.dumps({"users": ["196"]}, 0), REQUEST),
    "noending": (lambda: pickle.dumps(TOKENS, 2), OBJECTS),
    "counter.pkl": (lambda: pickle.dumps({"user_counts": collections.Counter({"196": 3})}), OBJECTS),
    "set.pkl": (lambda: pickle.dumps({"user_ids": {"196", "3"}}), OBJECTS),
    "mine.pkl": (lambda: pickle.dumps(Mine()), OBJECTS),
    "packed.pkl.gz": (lambda: gz(pickle.dumps(TABLE)), OBJECTS),
    "a.joblib": (lambda: dumped(TOKENS), OBJECTS),
    "zlib.joblib": (lambda: dumped(TOKENS, compress=3), OBJECTS),
    "objects.npy": (lambda: npy(np.array([{"user": 196}], dtype=object)), OBJECTS),
    "state.pth": (lambda: saved(trained()[0]), MODEL),
    "legacy.pth": (lambda: saved(trained()[0], _use_new_zipfile_serialization=False), MODEL),
    "wrapped.pth": (lambda: saved({"epoch": 3, "model": trained()[0]}), MODEL),
    "module.pth": (lambda: saved(model()), MODEL),
    "optimizer.pth": (lambda: saved(trained()[1]), MOMENTS),
    "cache.pth": (lambda: saved({"restore_user_e": torch.ones(3, 2)}), "cached embeddings"),
    "ids.pt": (lambda: saved({"user_id": torch.tensor([5, 196])}), OBJECTS),
    "in.zip": (lambda: zipped(x__pth=saved(trained()[0])), MODEL),
}


@pytest.mark.parametrize("name", CASES)
def test_they_are_found(name):
    make, kind = CASES[name]
    assert (MUST_FIX, kind) in groups(name, make())


def test_what_is_not_known_is_listed_beside_what_is_found():
    assert (NOT_INSPECTED, "pickle") in groups("mine.pkl", pickle.dumps(Mine()))
    assert groups("clean.pkl", pickle.dumps({"seed": 196, "lr": 0.1})) == set()
    assert groups("numbers.pt", saved(torch.arange(300))) == {(NOT_INSPECTED, OBJECTS)}


def test_rows_of_numbers_need_the_rows_that_left():
    data = saved(torch.tensor([[196, int(item)] for _, item in ROWS]))
    assert groups("rows.pt", data) == {(CHECK, "objects without names")}
    assert groups("rows.pt", data, hashed()) == {(MUST_FIX, "objects without names")}


def test_the_ledgers_digest_proves_a_model():
    state, optimizer = trained()
    wanted = clear(n_users=30, digests=[weights_digest(state)])
    assert groups("a.pth", saved({"state_dict": state}), wanted) == set()
    assert groups("a.pth", saved({"state_dict": state, "optimizer": optimizer}), wanted) == {(MUST_FIX, MOMENTS)}
