"""Finds models, trainers and methods by name: this plugin's first, then RecBole's."""

from typing import Any

from recbole.trainer import NCLTrainer, RecVAETrainer, TraditionalTrainer, Trainer
from recbole.utils import get_trainer as recbole_get_trainer

from recbole_unlearn.methods.plugins import get_method
from recbole_unlearn.model.find import get_model
from recbole_unlearn.trainer import Unlearner

__all__ = ["get_method", "get_model", "get_trainer"]


def get_trainer(model_type: Any, model_name: str) -> type:
    """Return the trainer class: ``Unlearner`` where it trains as RecBole's class does, else RecBole's.

    >>> from recbole.utils import ModelType
    >>> get_trainer(ModelType.GENERAL, "NeuMF").__name__
    'Unlearner'
    """
    stock = recbole_get_trainer(model_type, model_name)
    return Unlearner if stock in (Trainer, TraditionalTrainer, NCLTrainer, RecVAETrainer) else stock
