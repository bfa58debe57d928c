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
    "Config": "recbole_unlearn.config",
    "Unlearner": "recbole_unlearn.trainer",
    "WithdrawalRequest": "recbole_unlearn.data.request",
    "load_data_and_model": "recbole_unlearn.checkpoints.load",
    "objective_function": "recbole_unlearn.compare.tuning",
    "run_unlearn": "recbole_unlearn.quick_start",
    "withdraw_from_model": "recbole_unlearn.production.withdraw",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'recbole_unlearn' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
