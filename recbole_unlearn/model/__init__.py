"""Models that replace RecBole's of the same name, and adapters that describe models to methods and oracles."""

from recbole_unlearn.model import dot, generic, neumf
from recbole_unlearn.model.adapter import InfluenceAdapter, ScoringAdapter

__all__ = ["InfluenceAdapter", "ScoringAdapter", "dot", "generic", "neumf"]
