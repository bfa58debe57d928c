"""Data sets of knowledge-aware models: rows are withdrawn, and the graph of knowledge stays as it is."""

from __future__ import annotations

from typing import Any

from recbole.data.dataset import KnowledgeBasedDataset

from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.sequences import SequenceDataset


class KnowledgeDataset(WithdrawalDataset, KnowledgeBasedDataset):
    """RecBole's KnowledgeBasedDataset, from which rows can be withdrawn.

    The graph says what items are, not who wants them: nothing leaves it. RecBole gives items that are linked to it the
    highest ids, and entities the ids of their items; after a withdrawal ids are those of the kept split, so that an item
    whose last row has left moves no other.
    """

    inter_feat: Any

    def _filter_link(self) -> None:
        before = self.inter_feat[[self.uid_field, self.iid_field]].copy()  # RecBole drops rows in place
        super()._filter_link()
        stay = before.index.isin(self.inter_feat.index)
        self._places = self._places[stay]
        self._leave_out(before[~stay])

    def _merge_item_and_entity(self) -> None:
        if not self.is_kept:
            super()._merge_item_and_entity()
            return
        for names in (self.field2id_token, self.field2token_id):
            names[self.entity_field] = names[self.head_entity_field]

    def _add_auxiliary_relation(self) -> None:
        if self.is_kept:  # the kept names end with those that this adds
            field = self.relation_field
            given = (len(self.field2id_token[field]) - 2) // (2 if self.kg_reverse_r else 1)
            self.field2id_token[field] = self.field2id_token[field][: given + 1]
            index = self.field2token_id[field]
            self.field2token_id[field] = {token: place for token, place in index.items() if place <= given}
        super()._add_auxiliary_relation()


class KnowledgeSequenceDataset(SequenceDataset, KnowledgeDataset):
    """RecBole's KGSeqDataset, from which rows can be withdrawn: sequences of the rows that remain, and the graph."""
