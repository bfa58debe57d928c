"""Every way of RecBole's to evaluate: sampled and labeled test rows, metrics of scores, metrics that count."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from recbole_unlearn import WithdrawalRequest, run_unlearn, train_model
from recbole_unlearn.cli import main
from recbole_unlearn.compare.assessment import Assessment
from recbole_unlearn.compare.tuning import objective_function
from recbole_unlearn.data import create_dataset
from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.testing import write_inter

SPLIT = {"split": {"RS": [0.8, 0.1, 0.1]}, "order": "RO", "group_by": "user"}
LABELED = {
    "load_col": {"inter": ["user_id", "item_id", "rating", "timestamp"]},
    "threshold": {"rating": 3},
    "metrics": ["AUC", "LogLoss"],
    "valid_metric": "AUC",
    "eval_args": {**SPLIT, "mode": "labeled"},
}
QUICK = {"mio_protocols": ["refit"], "witnesses": ["taste"]}
COUNTING = ["ItemCoverage", "GiniIndex", "ShannonEntropy", "AveragePopularity", "TailPercentage", "GAUC", "NDCG"]
ASKED = WithdrawalRequest.users([f"u{n}" for n in range(12)])


def assessed(config):
    """Return the assessment of a withdrawal and the trained original."""
    dataset = create_dataset(config)
    return Assessment(config, dataset, ASKED.resolve(dataset.interactions(), "train")), train_model(config, dataset)


def run(data_path, **keys):
    defaults = {
        "data_path": data_path,
        "epochs": 2,
        "methods": ["Retrain"],
        "timing_runs": 1,
        "output_dir": "out",
        **QUICK,
    }
    sizes = {"mf_embedding_size": 8, "mlp_embedding_size": 8, "mlp_hidden_size": [8]}
    return run_unlearn("NeuMF", "tiny", config_dict={**defaults, **sizes, **keys}, argv=())["unlearn"]


@pytest.mark.parametrize("mode", ["uni20", "pop10", "full"])
def test_a_ranking_is_that_of_recbole_and_the_same_for_every_model(mode, make_config):
    config = make_config(
        **QUICK, epochs=2, eval_args={**SPLIT, "mode": mode}, metrics=["NDCG", "Hit"], valid_metric="NDCG@10"
    )
    assess, unlearner = assessed(config)
    figures, again = assess(unlearner)["utility"], assess(unlearner.copy())["utility"]
    assert figures == again
    users = np.unique(assess.membership.others.users)
    gone = np.isin(users, assess.withdrawn_users).mean()
    for name, value in figures["all"].items():
        parts = gone * figures["withdrawn"][name] + (1 - gone) * figures["retained"][name]
        assert parts == pytest.approx(value, abs=1e-4)


def test_fewer_drawn_items_are_ranked_more_easily(make_config):
    """All items but the history are ranked in mode full, five and the test items in uni5."""
    told = {}
    for mode in ("uni5", "full"):
        config = make_config(
            **QUICK, epochs=2, eval_args={**SPLIT, "mode": mode}, metrics=["NDCG"], valid_metric="NDCG@10"
        )
        assess, unlearner = assessed(config)
        told[mode] = assess(unlearner)["utility"]["all"]["ndcg@10"]
    assert told["uni5"] > told["full"] + 0.2


def test_the_lists_are_those_of_a_full_ranking_in_every_mode(make_config):
    lists = []
    for mode in ("full", "uni20"):
        config = make_config(**QUICK, epochs=2, eval_args={**SPLIT, "mode": {"valid": "full", "test": mode}})
        assess, unlearner = assessed(config)
        lists.append(assess.witness_setting().serve(unlearner))
    assert np.array_equal(lists[0].top, lists[1].top)
    assert lists[0].ndcg == pytest.approx(lists[1].ndcg)


def test_scores_are_compared_with_labels_by_group(make_config):
    config = make_config(**QUICK, epochs=2, **LABELED)
    assess, unlearner = assessed(config)
    figures = assess(unlearner)["utility"]
    labels, scores, owners = [], [], []
    unlearner.model.eval()
    for batch, *_ in assess.test_data:
        labels.append(batch["label"].numpy())
        scores.append(unlearner.model.predict(batch).detach().numpy())
        owners.append(batch["user_id"].numpy())
    labels, scores, owners = map(np.concatenate, (labels, scores, owners))
    gone = np.isin(owners, assess.withdrawn_users)
    for name, rows in (("withdrawn", gone), ("retained", ~gone), ("all", gone | ~gone)):
        assert figures[name]["auc"] == pytest.approx(roc_auc_score(labels[rows], scores[rows]), abs=1e-4)
        assert figures[name]["logloss"] == pytest.approx(log_loss(labels[rows], scores[rows]), abs=1e-4)


def test_metrics_that_count_are_those_of_the_groups_lists(make_config):
    config = make_config(**QUICK, epochs=2, metrics=COUNTING, valid_metric="NDCG@10", topk=[10])
    assess, unlearner = assessed(config)
    figures, lists = assess(unlearner)["utility"], assess.witness_setting().serve(unlearner)
    counts = np.bincount(assess.membership.members.items, minlength=unlearner.model.n_items)
    gone = lists.of(assess.withdrawn_users)
    for name, rows in (("withdrawn", gone), ("retained", ~gone), ("all", gone | ~gone)):
        top = lists.top[rows]
        covered = len(np.unique(top)) / unlearner.model.n_items
        assert figures[name]["itemcoverage@10"] == pytest.approx(covered, abs=1e-4)
        assert figures[name]["averagepopularity@10"] == pytest.approx(counts[top].mean(), abs=1e-3)
    assert set(figures["all"]) == {"gauc", *(f"{name.lower()}@10" for name in COUNTING if name != "GAUC")}


@pytest.mark.parametrize(
    "keys",
    [
        {"eval_args": {**SPLIT, "mode": "uni100"}},
        {"metrics": COUNTING, "valid_metric": "ItemCoverage@10"},
        LABELED,
        {**LABELED, "valid_metric": "LogLoss", "metrics": ["LogLoss", "MAE", "RMSE"]},
        {"metrics": ["AUC"], "valid_metric": "AUC", "eval_args": {**SPLIT, "mode": "uni20"}},
    ],
)
def test_a_run_takes_every_way_to_evaluate(keys, data_path):
    report = run(data_path, **keys, report_html=True, report_plots=True)
    for result in report["methods"].values():
        assert result["utility"]["retained"][report["headline"]] is not None
        assert result["witnesses"]["taste"]["mean"] is not None
    better = "less" if report["headline"] == "logloss" else "more"
    text = " ".join(str(report).split())  # lines are wrapped
    assert f"withdrawn users, {better} is better" in text
    mode = json.loads(Path("out/report.json").read_text())["eval_mode"]
    said = {
        "full": "full ranking",
        "uni100": "among 100 drawn",
        "labeled": "labeled test rows",
        "uni20": "among 20 drawn",
    }
    assert said[mode] in text


def test_what_has_no_figure_for_a_group_is_said_in_a_line():
    """The only one who leaves liked all that is held out: there is no AUC of one label."""
    path = write_inter(Path("data"), "liked")
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    rows[1:] = [[user, item, "5" if user == "u7" else rating, time] for user, item, rating, time in rows[1:]]
    path.write_text("\n".join("\t".join(row) for row in rows) + "\n")
    Path("who.csv").write_text("user_id\nu7\n")
    keys = {**LABELED, "withdraw": "who.csv", "epochs": 1, "methods": ["Retrain"], "data_path": "data", **QUICK}
    report = run_unlearn("BPR", "liked", config_dict={**keys, "metrics": ["AUC"]}, argv=())["unlearn"]
    assert report["methods"]["Retrain"]["utility"]["withdrawn"]["auc"] is None
    assert report["methods"]["Retrain"]["utility"]["retained"]["auc"] is not None
    assert report["nulls"]["methods.Retrain.utility.withdrawn.auc"] == "it was nan"
    assert str(report).count("No figure of auc for withdrawn users") == 1


def test_the_command_takes_them_too(data_path, capsys):
    arguments = ["--dataset=tiny", f"--data_path={data_path}", "--model=BPR", "--epochs=1", "--methods=Retrain"]
    arguments += ["--mio_protocols=refit", "--witnesses=taste"]
    assert main([*arguments, "--metrics=['ItemCoverage','NDCG']", "--eval_args={'mode':'uni100'}"]) == 0
    assert "among 100 drawn ones each" in " ".join(capsys.readouterr().out.split())


def test_tuning_needs_a_metric_of_which_more_is_better(data_path):
    with pytest.raises(ConfigError, match="one of which more is better"):
        objective_function({**LABELED, "data_path": data_path, "dataset": "tiny", "valid_metric": "LogLoss"})
