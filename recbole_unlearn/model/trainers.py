"""How RecBole trains a model: its trainers, and the first loss that each of them computes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from recbole.trainer import KGATTrainer, KGTrainer, MKRTrainer, NCLTrainer, RecVAETrainer, TraditionalTrainer, Trainer
from recbole.trainer.trainer import PretrainTrainer
from recbole.utils import KGDataLoaderState, ModelType
from recbole.utils import get_trainer as recbole_get_trainer

from recbole_unlearn.exceptions import UnsupportedModelError
from recbole_unlearn.model.scalars import LaterScalars

_PLAIN = (Trainer, TraditionalTrainer)  # the second is the first with one epoch
# Their epochs differ, and no data and no files.
_WITH_ROOM_FOR_OURS = (NCLTrainer, RecVAETrainer, KGTrainer, KGATTrainer, MKRTrainer)


def recboles_trainer(model_class: type) -> type:
    """Return the class by which RecBole trains a model; a class of one's own is trained as the model that it extends.

    >>> from recbole_unlearn.model.find import get_model
    >>> recboles_trainer(get_model("RecVAE")).__name__, recboles_trainer(get_model("BPR")).__name__
    ('RecVAETrainer', 'Trainer')
    """
    kind = getattr(model_class, "type", None)
    found = (recbole_get_trainer(kind, base.__name__) for base in model_class.__mro__)
    return next((trainer for trainer in found if trainer not in _PLAIN), Trainer)


def check_trainer(config: Any) -> None:
    """Refuse a model that RecBole trains in a way that cannot be repeated on the rows that remain.

    Raises:
        UnsupportedModelError: It does.
    """
    trainer = recboles_trainer(config.model_class)
    if trainer in (Trainer, *_WITH_ROOM_FOR_OURS):
        return
    name = config["model"]
    if issubclass(trainer, PretrainTrainer):
        raise UnsupportedModelError(
            f"{name} is trained in stages, each from the file of the one before, in which the withdrawn rows would stay; "
            f"train every stage anew by RecBole on the data without them"
        )
    raise UnsupportedModelError(
        f"{name} is trained by RecBole's {trainer.__name__}, which this package does not know how to repeat on the rows "
        f"that remain; train it anew by RecBole on the data without the withdrawn rows"
    )


def is_made_in_one_pass(model_class: type) -> bool:
    """Return whether a model is computed from its rows when it is made, so that no epoch trains it: EASE, ItemKNN, ..."""
    return bool(getattr(model_class, "type", None) == ModelType.TRADITIONAL)


def trained_as_recbole(trainer: type, model_class: type) -> type:
    """Return a trainer class that trains a model in RecBole's way of it: itself, or a subclass of it and of that trainer.

    Args:
        trainer: Extends RecBole's ``Trainer``.
        model_class: The model.

    Example:
        >>> from recbole_unlearn.model.find import get_model
        >>> [base.__name__ for base in trained_as_recbole(Trainer, get_model("NCL")).__mro__][:2]
        ['NCLTrainer', 'Trainer']
    """
    own = recboles_trainer(model_class)
    if own not in _WITH_ROOM_FOR_OURS or issubclass(trainer, own):
        return trainer
    if issubclass(own, trainer):
        return own
    names = {"__module__": trainer.__module__, "as_given": trainer}
    return type(f"{trainer.__name__}Of{own.__name__}", (trainer, own, LaterScalars), names)


def first_loss(model: Any, batch: Any) -> Any:
    """Return the loss of a batch as the model's trainer computes it first; some call other functions before."""
    trainer = recboles_trainer(type(model))
    if trainer is NCLTrainer:
        model.e_step()
    if trainer is RecVAETrainer:
        return model.calculate_loss(batch, encoder_flag=True)
    if trainer is MKRTrainer:
        return model.calculate_rs_loss(batch)
    return model.calculate_loss(batch)


def batches(train_data: Any) -> Iterator[Any]:
    """Return the batches of a dataloader; those of a knowledge-aware model have rows and facts beside each other."""
    if hasattr(train_data, "set_mode"):
        train_data.set_mode(KGDataLoaderState.RSKG)
    return iter(train_data)
