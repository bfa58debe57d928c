"""The verdict in words says what was measured, and where nothing can be told it says that."""

import pytest

from recbole_unlearn.evaluator.in_words import in_words
from recbole_unlearn.evaluator.text import render
from recbole_unlearn.evaluator.verdict import MARGIN, is_complete

NONE = {"excess": 0.0, "low": -0.02, "high": 0.02}
LEFT = {"excess": 0.2, "low": 0.15, "high": 0.25}
WIDE = {"excess": 0.02, "low": -0.03, "high": 0.07}
SOME = {"excess": 0.06, "low": 0.03, "high": 0.09}
BELOW = {"excess": -0.2, "low": -0.25, "high": -0.15}


def method(strong=NONE, refit=NONE, tells=True, **others):
    remembers = {look: excess for look, excess in (("strong", strong), ("refit", refit)) if excess != "not asked"}
    return {
        "remembers": remembers,
        "complete": is_complete(remembers, tells),
        "mio": {"refit": {"auc": 0.5, "tells": tells}},
        **others,
    }


def retrain(**refit):
    told = {"auc": 0.5, "auc_low": 0.48, "auc_high": 0.52, "tells": True, "calibrated": True, **refit}
    return {"remembers": None, "complete": None, "mio": {"refit": told}}


def report(original=None, reference=None, **methods):
    return {
        "oracle_power": {"refit": {"informative": True}},
        "methods": {"Original": original or method(LEFT, LEFT), "Retrain": reference or retrain(), **methods},
    }


CASES = {
    "the usual run": (
        report(RetrainSVD=method(), SCIF=method(refit=LEFT)),
        "Retrain and RetrainSVD forget; SCIF's items remember.",
    ),
    "several of a kind": (
        report(SCIF=method(refit=LEFT), ResetUE=method(refit=LEFT), FineTune=method(LEFT, LEFT)),
        "Retrain forgets; the items of SCIF and ResetUE remember; FineTune remembers.",
    ),
    "more than the items": (report(IF=method(strong=LEFT)), "Retrain forgets; IF remembers."),
    "under Retrain": (report(IF=method(strong=BELOW)), "Retrain forgets; IF reads below Retrain."),
    "an interval that is too wide": (
        report(SISA=method(refit=WIDE)),
        "Retrain forgets. Cannot tell whether SISA forgets: an interval reaches beyond 0.05 around Retrain.",
    ),
    "a little more than nothing": (
        report(SISA=method(refit=SOME)),
        "Retrain forgets. Cannot tell whether SISA forgets: an interval reaches beyond 0.05 around Retrain.",
    ),
    "a blind oracle": (
        report(SISA=method(refit=LEFT, tells=False), IF=method(tells=False)),
        "Retrain forgets. Cannot tell whether SISA and IF forget: the refit oracle does not see retained users in it either.",
    ),
    "refit was not asked": (
        report(SCIF=method(refit="not asked")),
        "Retrain forgets. Cannot tell whether SCIF forgets: the refit oracle was not asked.",
    ),
    "refit has no figure": (
        report(SCIF=method(refit=None)),
        "Retrain forgets. Cannot tell whether SCIF forgets: the refit oracle has no figure.",
    ),
    "Retrain itself cannot be seen in": (
        report(None, retrain(tells=False), RetrainSVD=method()),
        "RetrainSVD forgets.",
    ),
    "Retrain is not calibrated": (report(None, retrain(calibrated=False), RetrainSVD=method()), "RetrainSVD forgets."),
    "Retrain reads too much": (report(None, retrain(auc_high=0.6), RetrainSVD=method()), "RetrainSVD forgets."),
    "nothing was there before": (
        report(method(), None, RetrainSVD=method(), SCIF=method()),
        "Cannot tell whether RetrainSVD and SCIF forget: no oracle surely recognises those who left in the original model "
        "either.",
    ),
    "Retrain alone": (report(), ""),
}


@pytest.mark.parametrize("case", CASES)
def test_a_verdict(case):
    made, words = CASES[case]
    assert in_words(made) == words


def test_without_retrain_nothing_is_told():
    made = report(SCIF=method())
    del made["methods"]["Retrain"]
    assert in_words(made) == "Cannot tell whether SCIF forgets: Retrain, the reference, did not run."


def test_a_report_from_before_has_no_verdict():
    assert in_words({"methods": {"Original": {}, "SCIF": {}}}) == ""


def test_the_margin_is_the_one_of_complete():
    at_the_edge = {"excess": MARGIN + 0.01, "low": MARGIN, "high": MARGIN + 0.02}
    assert in_words(report(SCIF=method(refit=at_the_edge))).endswith("an interval reaches beyond 0.05 around Retrain.")


def test_the_verdict_comes_first():
    made = report(SCIF=method(refit=LEFT))
    utility = {"retained": {"ndcg@10": 0.4}, "withdrawn": {"ndcg@10": 0.2}, "all": {"ndcg@10": 0.39}}
    for result in made["methods"].values():
        result |= {"utility": utility, "seconds": 1.0, "mio": {}}
    made["methods"]["Retrain"]["mio"] = retrain()["mio"]
    request = {"kind": "users", "sample": None, "alpha": None, "n_users": 3, "n_rows": 12, "scope": "train"}
    made |= {"model": "NeuMF", "dataset": "tiny", "seed": 1, "headline": "ndcg@10", "request": request}
    made |= {"references": {"popularity": utility}, "oracle_power": {}}
    assert render(made).splitlines()[0] == "Retrain forgets; SCIF's items remember."


def scored(**aucs):
    """Return a report of a model that no oracle fits, from the AUC of each method's score attack, .02 around it."""
    methods = {
        name: {
            "complete": None,
            "remembers": {"strong": None, "refit": None},
            "mio": {"strong": {"auc": None}, "refit": {"auc": None}},
            "witnesses": {"score": {"auc": auc, "auc_low": auc and auc - 0.02, "auc_high": auc and auc + 0.02}},
        }
        for name, auc in aucs.items()
    }
    return {"model": "SASRec", "methods": methods}


@pytest.mark.parametrize(
    ("aucs", "words"),
    [
        (
            {"Original": 0.9, "Retrain": 0.5, "FineTune": 0.8, "SISA": 0.51},
            "The scores of the original SASRec tell who left; those of FineTune still do; those of SISA cannot be told from "
            "Retrain's. No oracle fits this model.",
        ),
        (
            {"Original": 0.9, "Retrain": 0.5, "SISA": 0.05, "IF": None},
            "The scores of the original SASRec tell who left; those of SISA rank what left below what Retrain's do; those of "
            "IF were not asked. No oracle fits this model.",
        ),
        (
            {"Original": 0.53, "Retrain": 0.5, "SISA": 0.6},
            "Cannot tell whether SISA forgets: no oracle fits SASRec, and its scores do not tell who left in the original "
            "model either.",
        ),
        (
            {"Original": None, "Retrain": None, "SISA": None},
            "Cannot tell whether SISA forgets: no oracle surely recognises those who left in the original model either.",
        ),
    ],
)
def test_a_model_that_no_oracle_fits_is_told_by_its_scores(aucs, words):
    assert in_words(scored(**aucs)) == words
