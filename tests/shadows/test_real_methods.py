"""Real methods in twelve worlds that were really trained: who leaves the items as they were is caught, Retrain is not."""

import pytest

from recbole_unlearn.data import create_dataset
from recbole_unlearn.shadows.audit import Audit
from recbole_unlearn.testing import write_inter

LEAVE_THE_ITEMS = ("SCIF", "IF")
NEW_MODELS = ("Retrain", "RetrainSVD")


@pytest.mark.slow
def test_if_is_caught_and_retrain_reads_the_null(make_config, tmp_path):
    write_inter(tmp_path, "tiny", n_users=200)
    keys = {"data_path": str(tmp_path), "embedding_size": 16, "epochs": 100, "parallel_jobs": 1}
    config = make_config("BPR", **keys)
    audit = Audit.plan(config, create_dataset(config), 12, [*LEAVE_THE_ITEMS, *NEW_MODELS], tmp_path / "bank")
    told = {name: figures["refit"] for name, figures in audit.run(config)["methods"].items()}
    assert told["Original"]["auc_low"] > 0.5
    for name in LEAVE_THE_ITEMS:
        assert told[name]["auc_low"] > 0.5, name
        assert told[name]["auc"] > told["Retrain"]["auc"] + 0.1, name
    for name in NEW_MODELS:
        assert told[name]["auc_low"] < 0.5 < told[name]["auc_high"], name
    assert told["Retrain"]["power"]["auc"] > 0.6  # it would see them
