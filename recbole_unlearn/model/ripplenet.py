"""RippleNet, in which a user without rows can be scored."""

from __future__ import annotations

from typing import Any

import torch
from recbole.model.knowledge_aware_recommender import RippleNet as RecBoleRippleNet


class RippleNet(RecBoleRippleNet):
    """RecBole's RippleNet; a user of whom no row is left gets the padding that RecBole gives to users of unlinked items.

    RecBole's has no entry for such a user and fails when it scores one whose held-out rows stay.
    """

    def _build_ripple_set(self) -> Any:
        found = super()._build_ripple_set()
        nothing = torch.zeros(self.n_memory, dtype=torch.long, device=self.device)
        for user in set(range(self.n_users)) - found.keys():
            found[user] = [(nothing, nothing, nothing)] * self.n_hop
        return found
