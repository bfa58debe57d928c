"""RecBole models with a faster or graph-aware piece, and the adapters through which influence code sees them."""

from recbole_unlearn.model import dot, neumf
from recbole_unlearn.model.adapter import ModelAdapter

__all__ = ["ModelAdapter", "dot", "neumf"]
