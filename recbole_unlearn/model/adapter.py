"""The adapter: what the influence code and the oracle may know about a RecBole model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Protocol

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
    """The logits of padded rows as a function of the users' rows, everything else in the model held fixed."""

    def logits(self, vectors: Tensor) -> Tensor:
        """Return x, shape [users, rows], for user rows of shape [users, dims]."""

    def logits_and_jacobian(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Return x, shape [users, rows], and dx/d(user row), shape [users, rows, dims]."""

    def __getitem__(self, index: Tensor) -> UserBlocks:
        """Return the blocks of a subset of the users."""


class ModelAdapter(ABC):
    """Tells how one RecBole model's parameters, row logits, graph and initialiser look. A new model is one subclass.

    A subclass names the model (the class or a base class of it, as RecBole spells it), which registers it.

    Attributes:
        model_name: The name of the model's class.
        pairwise: Whether a row of the loss is a triple (u, i, j) with x = s_ui - s_uj, or a pair with x = s_ui.
        has_graph: Whether the training rows are edges of a graph that scores.
        has_item_blocks: Whether ``item_blocks`` is there: with everything else fixed, items do not mix either.
    """

    model_name: ClassVar[str]
    pairwise: ClassVar[bool] = False
    has_graph: ClassVar[bool] = False
    has_item_blocks: ClassVar[bool] = False
    _registry: ClassVar[dict[str, type[ModelAdapter]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "model_name" in vars(cls):
            cls._registry[cls.model_name] = cls

    def __init__(self, model: nn.Module) -> None:
        self.model: Any = model

    @staticmethod
    def of(model: nn.Module) -> ModelAdapter:
        """Return the adapter of a model; raises UnsupportedModelError if there is none."""
        return ModelAdapter.class_for(type(model))(model)

    @staticmethod
    def class_for(model_class: type) -> type[ModelAdapter]:
        """Return the adapter class of a model class.

        Raises:
            UnsupportedModelError: No adapter is registered for the class or its bases.
        """
        registry = ModelAdapter._registry
        for base in model_class.__mro__:
            if base.__name__ in registry:
                return registry[base.__name__]
        raise UnsupportedModelError(
            f"no adapter for the model {model_class.__name__!r}; influence methods know {', '.join(sorted(registry))}; "
            f"Retrain works with every model"
        )

    @property
    @abstractmethod
    def user_tables(self) -> list[nn.Embedding]:
        """The user embeddings that reach the loss; a user's row is their rows side by side."""

    @property
    @abstractmethod
    def item_tables(self) -> list[nn.Embedding]:
        """The item embeddings that reach the loss."""

    @property
    def shared_parameters(self) -> list[nn.Parameter]:
        """The parameters that reach the loss and belong to no user or item."""
        return []

    @abstractmethod
    def draw_rows(self, tables: Sequence[nn.Embedding], generator: torch.Generator) -> Tensor:
        """Draw one new row, shape [dims], by the law with which the model initialises these tables."""

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
        """Return x of padded rows, shape [users, rows], as a function of the users' rows.

        With a graph this holds for users without edges only, whose rows move nothing else.
        """

    @property
    def serving(self) -> list[ModelAdapter]:
        """The adapters of the models whose mean score is served: the model's own, or those of an ensemble."""
        return [self]

    def fresh_blocks(self, items: Tensor) -> UserBlocks:
        """Return the logits s of padded pairs, shape [users, rows], as a function of new rows of users who have no edge.

        It is what the refit oracle fits: the items as they are, and nothing of the users' own rows.
        """
        return self.user_blocks(items)

    def item_blocks(self, users: Tensor) -> UserBlocks:
        """Return x of padded rows, shape [items, rows], as a function of the items' rows."""
        raise NotImplementedError

    def check_item_blocks(self) -> None:
        """Raise UnsupportedModelError if the model has none."""
        if not self.has_item_blocks:
            raise UnsupportedModelError(
                f"{self.model_name} has no item blocks; select is rows, allowed for it: users, users_items, all"
            )

    @abstractmethod
    def logits(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the logit s of each (user, item) pair, shape [pairs]."""

    @abstractmethod
    def embeddings(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the oracle sees of each pair: user and item vectors of one length, shapes [pairs, dims]."""

    @cached_property
    def row_penalty(self) -> RowPenalty:
        """The regulariser that belongs to each row of the loss; where it depends on the graph, on that of the first look
        since edges left it last."""
        return RowPenalty(0.0, 0.0, 0.0)

    def drop_edges(self, users: np.ndarray, items: np.ndarray) -> None:  # noqa: B027 (most models have no graph)
        """Take training rows out of the graph, if there is one."""

    def parameters_changed(self) -> None:  # noqa: B027 (most models keep nothing)
        """Clear whatever the model computed from its parameters and kept."""

    def names(self, tables: Sequence[nn.Embedding]) -> list[str]:
        """Return the parameter names of embedding tables."""
        of_weight = {id(parameter): name for name, parameter in self.model.named_parameters()}
        return [of_weight[id(table.weight)] for table in tables]

    def shared_names(self) -> list[str]:
        """Return the names of ``shared_parameters``."""
        shared = {id(parameter) for parameter in self.shared_parameters}
        return [name for name, parameter in self.model.named_parameters() if id(parameter) in shared]


def read_rows(tables: Sequence[nn.Embedding], ids: Tensor) -> Tensor:
    """Return the rows of these ids, the tables side by side, shape [ids, dims]."""
    return torch.cat([table.weight.detach()[ids] for table in tables], dim=-1)


def write_rows(tables: Sequence[nn.Embedding], ids: Tensor, rows: Tensor) -> None:
    """Overwrite the rows of these ids in place; no other entry of the model changes."""
    parts = rows.split([table.embedding_dim for table in tables], dim=-1)
    for table, part in zip(tables, parts, strict=True):
        table.weight.data[ids] = part.to(table.weight)
