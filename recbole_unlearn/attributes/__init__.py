"""Attribute withdrawal: users stay, and their rows must no longer tell a field of theirs, such as gender."""

from recbole_unlearn.attributes.attack import attribute_attack
from recbole_unlearn.attributes.groups import Groups, groups_of
from recbole_unlearn.attributes.matching import forget_attribute

__all__ = ["Groups", "attribute_attack", "forget_attribute", "groups_of"]
