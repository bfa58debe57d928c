"""Pickles, and files of torch and joblib: read without running anything in them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, Any

from recbole_unlearn.exceptions import UntrustedFileError
from recbole_unlearn.production import contents, inert, torch_files
from recbole_unlearn.production.formats.objects import objects
from recbole_unlearn.production.formats.views import View
from recbole_unlearn.production.trace import Place, Trace, counted
from recbole_unlearn.production.wanted import Wanted

_PARTS = 10_000  # of a table that are looked at for the names of its rows
_TORCH_MAGIC = 1 << 64  # the first of the pickles that torch wrote before 1.6 is a number above this


def pickled(place: Place, stream: IO[bytes], wanted: Wanted) -> Iterator[Trace]:
    """Yield what a pickle holds, or a file that torch wrote, from a stream that can be rewound."""
    head = stream.read(2)
    stream.seek(0)
    try:
        if head == b"PK":
            content = torch_files.read_torch_file(_kept_open(stream))
        else:
            content = inert.read_pickle(stream)
            if type(content) is int and content > _TORCH_MAGIC:
                stream.seek(0)
                content = torch_files.read_torch_file(_kept_open(stream))
        view = InertView()
        yield from objects(place, content, wanted, view)
        unknown = contents.unknown_names(content)
    except UntrustedFileError as error:
        yield place.not_inspected("pickle", str(error))
        return
    if unknown:
        yield place.not_inspected(
            "pickle", f"it holds objects of {counted(len(unknown), 'class', 'classes')} that are not known"
        )


def _kept_open(stream: IO[bytes]) -> IO[bytes]:
    """Return a stream that may be closed by whoever reads it: the file stays the caller's."""
    return io.BufferedReader(_Borrowed(stream))


class _Borrowed(io.RawIOBase):
    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class InertView(View):
    """Shows the stand-ins of a pickle as what they stand for."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[Any, Any]] = {}

    def plain(self, thing: Any) -> Any:
        """Return a dict, list, array or scalar; of an object that is not known, all that its pickle gave it."""
        if type(thing).__name__ not in ("StandIn", "Global", "Tensor", "Storage"):
            return super().plain(thing)
        known = self._made.get(id(thing))
        if known is None:
            self._made[id(thing)] = known = (thing, self._rebuilt(thing))
        return known[1]

    def _rebuilt(self, thing: Any) -> Any:
        if type(thing).__name__ != "StandIn":
            return None
        if torch_files.as_tensor(thing) is not None:
            return self._tensor(thing)
        value = super().plain(contents.plain(thing))
        if value is not thing:
            return value
        rest = [thing.arguments, thing.keywords, thing.states, thing.values, [list(pair) for pair in thing.items]]
        attributes = dict(thing.attributes)
        if attributes:
            rest[2] = [state for state in thing.states if not isinstance(state, dict | tuple)]
        return {**attributes, "": [part for part in rest if part]}

    def _tensor(self, thing: Any) -> Any:
        """Return the values of a tensor of whole numbers; others name nobody."""
        tensor = torch_files.as_tensor(thing)
        assert tensor is not None
        return None if "float" in tensor.dtype else tensor.array()

    def table(self, thing: Any) -> dict[str, Any] | None:
        """Return the columns of a DataFrame, a Series or an Interaction, with what names its rows."""
        if type(thing).__name__ != "StandIn":
            return None
        columns = contents.as_table(thing)
        return columns if columns is None else {**self._indexes(thing), **columns}

    def _indexes(self, thing: Any) -> dict[str, Any]:
        """Return the indexes of a table that name its rows, by their names."""
        indexes: dict[str, Any] = {}
        waiting, seen = [thing], 0
        while waiting and seen < _PARTS:
            part, seen = waiting.pop(), seen + 1
            if type(part).__name__ == "StandIn":
                values = contents.as_array(part) if repr(part.what).endswith("._new_Index") else None
                if values is not None:
                    name = part.arguments[1].get("name")
                    indexes[name if isinstance(name, str) else f"index {len(indexes)}"] = values
                else:
                    waiting += [part.arguments, part.states, part.values, list(part.items)]
            elif isinstance(part, dict):
                waiting += part.values()
            elif isinstance(part, list | tuple):
                waiting += part[:_PARTS]
        return indexes

    def shape(self, thing: Any) -> tuple[int, ...] | None:
        """Return the shape of an array or tensor."""
        tensor = torch_files.as_tensor(thing) if type(thing).__name__ == "StandIn" else None
        return tensor.shape if tensor is not None else super().shape(self.plain(thing))

    def is_float(self, thing: Any) -> bool:
        """Return whether it holds numbers with a fraction."""
        tensor = torch_files.as_tensor(thing) if type(thing).__name__ == "StandIn" else None
        return super().is_float(tensor if tensor is not None else self.plain(thing))

    def digests(self, state: dict[str, Any]) -> tuple[str, ...]:
        """Return the digests by which the ledger may know the weights; none if they cannot be told."""
        try:
            return torch_files.weights_digests(state)
        except UntrustedFileError:
            return ()
