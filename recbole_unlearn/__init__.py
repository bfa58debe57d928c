"""The RecBole plugin for the right to be forgotten.

Importing this package makes RecBole 1.2.1 start on today's numpy, scipy and torch (see ``recbole_unlearn.compat``).
The public names load on first use, so that ``recbole_unlearn.influence`` can be used without RecBole.
"""

from importlib import import_module
from typing import Any

from recbole_unlearn import compat
from recbole_unlearn.version import __version__

compat.apply()

_PUBLIC = {
    "CIF": "recbole_unlearn.methods.influence_function",
    "Config": "recbole_unlearn.config",
    "Exact": "recbole_unlearn.methods.exact",
    "FineTune": "recbole_unlearn.methods.finetune",
    "IF": "recbole_unlearn.methods.influence_function",
    "RecEraser": "recbole_unlearn.methods.receraser",
    "RedrawItems": "recbole_unlearn.methods.redraw",
    "Report": "recbole_unlearn.evaluator.frame",
    "RedrawItemsResetUE": "recbole_unlearn.methods.redraw",
    "ResetUE": "recbole_unlearn.methods.reset",
    "Retrain": "recbole_unlearn.methods.retrain",
    "RetrainAgain": "recbole_unlearn.methods.retrain",
    "RetrainSVD": "recbole_unlearn.methods.retrain_svd",
    "RetrainStopped": "recbole_unlearn.methods.retrain",
    "SCIF": "recbole_unlearn.methods.influence_function",
    "SCIFItems": "recbole_unlearn.methods.influence_function",
    "SCIFPaper": "recbole_unlearn.methods.influence_function",
    "CIFPaper": "recbole_unlearn.methods.influence_function",
    "SIF": "recbole_unlearn.methods.influence_function",
    "SISA": "recbole_unlearn.methods.sisa",
    "UltraRE": "recbole_unlearn.methods.ultrare",
    "Unlearner": "recbole_unlearn.trainer",
    "WithdrawalRequest": "recbole_unlearn.data.request",
    "carry_out_due": "recbole_unlearn.production.follow_up",
    "load_data_and_model": "recbole_unlearn.checkpoints.load",
    "objective_function": "recbole_unlearn.compare.tuning",
    "run_unlearn": "recbole_unlearn.quick_start",
    "train_for_method": "recbole_unlearn.trainer",
    "train_model": "recbole_unlearn.trainer",
    "withdraw_from_model": "recbole_unlearn.production.withdraw",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'recbole_unlearn' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
