"""The adapter of every model that has none of its own: tables, logits and Jacobians found by the model's own code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from recbole.model.abstract_recommender import AutoEncoderMixin
from recbole.utils import ModelType
from torch import Tensor, nn
from torch.nn.functional import embedding

from recbole_unlearn.exceptions import UnsupportedModelError
from recbole_unlearn.influence.rows import LossRows
from recbole_unlearn.model.adapter import InfluenceAdapter, RowPenalty, Tensors, UserBlocks, read_rows
from recbole_unlearn.model.alone import Lonely, LonelyBlocks, OwnForwardBlocks
from recbole_unlearn.model.laws import first_entries
from recbole_unlearn.model.loss_of import penalty_of
from recbole_unlearn.model.renew import clear_caches, renew, standing_copy
from recbole_unlearn.model.scores import Propagation, Scores, evaluating
from recbole_unlearn.model.tables import WHAT_REMAINS, find_tables, probe

_WHY_NOT = {
    ModelType.TRADITIONAL: "has no user rows: it is made of the training rows without any training; Retrain works with every "
    "model, Exact where such a model has a closed form",
    ModelType.SEQUENTIAL: "scores the sequence of items before a row, not the row of a user alone; Retrain, FineTune and "
    "SISA work with it, and RecEraser and UltraRE with shard_aggregation: mean; choose one with --methods",
    ModelType.CONTEXT: f"scores a list of features, whose rows stand in one table for all features; {WHAT_REMAINS}",
    ModelType.DECISIONTREE: "is made of trees, which have no user rows; Retrain works with every model",
}
_OF_LISTS = (
    f"scores and learns the whole list of a user's items at once, not rows of a user and an item; {WHAT_REMAINS}"
)


class GenericAdapter(InfluenceAdapter):
    """Any RecBole model with a row for each user, by its own ``predict``; used where no adapter is written by hand.

    - User tables are found by size and use: a row of a user changes the scores of that user and of no other, unless scores
      are products of vectors that RecBole's graph models keep (``restore_user_e``).
    - The loss is the logistic loss of the scores, where the model's own ``calculate_loss`` says so; else ``row_penalty``
      names what is not accounted for, and methods warn.
    - What the model keeps of withdrawn rows (graph, histories, neighbours) is taken from a model that is built anew from the
      rows that remain.
    - A new row is made of entries of a table that the model's initialiser filled.

    For a class of yours that extends one with an adapter and scores otherwise, this is an adapter in two lines:
    ``class MyAdapter(GenericAdapter)`` with ``model_name = "MyModel"``.

    Args:
        model: The model.

    Raises:
        UnsupportedModelError: It has no rows of users or of items.
    """

    model_name = "AbstractRecommender"
    has_graph = True  # of a class one cannot know; an instance says whether its model propagates

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.check_class(type(model))
        with evaluating(model), torch.enable_grad():
            users, items = probe(model)
            self._scores = Scores(model, users, items)
            self._propagation = Propagation.of(self._scores, users, items)
            self._tables = find_tables(self._scores, self._propagation)
        self.pairwise = self._scores.pairwise
        self.has_graph = self._propagation is not None

    @classmethod
    def check_class(cls, model_class: type) -> None:
        """Refuse the kinds of models that have no user rows, or do not score by them alone."""
        if issubclass(model_class, AutoEncoderMixin):
            raise UnsupportedModelError(f"{model_class.__name__} {_OF_LISTS}")
        kind = getattr(model_class, "type", None)
        if kind in _WHY_NOT:
            raise UnsupportedModelError(f"{model_class.__name__} {_WHY_NOT[kind]}")

    @property
    def user_tables(self) -> list[nn.Embedding]:
        """The user embeddings whose row of a user makes the scores of that user."""
        return self._tables.users

    @property
    def item_tables(self) -> list[nn.Embedding]:
        """The embeddings with a row for each item."""
        return self._tables.items

    @property
    def beside_tables(self) -> list[nn.Embedding]:
        """Embeddings with a row for each user that the scores of that user do not read."""
        return self._tables.beside

    @property
    def shared_parameters(self) -> list[nn.Parameter]:
        """What else the scores read."""
        of_tables = {id(table.weight) for table in (*self.user_tables, *self.item_tables, *self.beside_tables)}
        named = self.model.named_parameters()
        return [part for name, part in named if name in self._tables.reached and id(part) not in of_tables]

    def draw_rows(self, tables: Sequence[nn.Embedding], generator: torch.Generator) -> Tensor:
        """Draw a row whose entries are those that the model's initialiser gave to a table of this shape."""
        parts = []
        for table in tables:
            entries = self._entries(table)
            parts.append(entries[torch.randint(len(entries), (table.embedding_dim,), generator=generator)])
        return torch.cat(parts)

    def _entries(self, table: nn.Embedding) -> Tensor:
        if id(table) not in self._first_entries:
            self._first_entries[id(table)] = first_entries(self.model, table)
        return self._first_entries[id(table)]

    @cached_property
    def _first_entries(self) -> dict[int, Tensor]:
        return {}

    @torch.no_grad()
    def start_from(self, users: Tensor, items: Tensor) -> None:
        """Add the rows to the tables of a model whose scores are products of two rows or of what a graph makes of them.

        Raises:
            UnsupportedModelError: They are not, so products of rows say nothing of scores.
        """
        user, item = probe(self.model)
        with evaluating(self.model):
            if self._propagation is None and not self._is_product(user, item):
                raise UnsupportedModelError(
                    f"the score of {type(self.model).__name__} is no product of a user's and an item's row, so an SVD of the "
                    f"rows gives it no start; Retrain and RetrainStopped work with it"
                )
        for table, rows in [(t, users) for t in self.user_tables] + [(t, items) for t in self._tables.read_items]:
            table.weight += rows[:, : table.embedding_dim].to(table.weight)

    def _is_product(self, users: Tensor, items: Tensor) -> bool:
        user, item = read_rows(self.user_tables, users), read_rows(self._tables.read_items, items)
        if user.shape != item.shape:
            return False
        return torch.allclose((user * item).sum(dim=1), self._scores(users, items), rtol=1e-4, atol=1e-6)

    def encode(self, parameters: Mapping[str, Tensor]) -> Tensors:
        """Return the final vectors of a graph model, else all parameters."""
        return self.encoder()(parameters)

    def encoder(self) -> Callable[[Mapping[str, Tensor]], Tensors]:
        """Return ``encode`` under the graph of now."""
        if self._propagation is None:
            return lambda parameters: tuple(parameters[name] for name in self._names)
        propagation = Propagation(standing_copy(self.model))

        def encode(parameters: Mapping[str, Tensor]) -> Tensors:
            with evaluating(propagation):
                return propagation.with_parameters(parameters)

        return encode

    @cached_property
    def _names(self) -> list[str]:
        return [name for name, _ in self.model.named_parameters()]

    def score(self, encoded: Tensors, rows: LossRows) -> Tensor:
        """Return x of each row; no dropout."""
        x = self._pair_scores(encoded, rows.users, rows.items)
        return x if rows.others is None else x - self._pair_scores(encoded, rows.users, rows.others)

    def _pair_scores(self, encoded: Tensors, users: Tensor, items: Tensor) -> Tensor:
        if self._propagation is not None:
            user, item = encoded
            return (embedding(users, user) * embedding(items, item)).sum(dim=-1)
        with evaluating(self.model):
            return self._scores.with_parameters(dict(zip(self._names, encoded, strict=True)), users, items)

    def user_blocks(self, items: Tensor, others: Tensor | None = None) -> UserBlocks:
        """Return x of padded rows as a function of the rows of users who have no row of data left."""
        return self.blocks_of(torch.zeros(len(items), dtype=torch.long, device=items.device), items, others)

    def blocks_of(self, users: Tensor, items: Tensor, others: Tensor | None = None) -> UserBlocks:
        """Return x of padded rows as a function of the rows of these users, whose histories and the like are read."""
        self.model.eval()
        if self._propagation is None:
            return OwnForwardBlocks(self._scores, self.user_tables, users, items, others)
        with torch.no_grad():
            _, final = self._propagation()
        return LonelyBlocks(self._lonely(), final[items] if others is None else final[items] - final[others])

    def check_user_blocks(self) -> None:
        """Raise UnsupportedModelError if the model keeps its graph in a way that leaves no user alone."""
        if self._propagation is not None:
            with evaluating(self.model):
                self._lonely()

    def fresh_blocks(self, items: Tensor) -> UserBlocks:
        """Return the logits of new users' rows; of a graph model those of a graph without any edge."""
        if self._propagation is None:
            return self.user_blocks(items)
        self.model.eval()
        lonely = self._lonely()
        return LonelyBlocks(lonely, lonely.items()[items])

    def _lonely(self) -> Lonely:
        return Lonely(self.model, self.user_tables, self.names(self.user_tables))

    @torch.no_grad()
    def logits(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the logit of each pair."""
        with evaluating(self.model):
            return self._scores(users, items)

    @torch.no_grad()
    def embeddings(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return the rows of each pair, and beside them the final vectors of a graph model; the narrower one gets zeros."""
        user, item = read_rows(self.user_tables, users), read_rows(self._tables.read_items, items)
        if self._propagation is not None:
            with evaluating(self.model):
                final_user, final_item = self._propagation()
            user, item = torch.cat([user, final_user[users]], dim=1), torch.cat([item, final_item[items]], dim=1)
        width = max(user.shape[1], item.shape[1])
        user, item = (nn.functional.pad(part, (0, width - part.shape[1])) for part in (user, item))
        return user, item

    @cached_property
    def row_penalty(self) -> RowPenalty:
        """The regulariser of a row, measured by the model's own loss."""
        return penalty_of(self.model, self.names(self.user_tables), self.names(self.item_tables))

    def drop_edges(self, users: np.ndarray, items: np.ndarray) -> None:
        """Take from a model of the retained rows all that this one keeps of rows beside its parameters.

        Raises:
            UnsupportedModelError: The adapter was made without ``rebuilt``.
        """
        if self.rebuilt is None:
            raise UnsupportedModelError(
                f"{type(self.model).__name__} keeps what it made of rows, which only a model of the rows that remain can "
                f"replace; make the adapter by InfluenceAdapter.of(context.model, context.rebuilt)"
            )
        renew(self.model, self.rebuilt())

    def parameters_changed(self) -> None:
        """Forget what the model kept for its evaluation."""
        clear_caches(self.model)
