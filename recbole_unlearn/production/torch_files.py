"""Reads files of ``torch.save`` without torch; tensors become numpy arrays over their bytes.

Sources:
    torch/serialization.py and torch/_utils.py of torch 2.13: ``_save``, ``_legacy_save``, ``_rebuild_tensor_v2``.
"""

from __future__ import annotations

import io
import re
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from recbole_unlearn.lineage.digest import BlockTree, digest_of_roots, flat_digest
from recbole_unlearn.production.arrays import count_of
from recbole_unlearn.production.files import member, open_regular, open_zip
from recbole_unlearn.production.inert import read_pickle
from recbole_unlearn.production.source import Source
from recbole_unlearn.production.stand_ins import Global, StandIn, walk
from recbole_unlearn.production.trace import NotInspected

_LARGEST = 1 << 42  # bytes of a file of torch.save
_OPCODES = 5_000_000
_SPREAD = 1 << 26  # bytes that a tensor may show beyond those of its storage, as expanded ones do
_MAGIC = 0x1950A86A20F9469CFC6C
_KNOWN_MEMBERS = re.compile(r"data\.pkl|data/\d+|byteorder|version|\.format_version|\.storage_alignment|\.data/\w+")
_STORAGES = {"Float": "float32", "Double": "float64", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64"}
_STORAGES |= {"Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool", "Untyped": "uint8"}
_STORAGES |= {"ComplexFloat": "complex64", "ComplexDouble": "complex128"}
_STORAGES |= {"QInt8": "qint8", "QUInt8": "quint8", "QInt32": "qint32"}
_AS_NUMPY = {"bfloat16": "uint16", "complex32": "uint32", "qint8": "int8", "quint8": "uint8", "qint32": "int32"}
_AS_NUMPY |= {name: name for name in ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "bool")}
_AS_NUMPY |= {name: name for name in ("uint8", "uint16", "uint32", "uint64", "complex64", "complex128")}
_AS_NUMPY |= {f"float8_{kind}": "uint8" for kind in ("e4m3fn", "e5m2", "e4m3fnuz", "e5m2fnuz", "e8m0fnu")}


@dataclass(frozen=True, eq=False)
class Storage:
    """The bytes that tensors share.

    Args:
        dtype: torch's name of the type of its items.
        size: Number of bytes.
        read: Returns the bytes.
    """

    dtype: str
    size: int
    read: Callable[[], bytes]


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor that was read without torch.

    Args:
        dtype: torch's name of the type, without ``torch.``.
        shape: Its shape.
        storage: Its bytes, and of all that share them.
        offset: Where its first item is, in items.
        strides: In items.
    """

    dtype: str
    shape: tuple[int, ...]
    storage: Storage
    offset: int
    strides: tuple[int, ...]

    def raw(self) -> np.ndarray:
        """Return its items as they are stored; 16 bits of bfloat16 are a uint16."""
        dtype = np.dtype(_AS_NUMPY[self.dtype]).newbyteorder("<")
        strides = tuple(stride * dtype.itemsize for stride in self.strides)
        data = self.storage.read()
        if count_of(self.shape) == 0:
            return np.empty(self.shape, dtype)
        try:
            return np.ndarray(self.shape, dtype, data, self.offset * dtype.itemsize, strides)
        except (ValueError, TypeError) as error:
            raise NotInspected("a tensor that reaches beyond its storage") from error

    def array(self) -> np.ndarray:
        """Return its values; bfloat16 as float32, other types that numpy does not know as they are stored."""
        values = self.raw()
        if self.dtype == "bfloat16":
            return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return values


def read_torch(path: str | Path) -> Any:
    """Return the content of a file of ``torch.save``; its storages are read when their values are asked for.

    Raises:
        NotInspected: It is something else, damaged, of another byte order, or a TorchScript archive.
    """
    file = open_regular(path)
    try:
        return read_torch_file(file)
    except BaseException:
        file.close()
        raise


def read_torch_file(file: IO[bytes]) -> Any:
    """Return the content of an open file of ``torch.save``, which is kept open as long as its tensors are."""
    head = file.read(2)
    file.seek(0)
    return _read_zip(file) if head == b"PK" else _read_legacy(file)


def _read_zip(file: IO[bytes]) -> Any:
    archive = open_zip(file, _LARGEST)
    names = archive.namelist()
    pickles = [name for name in names if name.endswith("/data.pkl")]
    prefix = pickles[0].removesuffix("data.pkl") if pickles else ""
    inside = {name.removeprefix(prefix) for name in names}
    if "constants.pkl" in inside or any(name.startswith("code/") for name in inside):
        raise NotInspected("a TorchScript archive, which holds programs")
    if len(pickles) != 1 or not all(_KNOWN_MEMBERS.fullmatch(name) for name in inside):
        raise NotInspected("a zip with other members than those that torch.save writes")
    if "byteorder" in inside and member(archive, prefix + "byteorder", 16).strip() != b"little":
        raise NotInspected("a file of torch.save in another byte order")
    weakref.finalize(archive, file.close)

    def storage(name: Any) -> Storage:
        dtype, key, count = _storage_of(name)
        size = count * np.dtype(_AS_NUMPY[dtype]).itemsize
        full = f"{prefix}data/{key}"
        if full not in archive.NameToInfo or archive.getinfo(full).file_size < size:
            raise NotInspected("a file of torch.save without all of its storages")
        return Storage(dtype, size, lambda: member(archive, full, archive.getinfo(full).file_size))

    return read_pickle(io.BytesIO(member(archive, pickles[0])), storage, _OPCODES)


def _read_legacy(file: IO[bytes]) -> Any:
    """Read five pickles in a row and the storages behind them, as torch wrote them before 1.6, and pickled tensors hold."""
    source = Source(file)
    storages: dict[str, Storage] = {}
    raw: dict[str, bytes] = {}

    def storage(name: Any) -> Storage:
        dtype, key, count = _storage_of(name)
        size = count * np.dtype(_AS_NUMPY[dtype]).itemsize
        return storages.setdefault(key, Storage(dtype, size, lambda: raw[key]))

    if read_pickle(source, opcodes=100) != _MAGIC:
        raise NotInspected("no file of torch.save")
    read_pickle(source, opcodes=100)
    system = read_pickle(source, opcodes=1000)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise NotInspected("a file of torch.save in another byte order")
    content = read_pickle(source, storage, _OPCODES)
    keys = read_pickle(source)
    if not isinstance(keys, list) or set(map(str, keys)) != set(storages):
        raise NotInspected("a file of torch.save without all of its storages")
    for key in map(str, keys):
        count = int.from_bytes(source.read(8), "little")
        width = np.dtype(_AS_NUMPY[storages[key].dtype]).itemsize
        if count * width != storages[key].size:
            raise NotInspected("a file of torch.save without all of its storages")
        raw[key] = source.read(count * width)
    return content


def _storage_of(name: Any) -> tuple[str, str, int]:
    """Return what a persistent id says of a storage: type, key and number of items."""
    if not isinstance(name, tuple) or len(name) not in (5, 6) or name[0] != "storage" or any(name[5:]):
        raise NotInspected("a pickle with a persistent id that torch.save does not write")
    kind, key, count = name[1], name[2], name[4]
    dtype = _STORAGES.get(kind.name.removesuffix("Storage")) if isinstance(kind, Global) else None
    if dtype is None or not isinstance(key, str) or type(count) is not int or not 0 <= count < _LARGEST:
        raise NotInspected("a storage of a type that is not known")
    return dtype, key, count


def as_tensor(thing: Any, deep: int = 4) -> Tensor | None:
    """Return the tensor that a stand-in stands for, or None if it stands for something else.

    Args:
        thing: What a file holds.
        deep: How many parameters may stand around a tensor.

    Raises:
        NotInspected: It says that it is a tensor, but its shape, strides and storage do not fit together.
    """
    name, arguments = (thing.stands_for, thing.arguments) if isinstance(thing, StandIn) else ("", ())
    if not name.startswith("torch._utils._rebuild_"):
        return None
    kind = name.removeprefix("torch._utils._rebuild_")
    if kind in ("parameter", "parameter_with_state") and arguments and deep:
        return as_tensor(arguments[0], deep - 1)
    if kind not in ("tensor", "tensor_v2", "tensor_v3", "qtensor") or len(arguments) < 4:
        return None
    storage = arguments[0] if isinstance(arguments[0], Storage) else pickled_storage(arguments[0])
    if storage is None:
        raise NotInspected("a tensor without a storage")
    dtype = storage.dtype
    if kind == "tensor_v3":
        dtype = arguments[6].name if len(arguments) > 6 and isinstance(arguments[6], Global) else ""
    if dtype not in _AS_NUMPY:
        raise NotInspected("a tensor of a type that is not known")
    return _tensor(dtype, storage, arguments[1], arguments[2], arguments[3])


def _tensor(dtype: str, storage: Storage, offset: Any, shape: Any, strides: Any) -> Tensor:
    shape = shape.arguments[0] if isinstance(shape, StandIn) and shape.stands_for == "torch.Size" else shape
    count, width = count_of(shape), np.dtype(_AS_NUMPY[dtype]).itemsize
    if not isinstance(shape, tuple) or not isinstance(strides, tuple) or len(shape) != len(strides):
        raise NotInspected("a tensor whose shape and strides do not fit together")
    if not all(type(one) is int and 0 <= one < _LARGEST for one in (offset, *strides)):
        raise NotInspected("a tensor whose shape and strides do not fit together")
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if count and (last + 1) * width > storage.size:
        raise NotInspected("a tensor that reaches beyond its storage")
    if count * width > storage.size + _SPREAD:
        raise NotInspected("a tensor that repeats its storage more often than is looked at")
    return Tensor(dtype, shape, storage, offset, strides)


def pickled_storage(thing: Any) -> Storage | None:
    """Return the storage that a plain pickle holds as a file of ``torch.save`` inside it, or None if it is not one."""
    if not isinstance(thing, StandIn):
        return None
    if thing.stands_for == "torch.storage._load_from_bytes" and thing.arguments:
        data = thing.arguments[0]
        content = read_torch_file(io.BytesIO(data)) if isinstance(data, bytes) else None
        return content if isinstance(content, Storage) else None
    return None


def tensors(content: Any) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield torch's dtype and the shape of every tensor in a content, however deep it is nested, each once.

    Raises:
        NotInspected: One of them does not fit its storage.
    """
    for thing in walk(content):
        tensor = as_tensor(thing) if "parameter" not in getattr(thing, "stands_for", "") else None
        if tensor is not None:
            yield f"torch.{tensor.dtype}", tensor.shape


def weights_digests(state: Mapping[str, Any]) -> tuple[str, str]:
    """Return the digest of a ``state_dict`` that was read here, the one of ``lineage/digest.py``, and that of version 0.1.

    Raises:
        NotInspected: Something in it is no tensor, or does not fit its storage.
    """
    found = []
    for name, value in sorted(state.items(), key=lambda item: item[0]):
        tensor = as_tensor(value)
        if tensor is None:
            raise NotInspected("a model with something else than tensors in its state")
        found.append((name, f"torch.{tensor.dtype}", tensor.shape, tensor.raw()))  # no copy: tables may be large
    roots = ((name, dtype, shape, BlockTree(table).root) for name, dtype, shape, table in found)
    return digest_of_roots(roots), flat_digest(found)
