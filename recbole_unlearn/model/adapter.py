"""The adapter: what the influence code and the oracle may know about a RecBole model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from recbole_unlearn.exceptions import UnsupportedModelError


class UserBlocks(Protocol):
    """The logits of padded rows as a function of the users' rows, everything else in the model held fixed."""

    def logits(self, vectors: Tensor) -> Tensor:
        """Return s, shape [users, rows], for user rows of shape [users, dims]."""

    def logits_and_jacobian(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Return s, shape [users, rows], and ds/d(user row), shape [users, rows, dims]."""

    def __getitem__(self, index: Tensor) -> UserBlocks:
        """Return the blocks of a subset of the users."""


class ModelAdapter(ABC):
    """Tells how one RecBole model's rows, logits and initialiser look. A new model is one subclass.

    Subclasses name the model (the class or a base class of it, as RecBole spells it) and register themselves.
    """

    model_name: ClassVar[str]
    _registry: ClassVar[dict[str, type[ModelAdapter]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
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

    @abstractmethod
    def draw_rows(self, tables: Sequence[nn.Embedding], generator: torch.Generator) -> Tensor:
        """Draw one new row, shape [dims], by the law with which the model initialises these tables."""

    @abstractmethod
    def user_blocks(self, items: Tensor) -> UserBlocks:
        """Return the logits of these items, shape [users, rows], as a function of the users' rows."""

    @abstractmethod
    def logits(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the logit of each (user, item) pair, shape [pairs]."""

    def embeddings(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the oracle sees of each pair: user and item vectors, shapes [pairs, dims]."""
        return read_rows(self.user_tables, users), read_rows(self.item_tables, items)


def read_rows(tables: Sequence[nn.Embedding], ids: Tensor) -> Tensor:
    """Return the rows of these ids, the tables side by side, shape [ids, dims]."""
    return torch.cat([table.weight.detach()[ids] for table in tables], dim=-1)


def write_rows(tables: Sequence[nn.Embedding], ids: Tensor, rows: Tensor) -> None:
    """Overwrite the rows of these ids in place; no other entry of the model changes."""
    parts = rows.split([table.embedding_dim for table in tables], dim=-1)
    for table, part in zip(tables, parts, strict=True):
        table.weight.data[ids] = part.to(table.weight)
