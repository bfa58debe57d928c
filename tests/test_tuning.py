"""RecBole's HyperTuning searches a method's options, on training rows alone."""

import numpy as np
import pytest
import yaml

from recbole_unlearn import objective_function
from recbole_unlearn.compare import tuning
from recbole_unlearn.compare.tuning import validation_view
from recbole_unlearn.data import create_dataset
from recbole_unlearn.trainer import train_model

KEYS = {
    "model": "NeuMF",
    "dataset": "tiny",
    "epochs": 3,
    "learning_rate": 0.01,
    "mf_embedding_size": 8,
    "mlp_embedding_size": 8,
    "mlp_hidden_size": [8],
    "withdraw_alpha": 20.0,
    "mio_protocols": ["strong"],
    "show_progress": False,
}


@pytest.fixture
def config_file(data_path, tmp_path):
    path = tmp_path / "tuning.yaml"
    path.write_text(yaml.safe_dump({**KEYS, "data_path": data_path}))
    return str(path)


def test_hyper_tuning_tries_every_option_and_trains_once(config_file, monkeypatch, capsys):
    pytest.importorskip("hyperopt", reason="hyperopt is not installed: pip install 'recbole-unlearn[test]'")
    from recbole.trainer import HyperTuning

    trainings = []
    monkeypatch.setattr(tuning, "train_model", lambda *given: trainings.append(1) or train_model(*given))
    tuning._last.clear()
    space = {"choice": {"damping": [0.0, 1000.0], "newton_steps": [1, 50]}}
    search = HyperTuning(objective_function, params_dict=space, fixed_config_file_list=[config_file], early_stop=10)
    search.run()
    assert len(search.params2result) == 4
    assert len(trainings) == 1
    scores = {name: result["best_valid_score"] for name, result in search.params2result.items()}
    assert len(set(scores.values())) > 1, "the options must matter to the score"
    assert search.best_score == max(scores.values())
    for result in search.params2result.values():
        figures = result["best_valid_result"]
        expected = figures["ndcg@10"] * (1 - 2 * abs(figures["oracle_auc"] - 0.5))
        assert result["best_valid_score"] == pytest.approx(expected, abs=1e-12)  # the same arithmetic
        assert result["valid_score_bigger"] is True
        assert result["test_result"] == {}


def test_options_of_one_method_do_not_train_again(config_file, monkeypatch):
    trainings = []
    monkeypatch.setattr(tuning, "train_model", lambda *given: trainings.append(1) or train_model(*given))
    tuning._last.clear()
    for ridge, steps in ((0.01, 2.0), (0.1, 3.0)):  # hyperopt gives whole numbers as floats
        objective_function({"SCIF.ridge": ridge, "SCIF.newton_steps": steps}, [config_file])
    assert len(trainings) == 1


def test_the_test_part_is_not_looked_at(make_config):
    data = create_dataset(make_config())
    train, _, test = (data.interactions(part) for part in range(3))
    view = validation_view(data, seed=7)
    kept, held = view.interactions(), view.interactions(part=2)
    assert len(test.users) > 0
    assert np.array_equal(np.sort(np.append(kept.pair_keys(), held.pair_keys())), np.sort(train.pair_keys()))
    before, of_user = np.bincount(train.users), np.bincount(held.users, minlength=train.users.max() + 1)
    assert np.array_equal(of_user, before // 5)
    again = validation_view(data, seed=7).interactions(part=2)
    assert np.array_equal(again.pair_keys(), held.pair_keys())
    assert not np.array_equal(validation_view(data, seed=8).interactions(part=2).pair_keys(), held.pair_keys())


def test_whole_numbers_may_come_as_floats():
    assert tuning._whole_numbers({"newton_steps": 5.0, "damping": 2.0}) == {"newton_steps": 5, "damping": 2.0}
    assert type(tuning._whole_numbers({"newton_steps": 5.0})["newton_steps"]) is int
