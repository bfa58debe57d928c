"""Reads pickles without running anything that stands in them.

Every class and function that a pickle names is replaced by an inert stand-in that only remembers its arguments and its
state; the few that rebuild arrays, tensors and tables are the real ones. Nothing is imported on a pickle's word.
"""

from __future__ import annotations

import collections
import io
import pickle
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recbole_unlearn.exceptions import UntrustedFileError

_REAL: dict[str, tuple[str, ...]] = {
    "collections": ("OrderedDict", "Counter", "deque"),
    "builtins": ("set", "frozenset", "slice", "range", "complex", "bytearray", "list", "dict", "tuple"),
    "numpy": ("ndarray", "dtype"),
    "numpy.core.multiarray": ("_reconstruct", "scalar"),
    "numpy._core.multiarray": ("_reconstruct", "scalar"),
    "numpy._core.numeric": ("_frombuffer",),
    "numpy.core.numeric": ("_frombuffer",),
    "pandas.core.frame": ("DataFrame",),
    "pandas.core.series": ("Series",),
    "pandas.core.internals.managers": ("BlockManager", "SingleBlockManager"),
    "pandas._libs.internals": ("_unpickle_block",),
    "pandas.core.indexes.base": ("Index", "_new_Index"),
    "pandas.core.indexes.range": ("RangeIndex",),
    "torch._utils": ("_rebuild_tensor_v2", "_rebuild_parameter", "_rebuild_sparse_tensor"),
    "torch": ("Size", "FloatStorage", "LongStorage", "DoubleStorage", "IntStorage", "BoolStorage", "HalfStorage"),
    "torch.serialization": ("_get_layout",),
}
_STAND_INS = {"recbole", "recbole_unlearn", "torch", "numpy", "pandas", "scipy", "yaml", "enum", "logging", "random"}
_FUNCTIONS = {("copyreg", "_reconstructor"), ("builtins", "object"), ("builtins", "getattr")}
_FUNCTIONS |= {("collections", "defaultdict"), ("builtins", "int"), ("builtins", "float"), ("builtins", "str")}


class StandIn:
    """In the place of an object whose class is not trusted: its class's name, and what its pickle gave it."""

    stands_for = ""

    def __new__(cls, *args: Any, **kwargs: Any) -> StandIn:
        """Make one, whatever the arguments."""
        made = object.__new__(cls)
        made.__dict__["arguments"] = args
        return made

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) == 2:
            for part in state:
                self.__setstate__(part)
        elif isinstance(state, dict):
            self.__dict__.update({str(name): value for name, value in state.items()})
        elif state is not None:
            self.__dict__["state"] = state

    def __call__(self, *args: Any, **kwargs: Any) -> StandIn:
        """Stand in for what a call would have made."""
        return StandIn(*args)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.__dict__.setdefault("items", {})[key if isinstance(key, str | int) else str(key)] = value

    def append(self, value: Any) -> None:
        """Take what a pickle appends."""
        self.__dict__.setdefault("values", []).append(value)

    def extend(self, values: Any) -> None:
        """Take what a pickle appends."""
        self.__dict__.setdefault("values", []).extend(values)


class SafeUnpickler(pickle.Unpickler):
    """Unpickles into stand-ins; a name from anywhere but RecBole and the libraries it uses is refused."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the real thing for arrays and tensors, a stand-in for the rest."""
        if (module, name) == ("torch.storage", "_load_from_bytes"):
            return lambda content: torch.load(io.BytesIO(content), weights_only=True)
        if name in _REAL.get(module, ()):
            return super().find_class(module, name)
        if module.split(".")[0] in _STAND_INS or (module, name) in _FUNCTIONS:
            return type(name.split(".")[-1], (StandIn,), {"stands_for": f"{module}.{name}"})
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def read_safely(path: Path) -> Any:
    """Return the content of a pickle or of a file of ``torch.save``, without running anything that stands in it.

    Raises:
        UntrustedFileError: It cannot be read this way.
    """
    try:
        with open(path, "rb") as file:
            if file.read(2) != b"PK":
                file.seek(0)
                return SafeUnpickler(file).load()
        reader: Any = types.ModuleType("reader")
        reader.Unpickler, reader.load = SafeUnpickler, lambda file, **_: SafeUnpickler(file).load()
        return torch.load(path, map_location="cpu", pickle_module=reader, weights_only=False)
    except Exception as error:  # whatever a damaged or hostile file makes of the machine above
        raise UntrustedFileError(f"{str(path)!r} cannot be read safely: {error}") from error


def walk(content: Any) -> Any:
    """Yield every object that can be reached from the content of a pickle, each once."""
    waiting, seen = collections.deque([content]), set()
    while waiting:
        thing = waiting.popleft()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        yield thing
        if isinstance(thing, StandIn):
            waiting.extend(vars(thing).values())
        elif isinstance(thing, dict):
            waiting.extend(thing.values())
        elif isinstance(thing, list | tuple):
            waiting.extend(thing)
        elif isinstance(thing, np.ndarray) and thing.dtype == object:
            waiting.extend(thing.ravel().tolist())
