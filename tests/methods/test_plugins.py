"""Methods and adapters from outside the package."""

import sys
from pathlib import Path

import pytest
import torch

from recbole_unlearn import Unlearner, WithdrawalRequest
from recbole_unlearn.checkpoints.model_file import _config
from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.settings import presets
from recbole_unlearn.testing import MethodConformance
from recbole_unlearn.utils import get_method

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(autouse=True)
def on_the_path(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))


class TestMeanRow(MethodConformance):
    """The five lines of an author."""

    method = "own_method:MeanRow"
    models = ("NeuMF",)
    unchanged = ("items", "interactions")


def test_options_come_from_the_class_and_from_the_user(make_config, caplog):
    named = {"methods": ["Retrain", "own_method:MeanRow"]}
    assert get_method(make_config(**named), "own_method:MeanRow").options == {"shrink": 1.0}
    assert get_method(make_config(**named, shrink=0.5), "own_method:MeanRow").options == {"shrink": 0.5}
    for key in ("MeanRow.shrink", "own_method:MeanRow.shrink"):
        assert get_method(make_config(**named, **{key: 0.5}), "own_method:MeanRow").options == {"shrink": 0.5}
    with pytest.raises(ConfigError, match="MeanRow has no option 'shrnk'; did you mean 'shrink'"):
        make_config(**named, **{"MeanRow.shrnk": 0.5})
    make_config(shrink=0.5)
    assert "nothing in a run of NeuMF reads: shrink" in caplog.text


def test_unlearn_method_may_be_ones_own(trained, make_config):
    unlearner = Unlearner(make_config(unlearn_method="own_method:MeanRow"), trained.model, trained.dataset)
    kept = [p.detach().clone() for p in trained.model.parameters()]
    try:
        outcome = unlearner.unlearn(WithdrawalRequest.users(["u3"]))
        assert outcome.diagnostics == {"users": 1}
        table = trained.model.user_mf_embedding.weight
        (user,) = trained.dataset.interactions().user_ids(["u3"])
        others = torch.arange(1, len(table)) != user
        assert torch.allclose(table[user], table[1:][others].mean(dim=0), atol=1e-6)  # a mean of 59 float32
    finally:
        for parameter, before in zip(trained.model.parameters(), kept, strict=True):
            parameter.data = before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.at_all:Foo", "cannot be imported.*PYTHONPATH"),
        ("own_method:Foo", "has no 'Foo'"),
        ("own_method:run_unlearn", "is no UnlearnMethod"),
        (":Foo", "not of the form"),
    ],
)
def test_wrong_names_say_what_to_do(name, message, make_config):
    with pytest.raises(ConfigError, match=message):
        make_config(unlearn_method=name)


def test_an_adapter_is_imported_by_name(make_config, monkeypatch):
    monkeypatch.delitem(sys.modules, "own_model", raising=False)
    make_config(adapters=["own_model:PlainMFAdapter"])
    assert "own_model" in sys.modules
    with pytest.raises(ConfigError, match="is no ScoringAdapter"):
        make_config(adapters="own_model:PlainMF")


def test_a_name_that_is_taken_is_refused():
    from recbole_unlearn.methods import UnlearnMethod

    with pytest.raises(ConfigError, match="there is a method 'Retrain' already"):
        type("Mine", (UnlearnMethod,), {"name": "Retrain", "__module__": "elsewhere"})


def test_a_file_does_not_say_which_code_is_imported(data_path):
    saved = {"model": "NeuMF", "dataset": "tiny", "unlearn_method": "own_method:MeanRow", "adapters": ["os:path"]}
    saved["methods"] = ["own_method:MeanRow"]
    config = _config(saved, {"data_path": data_path})
    assert config["unlearn_method"] == "SCIF"
    assert not presets.names_code(config["methods"])
    assert config["adapters"] == []
