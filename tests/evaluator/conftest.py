"""A report with every kind of figure that the page shows, and some that are missing."""

import pytest


def result(auc, ndcg, rank, **more):
    """Return a method's part of a report around a few figures."""
    utility = {
        group: {f"{metric}@{k}": share * ndcg + k / 1000 for metric in ("ndcg", "hit") for k in (5, 10, 15, 20)}
        for group, share in (("retained", 1.0), ("withdrawn", 0.5), ("all", 0.95))
    }
    roc = {"fpr": [0.0, 0.2, 1.0], "tpr": [0.0, auc - 0.1, 1.0]}
    strong = {"acc": auc - 0.1, "auc": auc, "auc_low": auc - 0.02, "auc_high": auc + 0.02, "roc": roc}
    witnesses = {
        "taste": {"mean": 0.011, "low": 0.0, "high": 0.02},
        "rank": {"mean": rank, "low": rank - 0.05, "high": rank + 0.05, "test": 0.8},
        "norm": {"auc": None, "reason": "there must be users who withdrew and users who did not"},
    }
    return {
        "utility": utility,
        "mio": {"strong": strong, "paper": {"auc": None, "reason": "no test rows"}},
        "witnesses": witnesses,
        "seconds": None,
    } | more


@pytest.fixture
def full_report():
    """Return a report of five methods, one of which has neither adapter nor witnesses."""
    popular = result(0.5, 0.4, 0.5)["utility"]
    clock = {"seconds": 0.085, "seconds_range": [0.08, 0.09], "speedup": 404.1, "peak_mb": 2.7}
    return {
        "schema": 1,
        "model": "NeuMF",
        "dataset": "tiny <b>",
        "seed": 1,
        "request": {
            "kind": "users",
            "sample": "rand",
            "alpha": 5.0,
            "n_users": 3,
            "n_rows": 1200,
            "scope": "train",
            "digest": "0123456789abcdef" * 4,
        },
        "environment": {"python": "3.11", "torch": "2.13", "device": "cpu"},
        "headline": "ndcg@10",
        "oracle_power": {"paper": {"auc": None, "informative": False}, "strong": {"auc": 0.85, "informative": True}},
        "references": {"popularity": popular},
        "methods": {
            "Original": result(0.85, 0.47, 0.9),
            "Retrain": result(0.51, 0.48, 0.6, seconds=34.5, seconds_range=[34.5, 34.5], speedup=1.0, peak_mb=0.0),
            "SCIF": result(0.52, 0.47, 0.61, **clock),
            "FineTune": result(0.84, 0.46, 0.88, seconds=3.2, speedup=10.8, peak_mb=1.0),
            "SISA": result(0.5, 0.4, 0.5, seconds=20.0, speedup=1.7, peak_mb=8.0)
            | {"mio": {"strong": {"auc": None, "reason": "no adapter"}}, "witnesses": {"rank": {"reason": "none"}}},
        },
        "nulls": {"methods.Original.seconds": "it was trained, not unlearned"},
    }
