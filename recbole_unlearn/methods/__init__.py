"""The unlearning methods; a method has the same name in yaml, in the registry and in the report."""

from recbole_unlearn.methods import (
    certified,
    exact,
    finetune,
    gif,
    ifru,
    influence_function,
    neg_grad,
    receraser,
    redraw,
    reset,
    retrain,
    retrain_svd,
    rrl,
    sisa,
    ultrare,
)
from recbole_unlearn.methods.base import Outcome, UnlearnContext, UnlearnMethod, method_class

__all__ = [
    "Outcome",
    "UnlearnContext",
    "UnlearnMethod",
    "certified",
    "exact",
    "finetune",
    "gif",
    "ifru",
    "influence_function",
    "method_class",
    "neg_grad",
    "receraser",
    "redraw",
    "reset",
    "retrain",
    "retrain_svd",
    "rrl",
    "sisa",
    "ultrare",
]
