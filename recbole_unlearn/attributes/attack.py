"""The attack on an attribute: predict the field of users from their rows, or from what the model scores for them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from recbole_unlearn.attributes.groups import Groups, check_whole
from recbole_unlearn.attributes.views import LARGEST_SEED, read_views
from recbole_unlearn.evaluator.crossfit import weighted_auc

FOLDS = 5
_RESAMPLES = 200


def attackers(seed: int) -> dict[str, Any]:
    """Return the classifiers that attack, by name: a linear one, a network as in the paper, and trees."""
    return {
        "linear": make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)),
        "network": make_pipeline(StandardScaler(), MLPClassifier((100,), alpha=1.0, max_iter=100, random_state=seed)),
        "trees": HistGradientBoostingClassifier(max_iter=50, max_leaf_nodes=8, early_stopping=False, random_state=seed),
    }


def attribute_attack(model: Any, groups: Groups, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Predict a field from a model: what somebody learns of it who has the model, or its scores.

    Each classifier learns from four fifths of the members and is asked about the others, five times (cross-validation), so
    it knows the true field of most of them: a strong attacker.

    Args:
        model: The model.
        groups: Members and their groups.
        seed: Seed of folds and classifiers.

    Returns:
        For ``rows`` (the embeddings of the members) and ``scores`` (logits of them and items, or users, that are drawn by the
        seed): for each classifier ``auc``, the mean over groups of one against all others, .5 for no knowledge,
        ``auc_low`` and ``auc_high``, the 95 % interval of a bootstrap over the members who are asked (not of the
        classifier's training), and ``bacc``, balanced accuracy, 1 /
        groups for no knowledge; and under ``strongest`` the name of the classifier whose AUC is furthest from .5: an AUC
        of .1 tells as much as one of .9, to whoever answers the opposite. The furthest of several is some hundredths from
        .5 where nothing is known.

    Raises:
        ConfigError: The groups are of another data set than the model.
        UnsupportedModelError: The model has no embeddings that are known.

    Reference: Chen et al. (2024), Post-training attribute unlearning in recommender systems, section 5 (a network).
    """
    check_whole("seed", seed, above=-1, most=LARGEST_SEED)
    views = read_views(groups.adapter_of(model), groups, seed)
    return {name: attacked(values, groups.labels, seed) for name, values in views.items()}


def attacked(values: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, Any]:
    """Return what each classifier predicts of the labels, shape [members], from values, shape [members, dims]."""
    folds = list(StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(values, labels))
    asked, rng = [part for _, part in folds], np.random.default_rng(seed)
    draws = [[rng.choice(part, len(part)) for part in asked] for _ in range(_RESAMPLES)]
    told: dict[str, Any] = {}
    for name, classifier in attackers(seed).items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a network of fixed length
            likely = cross_val_predict(classifier, values, labels, cv=folds, method="predict_proba")
        low, high = np.nanquantile([_auc(labels, likely, draw) for draw in draws], [0.025, 0.975])
        told[name] = {
            "auc": _auc(labels, likely, asked),
            "auc_low": float(low),
            "auc_high": float(high),
            "bacc": float(balanced_accuracy_score(labels, likely.argmax(axis=1))),
        }
    return {**told, "strongest": max(told, key=lambda name: abs(told[name]["auc"] - 0.5))}


def _auc(labels: np.ndarray, likely: np.ndarray, folds: Sequence[np.ndarray]) -> float:
    """Return the mean over folds, each with a classifier of its own, and groups of the AUC of one against all others.

    A group of which a fold has nobody, or nobody else, is left out of that fold.
    """
    found = [
        weighted_auc(member, likely[fold, group], np.ones(len(fold)))
        for fold in folds
        for group in range(likely.shape[1])
        if 0 < (member := labels[fold] == group).sum() < len(fold)
    ]
    return float(np.mean(found)) if found else float("nan")
