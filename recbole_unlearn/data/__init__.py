"""Withdrawal requests, and the data set that can leave withdrawn rows out."""

from importlib import import_module
from typing import Any

_PUBLIC = {
    "WithdrawalDataset": "recbole_unlearn.data.dataset",
    "WithdrawalRequest": "recbole_unlearn.data.request",
    "create_dataset": "recbole_unlearn.data.utils",
    "data_preparation": "recbole_unlearn.data.utils",
}

__all__ = ["WithdrawalDataset", "WithdrawalRequest", "create_dataset", "data_preparation"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'recbole_unlearn.data' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)
