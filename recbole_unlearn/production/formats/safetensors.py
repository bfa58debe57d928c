"""Reads the header of safetensors files, whose names and shapes show tables of users."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from recbole_unlearn.production.formats.objects import objects
from recbole_unlearn.production.trace import NotInspected, Place, Trace
from recbole_unlearn.production.wanted import Wanted

_LONGEST = 1 << 26  # bytes of a header
_TYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


@dataclass(frozen=True)
class _Tensor:
    shape: tuple[int, ...]
    dtype: str


def is_safetensors(head: bytes) -> bool:
    """Return whether these are the first bytes of a file of safetensors.

    >>> is_safetensors((20).to_bytes(8, "little") + b'{"w": {}}')
    True
    """
    return len(head) > 9 and 2 <= int.from_bytes(head[:8], "little") <= _LONGEST and head[8:9] == b"{"


def safetensors(place: Place, stream: IO[bytes], wanted: Wanted) -> Iterator[Trace]:
    """Yield what the header says of the tensors."""
    try:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        state = {
            str(name): _Tensor(tuple(map(int, one["shape"])), _TYPES.get(one["dtype"], "int"))
            for name, one in header.items()
            if name != "__metadata__"
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotInspected("safetensors with an invalid header") from error
    yield from objects(place, {"state_dict": state}, wanted)
