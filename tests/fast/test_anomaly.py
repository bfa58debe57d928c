import importlib
import sys

import pytest
import torch

from recbole_unlearn import Unlearner
from recbole_unlearn.fast import anomaly
from recbole_unlearn.utils import get_model


@pytest.fixture
def as_in_a_new_process(monkeypatch):
    """SINE is imported as if for the first time; no other test sees what it does."""
    anomaly._turn_off.cache_clear()
    monkeypatch.delitem(sys.modules, anomaly._SINE, raising=False)
    before = torch.is_anomaly_enabled()
    importlib.import_module(anomaly._SINE)
    assert torch.is_anomaly_enabled()  # or RecBole was mended, and anomaly.py may go
    yield
    torch.autograd.set_detect_anomaly(before)


def trainer(make_config, **keys):
    config = make_config("BPR", **keys)
    return Unlearner(config, torch.nn.Linear(1, 1))


def test_what_sine_leaves_on_is_turned_off_and_what_a_user_turns_on_stays(make_config, as_in_a_new_process):
    trainer(make_config)
    assert not torch.is_anomaly_enabled()
    torch.autograd.set_detect_anomaly(True)
    trainer(make_config)
    assert torch.is_anomaly_enabled()


def test_the_switch_leaves_recbole_as_it_is(make_config, as_in_a_new_process):
    trainer(make_config, fast=False)
    assert torch.is_anomaly_enabled()


def test_sequential_models_still_bring_it():
    assert get_model("SASRec")
    assert anomaly._SINE in sys.modules
