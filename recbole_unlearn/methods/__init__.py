"""The unlearning methods, found by the name that stands in yaml, registry and report."""

from recbole_unlearn.methods import finetune, influence_function, receraser, redraw, reset, retrain, sisa
from recbole_unlearn.methods.base import Outcome, UnlearnContext, UnlearnMethod, method_class

__all__ = [
    "Outcome",
    "UnlearnContext",
    "UnlearnMethod",
    "finetune",
    "influence_function",
    "method_class",
    "receraser",
    "redraw",
    "reset",
    "retrain",
    "sisa",
]
