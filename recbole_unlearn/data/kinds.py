"""Which data set class a model has."""

from __future__ import annotations

from typing import Any

from recbole.data import dataset as recboles
from recbole.utils import ModelType

from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.knowledge import KnowledgeDataset, KnowledgeSequenceDataset
from recbole_unlearn.data.sequences import DIENDataset, SequenceDataset
from recbole_unlearn.exceptions import UnsupportedModelError

_BY_KIND = {
    ModelType.GENERAL: WithdrawalDataset,
    ModelType.TRADITIONAL: WithdrawalDataset,
    ModelType.CONTEXT: WithdrawalDataset,
    ModelType.SEQUENTIAL: SequenceDataset,
    ModelType.KNOWLEDGE: KnowledgeDataset,
}
_BY_MODEL = {"DIEN": DIENDataset, "GRU4RecKG": KnowledgeSequenceDataset, "KSR": KnowledgeSequenceDataset}


def is_withdrawable(config: Any) -> bool:
    """Return whether there is a class of data sets for a config's model from which rows can be withdrawn."""
    return _found(config) is not None


def dataset_class(config: Any) -> type[WithdrawalDataset]:
    """Return the class of data sets of a config's model; it is somebody's own where the config has a ``dataset_class``.

    Raises:
        UnsupportedModelError: There is none from which rows can be withdrawn.
    """
    found = _found(config)
    if found is None:
        raise UnsupportedModelError(
            f"{config['model']} has a data set class of its own, from which no rows can be withdrawn"
        )
    return found


def _found(config: Any) -> type[WithdrawalDataset] | None:
    own: type[WithdrawalDataset] | None = getattr(config, "dataset_class", None)
    if own is not None:
        return own
    model = config["model"]
    if hasattr(recboles, f"{model}Dataset"):  # RecBole's rule for models with a class of their own
        return _BY_MODEL.get(model)
    return _BY_KIND.get(config["MODEL_TYPE"])
