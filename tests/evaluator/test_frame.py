"""The report as a table, and the public names."""

import json

import pandas as pd

import recbole_unlearn
from recbole_unlearn import SCIF, Report

METHODS = {
    "Original": {"seconds": None, "mio": {"strong": {"auc": 0.9}}, "utility": {"all": {"ndcg@10": 0.2}}},
    "SCIF": {"seconds": 0.5, "mio": {"strong": {"auc": 0.5, "roc": [1, 2]}}, "utility": {"all": {"ndcg@10": 0.19}}},
}


def test_a_report_becomes_a_table_and_stays_a_dict():
    report = Report({"methods": METHODS})
    frame = report.to_frame()
    assert list(frame.index) == ["Original", "SCIF"]
    assert frame.loc["SCIF", "mio.strong.auc"] == 0.5
    assert pd.isna(frame.loc["Original", "seconds"])
    assert "mio.strong.roc" not in frame
    assert json.loads(json.dumps(report)) == {"methods": METHODS}


def test_public_names_are_there():
    for name in recbole_unlearn.__all__:
        assert getattr(recbole_unlearn, name) is not None
    assert SCIF(ridge=0.01).ridge == 0.01
