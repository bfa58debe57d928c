"""The unlearning methods; a method has the same name in yaml, in the registry and in the report."""

from recbole_unlearn.methods import (
    exact,
    finetune,
    influence_function,
    receraser,
    redraw,
    reset,
    retrain,
    retrain_svd,
    sisa,
    ultrare,
)
from recbole_unlearn.methods.base import Outcome, UnlearnContext, UnlearnMethod, method_class

__all__ = [
    "Outcome",
    "UnlearnContext",
    "UnlearnMethod",
    "exact",
    "finetune",
    "influence_function",
    "method_class",
    "receraser",
    "redraw",
    "reset",
    "retrain",
    "retrain_svd",
    "sisa",
    "ultrare",
]
