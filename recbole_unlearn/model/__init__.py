"""Models that replace RecBole's of the same name, and the adapters through which methods and oracles see a model."""

from recbole_unlearn.model import dot, generic, neumf
from recbole_unlearn.model.adapter import InfluenceAdapter, ScoringAdapter

__all__ = ["InfluenceAdapter", "ScoringAdapter", "dot", "generic", "neumf"]
