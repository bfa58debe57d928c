"""The unlearning methods, found by the name that stands in yaml, registry and report."""

from recbole_unlearn.methods import reset, retrain, scif
from recbole_unlearn.methods.base import Outcome, UnlearnContext, UnlearnMethod, method_class

__all__ = ["Outcome", "UnlearnContext", "UnlearnMethod", "method_class", "reset", "retrain", "scif"]
