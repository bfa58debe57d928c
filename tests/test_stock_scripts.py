"""Scripts of the usual kinds, written for stock RecBole, run to their last line after ``import recbole_unlearn``."""

import textwrap

import pytest

from recbole_unlearn import Unlearner, WithdrawalRequest, train_model
from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.exceptions import ConfigError
from tests.conftest import python

START = """
import sys
import recbole_unlearn
import numpy as np
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.data.dataset import Dataset
from recbole.model.general_recommender import BPR
from recbole.trainer import Trainer
from recbole.utils import init_seed

keys = {"data_path": sys.argv.pop(), "epochs": 2, "embedding_size": 8, "show_progress": False, "state": "ERROR"}
config = Config(BPR, "tiny", config_dict=keys)
init_seed(config["seed"], config["reproducibility"])
dataset = create_dataset(config)
train, valid, test = data_preparation(config, dataset)
model = BPR(config, train._dataset)
"""
SCRIPTS = {
    "a loop of one's own": """
        optimizer = torch.optim.Adam(model.parameters())
        for epoch in range(2):
            model.train()
            for batch in train:
                optimizer.zero_grad()
                loss = model.calculate_loss(batch)
                loss.backward()
                optimizer.step()
        print(sorted(Trainer(config, model).evaluate(test, load_best_model=False))[0])
        """,
    "a trainer of one's own": """
        class Mine(Trainer):
            seen = 0

            def _train_epoch(self, *arguments, **keys):
                Mine.seen += 1
                return super()._train_epoch(*arguments, **keys)

            def _valid_epoch(self, valid_data, show_progress=False):
                Mine.seen += 10
                return super()._valid_epoch(valid_data, show_progress)

        trainer = Mine(config, model)
        trainer.fit(train, valid)
        trainer.evaluate(test)
        assert Mine.seen == 22, Mine.seen
        """,
    "load and rank": """
        from recbole.quick_start import load_data_and_model
        from recbole.utils.case_study import full_sort_scores, full_sort_topk

        trainer = Trainer(config, model)
        trainer.fit(train, valid)
        config, model, dataset, train, valid, test = load_data_and_model(trainer.saved_model_file)
        users = dataset.token2id(dataset.uid_field, ["u3", "u9"])
        scores, items = full_sort_topk(users, model, test, k=5, device=config["device"])
        assert scores.shape == items.shape == (2, 5)
        print(dataset.id2token(dataset.iid_field, items.cpu())[0])
        assert full_sort_scores(users, model, test, device=config["device"]).shape == (2, dataset.item_num)
        """,
    "hyper tuning": """
        from recbole.quick_start import objective_function
        from recbole.trainer import HyperTuning

        keys["checkpoint_dir"] = "tuned"
        with open("keys.yaml", "w") as file:
            file.write("\\n".join(f"{key}: {value}" for key, value in {**keys, "model": "BPR", "dataset": "tiny"}.items()))
        space = {"choice": {"learning_rate": [0.01, 0.001]}}
        tuning = HyperTuning(
            objective_function, algo="exhaustive", max_evals=4, params_dict=space, fixed_config_file_list=["keys.yaml"]
        )
        tuning.run()
        tuning.export_result(output_file="tuned.result")
        assert tuning.best_params["learning_rate"] in (0.01, 0.001)
        """,
    "resume": """
        trainer = Trainer(config, model)
        trainer.fit(train, valid)
        first = {name: value.clone() for name, value in model.state_dict().items()}
        config["epochs"] = 4
        again = Trainer(config, BPR(config, train._dataset))
        again.resume_checkpoint(trainer.saved_model_file)
        assert again.start_epoch >= 1
        again.fit(train, valid)
        assert not torch.equal(first["user_embedding.weight"], again.model.user_embedding.weight)
        """,
    "a data set of one's own": """
        class Mine(Dataset):
            def _data_filtering(self):
                super()._data_filtering()
                self.inter_feat = self.inter_feat[self.inter_feat[self.iid_field] != "i3"].reset_index(drop=True)

        mine = Mine(config)
        assert len(mine) < len(dataset)
        train, valid, test = data_preparation(config, mine)
        trainer = Trainer(config, BPR(config, train._dataset))
        trainer.fit(train, valid)
        """,
    "metrics that count": """
        from recbole.quick_start import run_recbole

        counting = ["ItemCoverage", "GiniIndex", "ShannonEntropy", "AveragePopularity", "TailPercentage", "GAUC"]
        told = run_recbole("BPR", "tiny", config_dict={**keys, "metrics": counting, "valid_metric": "ItemCoverage@10"})
        assert 0 < told["test_result"]["itemcoverage@10"] <= 1
        """,
    "scores of labeled rows": """
        from recbole.quick_start import run_recbole

        labeled = {
            "load_col": {"inter": ["user_id", "item_id", "rating"]},
            "threshold": {"rating": 3},
            "metrics": ["AUC", "LogLoss"],
            "valid_metric": "AUC",
            "eval_args": {"mode": "labeled"},
        }
        for name in ("FM", "DeepFM"):
            assert "auc" in run_recbole(name, "tiny", config_dict={**keys, **labeled})["test_result"]
        """,
    "a model with a trainer of RecBole's": """
        from recbole.quick_start import run_recbole

        assert "ndcg@10" in run_recbole("RecVAE", "tiny", config_dict=keys)["test_result"]
        """,
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_stock_script_runs_to_its_last_line(name, data_path, tmp_path):
    script = START + textwrap.dedent(SCRIPTS[name]) + "\nprint('LAST LINE')\n"
    assert python(script, data_path, folder=tmp_path).rstrip().endswith("LAST LINE")


class OnlyLiked(WithdrawalDataset):
    """A data set of one's own, which leaves rows out."""

    def _data_filtering(self):
        super()._data_filtering()
        self.inter_feat = self.inter_feat[self.inter_feat["rating"] > 1].reset_index(drop=True)


@pytest.mark.parametrize("method", ["Retrain", "FineTune", "SCIF", "RedrawItems", "RetrainSVD", "ResetUE"])
def test_a_data_set_of_ones_own_is_unlearned(method, make_config):
    config = make_config("BPR", epochs=2, embedding_size=8)
    unlearner = train_model(config, OnlyLiked(config))
    outcome = unlearner.unlearn(WithdrawalRequest.users(["u1"]), method, scope="train")
    assert "nothing_to_do" not in outcome.diagnostics
    rows = unlearner.dataset.interactions()
    assert type(unlearner.dataset) is OnlyLiked
    assert "u1" not in set(rows.user_tokens[rows.users])
    ratings = unlearner.dataset.build()[0].inter_feat["rating"]
    assert float(ratings.min()) >= 2


def test_a_data_set_of_stocks_is_refused_with_what_to_do(make_config):
    from recbole.data.dataset import Dataset

    config = make_config("BPR", epochs=1, embedding_size=8)
    dataset = Dataset(config)
    unlearner = Unlearner(config, config.model_class(config, dataset), dataset)
    with pytest.raises(
        ConfigError, match=r"the data set is a Dataset, .* extend recbole_unlearn.data.dataset.Withdrawal"
    ):
        unlearner.unlearn(WithdrawalRequest.users(["u1"]), "Retrain")


def test_a_trainer_that_extends_recboles_trains_for_every_method(make_config):
    from recbole.trainer import Trainer

    class Mine(Trainer):
        epochs_of_mine = 0

        def _train_epoch(self, *arguments, **keys):
            Mine.epochs_of_mine += 1
            return super()._train_epoch(*arguments, **keys)

    config = make_config("BPR", epochs=2, embedding_size=8)
    unlearner = train_model(config, OnlyLiked(config), trainer=Mine)
    assert isinstance(unlearner, Unlearner)
    assert isinstance(unlearner, Mine)
    assert Mine.epochs_of_mine == 2
    unlearner.unlearn(WithdrawalRequest.users(["u1"]), "Retrain", scope="train")
    assert Mine.epochs_of_mine == 4
