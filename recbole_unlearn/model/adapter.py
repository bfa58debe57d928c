"""Adapters: the description of a RecBole model for oracles (scores) and influence methods (loss).

``ScoringAdapter`` is what serves: logits and embeddings of pairs. ``InfluenceAdapter`` adds what can be solved: the
parameters, the logit of a row of the loss, and the blocks of users and items. Callers ask for the step that they need.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import numpy as np
import torch
from torch import Tensor, nn

from recbole_unlearn.exceptions import UnsupportedModelError
from recbole_unlearn.influence.rows import LossRows

Tensors = tuple[Tensor, ...]


class RowPenalty(NamedTuple):
    """c of the regulariser c_u / 2 |e_u|^2 + c_i / 2 |e_i|^2 + c_j / 2 |e_j|^2 of one row of the loss.

    Attributes:
        user: c_u.
        item: c_i.
        other: c_j, of the second item of a pairwise row.
        approximate: Empty, or why this is not the regulariser that the model was trained with.
    """

    user: float
    item: float
    other: float
    approximate: str = ""


class UserBlocks(Protocol):
    """The logits of padded rows as a function of the user embeddings, everything else in the model held fixed."""

    def logits(self, vectors: Tensor) -> Tensor:
        """Return x, shape [users, rows], for user embeddings of shape [users, dims]."""

    def logits_and_jacobian(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Return x, shape [users, rows], and dx/de, e the user embedding, shape [users, rows, dims]."""

    def __getitem__(self, index: Tensor) -> UserBlocks:
        """Return the blocks of a subset of the users."""


class ScoringAdapter(ABC):
    """Gives the scores of pairs and the vectors from which they are computed. The oracles need no more.

    A model whose parameters the influence methods can solve has an ``InfluenceAdapter``, which is a ScoringAdapter too.
    Implement this class alone for a model without embedding tables of its own, such as an ensemble.

    Subclasses register themselves under ``model_name``, the name of the model's class or of one of its base classes.

    Attributes:
        model_name: Name of the model's class.
        has_graph: Whether the training rows are edges of a graph from which scores are computed.
        why_not_solved: Why the influence methods cannot solve the model's parameters, and what to do instead; the text of
            the error that ``InfluenceAdapter.of`` raises. Unused by an InfluenceAdapter.
    """

    model_name: ClassVar[str]
    has_graph: bool = False
    why_not_solved: ClassVar[str] = (
        "the model's adapter is no InfluenceAdapter; use Retrain, or write an InfluenceAdapter"
    )
    _registry: ClassVar[dict[str, type[ScoringAdapter]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "model_name" in vars(cls):
            cls._registry[cls.model_name] = cls

    def __init__(self, model: nn.Module) -> None:
        self.model: Any = model
        self.rebuilt: Callable[[], nn.Module] | None = None

    @classmethod
    def of(cls, model: nn.Module, rebuilt: Callable[[], nn.Module] | None = None) -> Self:
        """Return the adapter of a model.

        Args:
            model: The model.
            rebuilt: Returns a new, untrained model of the rows that remain, ``context.rebuilt``; ``drop_edges`` of a model
                without an adapter of its own asks for it.

        Raises:
            UnsupportedModelError: It has none, or ``InfluenceAdapter.of`` is asked and it has a ScoringAdapter only.
        """
        adapter = cls.class_for(type(model))(model)
        adapter.rebuilt = rebuilt
        return adapter

    @classmethod
    def class_for(cls, model_class: type) -> type[Self]:
        """Return the adapter class of a model class.

        Raises:
            UnsupportedModelError: As ``of`` does.
        """
        registry = ScoringAdapter._registry
        for base in model_class.__mro__:
            adapter = registry.get(base.__name__)
            if adapter is None:
                continue
            if not issubclass(adapter, cls):
                raise UnsupportedModelError(adapter.why_not_solved)
            adapter.check_class(model_class)
            return adapter
        raise UnsupportedModelError(
            f"no adapter for the model {model_class.__name__!r}, which extends none of RecBole's; write an InfluenceAdapter, "
            f"or use Retrain, which works with every model"
        )

    @classmethod  # noqa: B027 (an adapter knows its models by name)
    def check_class(cls, model_class: type) -> None:
        """Refuse a class of models of this adapter's name that it cannot serve.

        Raises:
            UnsupportedModelError: It cannot.
        """

    @abstractmethod
    def logits(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the logit s of each (user, item) pair, shape [pairs]."""

    @abstractmethod
    def embeddings(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return the vectors of each pair's user and item, two tensors of one shape [pairs, dims]; the oracle's features."""

    @property
    def serving(self) -> list[InfluenceAdapter]:
        """The adapters of the models whose mean score is served; the refit oracle fits a new user embedding in each.

        Raises:
            UnsupportedModelError: No such models are known.
        """
        raise UnsupportedModelError(self.why_not_solved)

    def drop_edges(self, users: np.ndarray, items: np.ndarray) -> None:  # noqa: B027 (most models have no graph)
        """Remove training rows, the ids ``users[k]`` and ``items[k]``, from the graph; a model without graph does nothing."""

    def parameters_changed(self) -> None:  # noqa: B027 (most models keep nothing)
        """Discard results that the model computed from its parameters and kept; call it after every change of them."""


class InfluenceAdapter(ScoringAdapter):
    """Describes how a model's loss depends on its parameters, so that influence methods can solve for them.

    A new model is one subclass. Its logits, gradients and Jacobians are tested against the model's own
    ``calculate_loss`` and against autograd.

    Attributes:
        pairwise: Whether a row of the loss is a triple (u, i, j) with x = s_ui - s_uj, or a pair with x = s_ui.
        has_item_blocks: Whether ``item_blocks`` is implemented: with everything else fixed, the loss is a sum over items of
            functions of one item's embedding each.
        has_convex_users: Whether, with everything else fixed, the loss is a sum over users of convex functions of one
            user's embedding each.
    """

    pairwise: bool = False
    has_item_blocks: ClassVar[bool] = False
    has_convex_users: ClassVar[bool] = False

    @property
    @abstractmethod
    def user_tables(self) -> list[nn.Embedding]:
        """The user embeddings that the loss depends on; a user's vectors in these tables, side by side, are one embedding."""

    @property
    @abstractmethod
    def item_tables(self) -> list[nn.Embedding]:
        """The item embeddings that reach the loss."""

    @property
    def beside_tables(self) -> list[nn.Embedding]:
        """Embeddings with a row for each user that the scores of that user do not read: drawn anew where no data are left."""
        return []

    @property
    def shared_parameters(self) -> list[nn.Parameter]:
        """The parameters that reach the loss and belong to no user or item."""
        return []

    @abstractmethod
    def draw_rows(self, tables: Sequence[nn.Embedding], generator: torch.Generator) -> Tensor:
        """Draw one new embedding, shape [dims], as the model initialises these tables."""

    @torch.no_grad()
    def start_from(self, users: Tensor, items: Tensor) -> None:
        """Add embeddings whose products approximate the training matrix to the initial draws of a new model.

        Args:
            users: Shape [users, dims], the dimensions that matter most first.
            items: Shape [items, dims].
        """
        for table, rows in [(t, users) for t in self.user_tables] + [(t, items) for t in self.item_tables]:
            table.weight += rows[:, : table.embedding_dim].to(table.weight)

    def encode(self, parameters: Mapping[str, Tensor]) -> Tensors:
        """Return what rows are scored with, from all parameters by name; what all rows share is computed here."""
        return tuple(parameters.values())

    def encoder(self) -> Callable[[Mapping[str, Tensor]], Tensors]:
        """Return ``encode`` as it is now: edges that leave later are still in its graph, if there is one."""
        return self.encode

    @abstractmethod
    def score(self, encoded: Tensors, rows: LossRows) -> Tensor:
        """Return x of each row, shape [rows], differentiable in the encoded tensors."""

    @abstractmethod
    def user_blocks(self, items: Tensor, others: Tensor | None = None) -> UserBlocks:
        """Return x of padded rows, shape [users, rows], as a function of the user embeddings.

        With a graph this holds only for users without edges, whose embeddings are in no other user's score.
        """

    def blocks_of(self, users: Tensor, items: Tensor, others: Tensor | None = None) -> UserBlocks:
        """Return ``user_blocks`` of these users, shape [users]; in some models other data of a user count, as a history."""
        return self.user_blocks(items, others)

    @property
    def serving(self) -> list[InfluenceAdapter]:
        """The adapter itself: the model's own score is served."""
        return [self]

    def fresh_blocks(self, items: Tensor) -> UserBlocks:
        """Return the logits s of padded pairs, shape [users, rows], as a function of new embeddings of users without edges.

        The refit oracle fits these embeddings: the items stay as they are, and the users' own embeddings are not used.
        """
        return self.user_blocks(items)

    def isolated_changed(self, users: Tensor) -> None:
        """As ``parameters_changed``, where no embedding but those of these users, who have no rows, changed since
        ``user_blocks``."""
        self.parameters_changed()

    def item_blocks(self, users: Tensor) -> UserBlocks:
        """Return x of padded rows, shape [items, rows], as a function of the item embeddings."""
        raise NotImplementedError

    def check_user_blocks(self) -> None:
        """Raise UnsupportedModelError if the row of a user with no row of data left cannot be solved."""

    def check_item_blocks(self) -> None:
        """Raise UnsupportedModelError if the model has none."""
        if not self.has_item_blocks:
            raise UnsupportedModelError(
                f"{type(self.model).__name__} has no item blocks; select is rows, allowed for it: users, users_items, all"
            )

    @cached_property
    def row_penalty(self) -> RowPenalty:
        """The regulariser that belongs to each row of the loss; where it depends on the graph, on that of the first look
        since edges left it last."""
        return RowPenalty(0.0, 0.0, 0.0)

    def names(self, tables: Sequence[nn.Embedding]) -> list[str]:
        """Return the parameter names of embedding tables."""
        return [self._name_of[id(table.weight)] for table in tables]

    @cached_property
    def _name_of(self) -> dict[int, str]:
        return {id(parameter): name for name, parameter in self.model.named_parameters()}

    def shared_names(self) -> list[str]:
        """Return the names of ``shared_parameters``."""
        shared = {id(parameter) for parameter in self.shared_parameters}
        return [name for name, parameter in self.model.named_parameters() if id(parameter) in shared]


def read_rows(tables: Sequence[nn.Embedding], ids: Tensor) -> Tensor:
    """Return the embeddings of these ids, the tables side by side, shape [ids, dims]."""
    return torch.cat([table.weight.detach()[ids] for table in tables], dim=-1)


@torch.no_grad()
def write_rows(tables: Sequence[nn.Embedding], ids: Tensor, rows: Tensor) -> None:
    """Overwrite the embeddings of these ids in place; no other entry of the model changes."""
    parts = rows.split([table.embedding_dim for table in tables], dim=-1)
    for table, part in zip(tables, parts, strict=True):
        table.weight[ids] = part.to(table.weight)
