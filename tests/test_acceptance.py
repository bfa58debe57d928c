"""The main job on ml-100k, shortened to 30 epochs: the figures that the README promises hold."""

import pytest

from recbole_unlearn import run_unlearn


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("acceptance"))
        patch.setattr("sys.argv", ["pytest"])
        keys = {"epochs": 30, "mio_protocols": ["strong"], "witnesses": [], "state": "WARNING", "show_progress": False}
        return run_unlearn("NeuMF", "ml-100k", config_dict=keys, saved=False)["unlearn"]


def auc(report, name):
    return report["methods"][name]["mio"]["strong"]["auc"]


def test_the_oracle_has_power_on_the_original(report):
    assert auc(report, "Original") >= 0.75
    assert report["oracle_power"]["strong"]["informative"]


def test_scif_forgets_as_retrain_does(report):
    assert abs(auc(report, "SCIF") - auc(report, "Retrain")) <= 0.03
    assert report["methods"]["SCIF"]["diagnostics"]["converged"] == 1.0


def test_retained_users_are_served_as_before(report):
    retained = {name: result["utility"]["retained"] for name, result in report["methods"].items()}
    assert retained["SCIF"] == retained["Original"]
    assert retained["SCIF"]["ndcg@10"] >= 0.95 * retained["Retrain"]["ndcg@10"]


def test_retrain_svd_forgets_and_serves_as_retrain_does(report):
    assert abs(auc(report, "RetrainSVD") - auc(report, "Retrain")) <= 0.03
    ndcg = {
        name: result["utility"]["retained"]["ndcg@10"]
        for name, result in report["methods"].items()
        if name != "Original"
    }
    assert ndcg["RetrainSVD"] >= 0.99 * ndcg["Retrain"]


def test_withdrawn_users_are_served_as_users_never_seen(report):
    popularity = report["references"]["popularity"]["withdrawn"]["ndcg@10"]
    assert 0.85 <= report["methods"]["SCIF"]["utility"]["withdrawn"]["ndcg@10"] / popularity <= 1.10
