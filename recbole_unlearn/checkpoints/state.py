"""The content of a model file, in the format of this package and in that of stock RecBole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recbole.config import Config as RecBoleConfig

from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.lineage.chain import NOTHING_WITHDRAWN
from recbole_unlearn.lineage.digest import weights_digest
from recbole_unlearn.model.own import name_of, own_name_of
from recbole_unlearn.model.weights import as_tensors, lasting, model_weights
from recbole_unlearn.settings.values import as_python
from recbole_unlearn.version import __version__

# What concerns the run and not the model; the path of a request can name a person.
_PRIVATE = {"withdraw", "model_file", "ledger_key"}


def public(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings without the paths of a request and of a key, which are written to no file."""
    return {name: value for name, value in settings.items() if name not in _PRIVATE}


def model_state(unlearner: Any, anchor: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the content of a file of this package: numbers, strings, lists, dicts and tensors; no optimizer or caches."""
    model, dataset = unlearner.model, unlearner.dataset
    whole = unlearner.compared or dataset  # a comparison's model is loaded with the unchanged files
    known = anchor or getattr(dataset, "anchor", NOTHING_WITHDRAWN)
    is_ours = isinstance(whole, WithdrawalDataset)  # of another class, or of none, a file says nothing
    state = model_weights(model)
    other = {name: value for name, value in lasting(model.other_parameter()).items() if not as_tensors({name: value})}
    return {
        "config": plain(public(unlearner.config.final_config_dict)),
        "state_dict": state,
        "other_parameter": other,
        "lineage": {
            "ledger": dict(known),
            "data": whole.digest if is_ours else None,
            "compared": unlearner.compared is not None,
            "key": getattr(dataset, "ledger_key", None),
            "read": dict(getattr(dataset, "rows_read", {})),
            "weights": weights_digest(state),
            "class": name_of(type(model)),
            "dataset_class": own_name_of(type(whole)) if is_ours else None,
            "version": __version__,
        },
    }


def stock_state(unlearner: Any, anchor: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what stock RecBole's ``load_data_and_model`` reads; its config is an object, so the file is a pickle."""
    ours = unlearner.config
    config = object.__new__(RecBoleConfig)
    kept = {
        name: value for name, value in vars(ours).items() if name not in ("set_later", "of_stock_file", "dataset_class")
    }
    kept |= {name: public(value) for name, value in kept.items() if name.endswith("config_dict")}
    config.__dict__.update(kept)
    config.parameters = {name: keys for name, keys in ours.parameters.items() if name != "Unlearning"}
    config.model_class = _stock_class(ours.model_class)
    model = unlearner.model
    own = {"config": config, "state_dict": model.state_dict(), "other_parameter": lasting(model.other_parameter())}
    state = {**model_state(unlearner, anchor), **own}
    return {**state, "epoch": unlearner.epochs - 1, "cur_step": 0, "best_valid_score": 0.0, "optimizer": {}}


def _stock_class(model_class: type) -> type:
    """Return the class that stock RecBole finds under the model's name: not ours, which is a subclass of it."""
    return next(one for one in model_class.__mro__ if not one.__module__.startswith("recbole_unlearn."))


def plain(value: Any) -> Any:
    """Return the value with only what ``torch.load(weights_only=True)`` reads: numbers, strings, lists and dicts."""
    value = as_python(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if value is None or type(value) in (str, int, float, bool) else str(value)
