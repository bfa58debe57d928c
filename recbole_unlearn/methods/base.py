"""The base class of methods: a method takes a context and returns an outcome. No files, yaml or logging."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from recbole_unlearn.data.frozen import token_uniforms
from recbole_unlearn.data.interactions import Interactions
from recbole_unlearn.data.request import Withdrawal
from recbole_unlearn.exceptions import ConfigError, UnsupportedModelError, suggest
from recbole_unlearn.methods.options import check_options
from recbole_unlearn.model.trainers import is_made_in_one_pass


@dataclass(frozen=True)
class UnlearnContext:
    """Everything a method may use.

    Args:
        model: The trained model; the method may change it in place.
        rows: The training rows before this withdrawal.
        withdrawal: Which of them are forgotten.
        negatives: Sampled negatives per observed row, m; 0 where labels are explicit.
        seed: Seed of every draw; draws are keyed by it and by tokens.
        withdrawn_before: Ids of users whose last row was withdrawn by an earlier request.
        items_before: Ids of items that were withdrawn by an earlier request.
        weight_decay: The optimizer's, a penalty on the mean loss of a row.
        train: Trains a model on the retained rows as the original was trained: a new one from the seed or another one, or
            the given one for the given number of epochs.
        epochs: Epochs of the original's training.
        train_until_best: Trains a model on the retained rows until held-out ones are no longer ranked higher: a new one or
            the given one, by the keywords of ``checkpoints.best.train_until_best``. Returns the model and its
            diagnostics.
        shard_trainer: Returns what trains shards of the retained rows, for methods that unlearn from shards.
        setting: Returns a key of the config by its name, such as EASE's ``reg_weight``, which the model does not keep.
        rebuilt: Returns a new, untrained model of the retained rows: what its class makes of rows is in it.
    """

    model: Any
    rows: Interactions
    withdrawal: Withdrawal
    negatives: int
    seed: int
    withdrawn_before: np.ndarray
    items_before: np.ndarray
    weight_decay: float
    train: Callable[..., Any]
    epochs: int
    train_until_best: Callable[..., tuple[Any, dict[str, Any]]]
    shard_trainer: Callable[[], Any] | None = None
    setting: Callable[[str], Any] = field(default=dict[str, Any]().__getitem__)
    rebuilt: Callable[[], Any] | None = None

    @property
    def forgotten(self) -> tuple[np.ndarray, np.ndarray]:
        """User and item ids of the rows that are forgotten, shape [forgotten rows] each."""
        return self.rows.users[self.withdrawal.forget], self.rows.items[self.withdrawal.forget]

    @cached_property
    def retained_counts(self) -> np.ndarray:
        """Retained rows of each user id, shape [users]."""
        return _counts_without(self.rows.users, self.withdrawal.forget, len(self.rows.user_tokens))

    @cached_property
    def retained_item_counts(self) -> np.ndarray:
        """Retained rows of each item id, shape [items]."""
        return _counts_without(self.rows.items, self.withdrawal.forget, len(self.rows.item_tokens))

    def item_uniforms(self, seed: int) -> np.ndarray:
        """Return a number in (0, 1) for each item id, a hash of its token and a seed; shape [items]."""
        return token_uniforms(self.rows.item_tokens, seed)

    @cached_property
    def n_retained(self) -> int:
        """Number of retained rows."""
        return len(self.withdrawal.forget) - int(np.count_nonzero(self.withdrawal.forget))

    @cached_property
    def rows_per_user(self) -> float:
        """Mean number of rows of a user who has rows left."""
        return self.n_retained / np.count_nonzero(self.retained_counts)

    @cached_property
    def affected(self) -> np.ndarray:
        """Ids of the users who lose rows, ascending."""
        return np.unique(self.rows.users[self.withdrawal.forget])

    @cached_property
    def gone(self) -> np.ndarray:
        """Ids of the users who have no row left, from this request or an earlier one."""
        now = self.affected[self.retained_counts[self.affected] == 0]
        return np.union1d(now, self.withdrawn_before)

    @cached_property
    def gone_items(self) -> np.ndarray:
        """Ids of the items that were withdrawn as a whole, now or earlier: neither drawn nor ranked any more."""
        return np.union1d(self.withdrawal.items, self.items_before)

    @cached_property
    def partial(self) -> np.ndarray:
        """Ids of the users who lose rows and keep others."""
        return self.affected[self.retained_counts[self.affected] > 0]


@dataclass(frozen=True)
class Outcome:
    """A method's result.

    Args:
        model: The unlearned model.
        diagnostics: Of the computation.
        changed: By the name of a table of the model, the rows of it that the method wrote, if it changed nothing else; none:
            anything may have changed.
    """

    model: Any
    diagnostics: dict[str, Any] = field(default_factory=dict)
    changed: Mapping[str, np.ndarray] | None = None


@dataclass(frozen=True, kw_only=True)
class UnlearnMethod(ABC):
    """One unlearning method; its options are the fields of a dataclass, checked when it is made.

    A new one is a subclass with ``name`` and, if it has options, the decorator ``dataclass(frozen=True, kw_only=True)``.
    ``needs_adapter`` says whether the method looks into the model; one that only trains works with every model.
    ``needs_epochs`` says whether it makes no sense for a model that is made in one pass, such as EASE, and ``works_with``
    names the models in words, for ``--explain``. ``fulfils`` says which duties of a policy it fulfils for all who left
    before: ``relearn``, ``retrain``. A method of this package has a yaml in ``properties/method`` that says what its
    options mean.

    Raises:
        ConfigError: An option is out of its range.
    """

    name: ClassVar[str]
    needs_adapter: ClassVar[bool] = True
    needs_epochs: ClassVar[bool] = False
    works_with: ClassVar[str] = ""
    fulfils: ClassVar[tuple[str, ...]] = ()
    _registry: ClassVar[dict[str, type[UnlearnMethod]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" in vars(cls):
            other = cls._registry.setdefault(cls.name, cls)
            if (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
                raise ConfigError(f"{cls.__module__}: there is a method {cls.name!r} already; choose another name")
            cls._registry[cls.name] = cls

    def __post_init__(self) -> None:
        check_options(self)

    @property
    def options(self) -> dict[str, Any]:
        """The options by name."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    def learn(self, shard_trainer: Any) -> Any | None:
        """Return the model that this method unlearns from, if it needs one of its own; None: the model as RecBole trains it.

        Args:
            shard_trainer: Trains shards of all training rows, see ``recbole_unlearn.shards.shard_trainer.ShardTrainer``.
        """
        return None

    def check_class(self, model_class: type) -> None:
        """Refuse a kind of model that this method cannot unlearn from, before one is trained.

        Args:
            model_class: The class of the model.

        Raises:
            UnsupportedModelError: It cannot.
        """
        if self.needs_epochs and is_made_in_one_pass(model_class):
            raise UnsupportedModelError(
                f"{model_class.__name__} is made of its rows in one pass and has no epochs, which {self.name} is about; use "
                f"Retrain, or Exact where such a model has a closed form"
            )

    @property
    def parts(self) -> int:
        """In how many parts the rows are trained, each by a model of its own."""
        return 1

    def check_rows(self, rows: Interactions) -> None:  # noqa: B027 (most methods take any rows)
        """Refuse training rows that this method cannot learn from, before anything is trained.

        Raises:
            ConfigError: It cannot, with these options.
        """

    def check_model(self, model: Any, rows: int) -> None:  # noqa: B027 (most methods take every model)
        """Refuse a model that this method cannot unlearn from, before anything is done.

        Args:
            model: The trained model.
            rows: Number of its training rows.

        Raises:
            UnsupportedModelError: It cannot.
        """

    def is_local(self, model_class: type, whole_users: bool) -> bool:
        """Return whether it reads no rows but those of users who lose some, so that a request need not look at the others.

        Args:
            model_class: The class of the model.
            whole_users: Whether the request names whole users only.
        """
        return False

    @abstractmethod
    def unlearn(self, context: UnlearnContext) -> Outcome:
        """Forget the withdrawn rows and return the unlearned model."""


def _counts_without(ids: np.ndarray, forget: np.ndarray, size: int) -> np.ndarray:
    return np.bincount(ids, minlength=size) - np.bincount(ids[forget], minlength=size)


def method_class(name: str) -> type[UnlearnMethod]:
    """Return the class of a method.

    >>> method_class("SCIF").name
    'SCIF'
    """
    registry = UnlearnMethod._registry
    if name not in registry:
        raise ConfigError(
            f"method {name!r} is not known;{suggest(name, registry)} allowed: {', '.join(sorted(registry))}"
        )
    return registry[name]
