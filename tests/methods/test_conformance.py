"""Every built-in method on every adapter and every kind of request, by the suite that authors use for theirs."""

import numpy as np
import pytest
import torch

from recbole_unlearn.model.adapter import InfluenceAdapter
from recbole_unlearn.settings import presets
from recbole_unlearn.testing import REQUESTS, MethodConformance, copy_of, flat, original_of

REFUSES = {"SCIF-items": ("LightGCN", "BPR"), "Exact": ("NeuMF", "LightGCN", "BPR")}  # no item blocks; no closed form
REFUSES["CertifiedRemoval"] = ("NeuMF", "LightGCN")  # not convex
# What they share with Retrain is asked of it, on every model.
FEWER = {"RetrainAgain": ("NeuMF",), "RedrawItems-ResetUE": ("NeuMF",)} | dict.fromkeys(
    ("FineTune", "RecEraser", "SISA", "UltraRE", "RetrainStopped"), ("NeuMF", "LightGCN")
)
UNCHANGED = {"ResetUE": ("interactions",)}  # nobody leaves as a whole


def suite(method):
    facts = {"method": method, "refuses": REFUSES.get(method, ()), "unchanged": UNCHANGED.get(method, ())}
    if method in FEWER:
        facts["models"] = FEWER[method]
    return type(f"Test{method.replace('-', '')}", (MethodConformance,), facts)


for name in presets.names("method"):
    globals()[suite(name).__name__] = suite(name)


def unlearned(model, request, method):
    unlearner = copy_of(original_of(model))
    unlearner.unlearn(request, method)
    return unlearner


@pytest.mark.parametrize("model", MethodConformance.models)
@pytest.mark.parametrize("method", ["SIF", "SCIF"])
def test_user_selection_leaves_items_and_other_users(model, method):
    original = original_of(model)
    unlearner = unlearned(model, REQUESTS["interactions"], method)
    rows = original.dataset.interactions()
    touched = np.unique(rows.users[REQUESTS["interactions"].resolve(rows).forget])
    adapter, before = InfluenceAdapter.of(unlearner.model), dict(original.model.named_parameters())
    for name, value in unlearner.model.named_parameters():
        if name in adapter.names(adapter.user_tables):
            others = np.setdiff1d(np.arange(len(value)), touched)
            assert torch.equal(value[others], before[name][others])
        else:
            assert torch.equal(value, before[name])


@pytest.mark.parametrize("model", MethodConformance.models)
def test_sif_on_whole_users_is_reset(model):
    by_sif = unlearned(model, REQUESTS["users"], "SIF")
    assert torch.equal(flat(by_sif.model), flat(unlearned(model, REQUESTS["users"], "ResetUE").model))
