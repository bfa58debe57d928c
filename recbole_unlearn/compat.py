"""Patches that let RecBole 1.2.1 run on current numpy, scipy and torch, each with its reason.

``apply()`` runs when ``recbole_unlearn`` is imported. It adds missing names to numpy and scipy and changes nothing else
there. RecBole's modules are patched when they are imported, so a script that never imports RecBole spends no time on it. If
RecBole is missing, or pandas is too new for it, the import says what to install. Without ray, RecBole's ``quick_start``
gets a placeholder while it is imported.

``torch.load`` itself stays as it is. RecBole's checkpoints are pickles, which run code when they are loaded; torch
refuses them since 2.6. Only calls within RecBole's own modules may load one, and only these files: one that this process
wrote and that is unchanged since, one that the script passed to ``recbole.quick_start.load_data_and_model``, or one named
with ``trust``.
"""

import builtins
import importlib.abc
import importlib.util
import inspect
import os
import pickle
import sys
import types
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

_trusted: dict[str, tuple[int, int, int]] = {}


def apply() -> None:
    """Patch numpy and scipy, and the modules of RecBole as they are imported. Calling it again changes nothing."""
    _restore_numpy_names()
    _restore_dok_update()
    _silence_recboles_future_warnings()
    if not any(isinstance(finder, _PatchOnImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _PatchOnImport())
        sys.meta_path.append(_SaysHowToInstall())
        for name, patch in _PATCHES.items():
            if name in sys.modules:
                patch(sys.modules[name])


def trust(path: str | os.PathLike[str]) -> None:
    """Let RecBole load this pickled checkpoint. A pickle runs code: name only files whose origin you know.

    The file is remembered as it is now (inode, size, time of change); once it changes it is no longer trusted.
    """
    _trusted[os.path.realpath(path)] = _fingerprint(path)


def _fingerprint(path: str | os.PathLike[str]) -> tuple[int, int, int]:
    status = os.stat(path)
    return status.st_ino, status.st_size, status.st_mtime_ns


def _is_trusted(path: object) -> bool:
    if not isinstance(path, str | os.PathLike):
        return False
    return os.path.exists(path) and _trusted.get(os.path.realpath(path)) == _fingerprint(path)


def _restore_numpy_names() -> None:
    """numpy dropped names that RecBole (``bool``, ``float_``, ``unicode_``, ...) and ray 2.6.3 (``bool8``) read."""
    import numpy as np

    old = {
        "bool": np.bool_,
        "bool8": np.bool_,
        "complex_": np.complex128,
        "float": np.float64,
        "float_": np.float64,
        "unicode_": np.str_,
    }
    for name, value in old.items():
        if name not in vars(np):
            setattr(np, name, value)


def _restore_dok_update() -> None:
    """scipy 1.13 dropped ``dok_matrix._update``, with which LightGCN and other graph models fill their adjacency."""
    from scipy.sparse import dok_matrix

    if not hasattr(dok_matrix, "_update"):
        dok_matrix._update = lambda self, data: self._dict.update(data)


def _silence_recboles_future_warnings() -> None:
    """RecBole's use of pandas and torch.amp warns at every load and epoch of what a pinned RecBole will never change."""
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"recbole\.")


class _TorchSeenByRecBole:
    """torch, except that ``load`` accepts the pickles that RecBole itself wrote in this process or was told to trust."""

    def __getattr__(self, name: str) -> Any:
        import torch

        return getattr(torch, name)

    @staticmethod
    def save(obj: object, f: Any, *args: Any, **kwargs: Any) -> None:
        import torch

        torch.save(obj, f, *args, **kwargs)
        if isinstance(f, str | os.PathLike):
            trust(f)

    @staticmethod
    def load(f: Any, *args: Any, **kwargs: Any) -> Any:
        import torch

        if "weights_only" not in kwargs and _is_trusted(f):
            kwargs["weights_only"] = False
        try:
            return torch.load(f, *args, **kwargs)
        except pickle.UnpicklingError as error:
            raise pickle.UnpicklingError(
                f"{str(f)!r} is a pickle that another process wrote, and a pickle runs code when it is loaded. If you know "
                f"who wrote it, say so before this line: recbole_unlearn.compat.trust({str(f)!r})"
            ) from error


_TORCH = _TorchSeenByRecBole()


def _use_our_torch(module: types.ModuleType) -> None:
    """``Trainer.evaluate``, ``Trainer.resume_checkpoint`` and ``NeuMF.load_pretrain`` call ``torch.load``."""
    module.torch = _TORCH  # type: ignore[attr-defined]


def _trust_what_the_script_loads(module: types.ModuleType) -> None:
    """``load_data_and_model`` imports torch in its own body: that one import is redirected, nothing else."""
    stock = module.load_data_and_model

    def import_(name: str, *args: Any, **kwargs: Any) -> Any:
        return _TORCH if name == "torch" else builtins.__import__(name, *args, **kwargs)

    namespace = {**stock.__globals__, "__builtins__": {**vars(builtins), "__import__": import_}}
    redirected = types.FunctionType(stock.__code__, namespace, stock.__name__, stock.__defaults__)

    def load_data_and_model(model_file: str) -> tuple[Any, ...]:
        trust(model_file)
        return redirected(model_file)

    load_data_and_model.__doc__ = stock.__doc__
    module.load_data_and_model = load_data_and_model  # type: ignore[attr-defined]
    package = sys.modules.get("recbole.quick_start")
    if getattr(package, "load_data_and_model", None) is stock:  # the package was imported before this one
        package.load_data_and_model = load_data_and_model  # type: ignore[union-attr]


def _refuse_pandas_3() -> None:
    """RecBole fills missing values by ``table[column].fillna(inplace=True)``, which pandas 3 does to a copy, silently."""
    import pandas as pd

    if int(pd.__version__.split(".")[0]) >= 3:
        raise ImportError(
            f"pandas {pd.__version__} is installed, with which RecBole 1.2.1 leaves missing values in place and says "
            f"nothing; install pandas 2: pip install 'pandas<3'"
        )


def _lend_ray() -> None:
    """``recbole.quick_start`` imports ``ray.tune`` only for a search with ray; without ray it gets a placeholder.

    RecBole's ``objective_function`` reports to ray whoever searches, hyperopt too: without ray nobody listens.
    """
    if importlib.util.find_spec("ray") is not None:
        return

    def explain(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ImportError(f"ray.tune.{name} was asked for, and ray is not installed; install it: pip install ray")

    ray, tune = types.ModuleType("ray"), types.ModuleType("ray.tune")
    tune.report = lambda **figures: None  # type: ignore[attr-defined]
    tune.__getattr__ = explain  # type: ignore[method-assign]
    ray.tune = tune  # type: ignore[attr-defined]
    sys.modules |= {"ray": ray, "ray.tune": tune}


def _take_ray_back() -> None:
    """Remove the placeholder, since other libraries test whether ray can be imported."""
    for name in ("ray.tune", "ray"):
        if getattr(sys.modules.get(name), "__spec__", None) is None:
            sys.modules.pop(name, None)


def _report_as_one_dict(quick_start: types.ModuleType) -> None:
    """RecBole gives ``ray.tune.report`` a keyword for each figure; newer versions of ray take one dict."""
    tune = quick_start.tune
    kinds = {parameter.kind for parameter in inspect.signature(tune.report).parameters.values()}
    if inspect.Parameter.VAR_KEYWORD not in kinds:
        stand_in = types.ModuleType("ray.tune")
        stand_in.__getattr__ = partial(getattr, tune)  # type: ignore[method-assign]
        stand_in.report = lambda **figures: tune.report(figures)  # type: ignore[attr-defined]
        quick_start.tune = stand_in  # type: ignore[attr-defined]


def _mend_quick_start(module: types.ModuleType) -> None:
    _trust_what_the_script_loads(module)
    _report_as_one_dict(module)


def _search_with_todays_generator(module: types.ModuleType) -> None:
    """hyperopt draws with ``Generator.integers`` since 0.2.6; RecBole's exhaustive search hands it a ``RandomState``."""
    import numpy as np

    seen = types.SimpleNamespace(**{**vars(np), "random": types.SimpleNamespace(RandomState=np.random.default_rng)})
    vars(module)["np"] = seen


def _keep_what_is_no_tensor(module: types.ModuleType) -> None:
    """RecBole 1.2.1 asks the numbers that ItemCoverage, GiniIndex and such need for ``cpu()``, which tensors alone have."""
    stock = module.Collector.get_data_struct

    def get_data_struct(self: Any) -> Any:
        held = self.data_struct._data_dict
        numbers = {name: value for name, value in held.items() if not hasattr(value, "cpu")}
        for name in numbers:
            del held[name]
        told = stock(self)
        held.update(numbers)
        told._data_dict.update(numbers)
        return told

    module.Collector.get_data_struct = get_data_struct


_PATCHES: dict[str, Callable[[types.ModuleType], None]] = {
    "recbole.evaluator.collector": _keep_what_is_no_tensor,
    "recbole.trainer.trainer": _use_our_torch,
    "recbole.model.general_recommender.neumf": _use_our_torch,
    "recbole.trainer.hyper_tuning": _search_with_todays_generator,
    "recbole.quick_start.quick_start": _mend_quick_start,
}


def _nothing(*_: Any) -> None: ...


# What is done right before a module is executed, and right after it whether it failed or not.
_BEFORE: dict[str, Callable[[], None]] = {
    "recbole.data.dataset.dataset": _refuse_pandas_3,
    "recbole.quick_start.quick_start": _lend_ray,
}
_AFTER: dict[str, Callable[[], None]] = {"recbole.quick_start.quick_start": _take_ray_back}


class _SaysHowToInstall(importlib.abc.MetaPathFinder):
    """Stands last: who asks it for RecBole has none."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "recbole":
            raise ModuleNotFoundError(
                "RecBole is not installed. Up to Python 3.11 it comes with this package; above, install it without its own "
                "bound of ray: pip install --no-deps recbole==1.2.1",
                name=fullname,
            )
        return None


class _PatchOnImport(importlib.abc.MetaPathFinder):
    """Runs the patch of a RecBole module right after Python has executed that module."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        touched = fullname in _PATCHES or fullname in _BEFORE
        spec = PathFinder.find_spec(fullname, path) if touched else None
        if spec is None or spec.loader is None:
            return None
        run = spec.loader.exec_module

        def exec_module(module: types.ModuleType) -> None:
            _BEFORE.get(fullname, _nothing)()
            try:
                run(module)
            finally:
                _AFTER.get(fullname, _nothing)()
            _PATCHES.get(fullname, _nothing)(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
