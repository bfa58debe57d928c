"""Chooses a file's reader, first by content, then by name; no content makes it raise."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import IO

from recbole_unlearn.exceptions import UntrustedFileError
from recbole_unlearn.production.files import UNPACKED, Budget, packer_of
from recbole_unlearn.production.formats import containers
from recbole_unlearn.production.formats.arrays import merged, npy
from recbole_unlearn.production.formats.columnar import columnar
from recbole_unlearn.production.formats.json_files import json_file, json_kind
from recbole_unlearn.production.formats.magic import unread_kind
from recbole_unlearn.production.formats.pickles import pickled
from recbole_unlearn.production.formats.safetensors import is_safetensors, safetensors
from recbole_unlearn.production.formats.sqlite import sqlite
from recbole_unlearn.production.formats.streams import looked_ahead, rewindable
from recbole_unlearn.production.formats.text import HEAD, is_prose, sample_of, text
from recbole_unlearn.production.trace import Place, Trace
from recbole_unlearn.production.wanted import Wanted

_DEEPEST = 6  # containers in containers; a .tar.gz is two
_OLD_PICKLE = re.compile(rb"\(?[dlitp](p\d+)?\r?\n|c[A-Za-z_][\w.]*\n[A-Za-z_][\w.]*\n|[\]}(][q(]\x00")
PICKLES = (".pkl", ".pickle", ".pth", ".pt", ".joblib", ".dill")


def inspect(name: str, stream: IO[bytes] | bytes, size: int | None, wanted: Wanted) -> list[Trace]:
    """Return the traces in a file. It never raises, and no trace contains a token.

    Args:
        name: The file's path, as it is written in the traces.
        stream: The open file, or its bytes.
        size: Its size in bytes, if it is known.
        wanted: What is searched for.

    Example:
        >>> wanted = Wanted.from_spec({"users": ["196"]})
        >>> [trace.line() for trace in inspect("a.csv", b"user_id,n\\n196,3\\n22,196\\n", None, wanted)]
        ['a.csv: table: 1 row of withdrawn users; rewrite it without these rows']
    """
    source: IO[bytes] = io.BytesIO(stream) if isinstance(stream, bytes) else stream
    if size == 0:
        return []
    return list(_Inspection(wanted).safely(Place(name), source))


class _Inspection:
    """Looks at one file, and at all that is nested in it."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted, self.budget, self.depth = wanted, Budget(UNPACKED), 0

    def safely(self, place: Place, stream: IO[bytes]) -> Iterator[Trace]:
        """Yield what a file or member holds, or why it was not looked into."""
        self.depth += 1
        try:
            if self.depth > _DEEPEST:
                yield place.not_inspected("container", "it is nested too deep")
            else:
                yield from self._look(place, stream)
        except UntrustedFileError as error:
            yield place.not_inspected("file", str(error))
        except MemoryError:
            yield place.not_inspected("file", "it needs more memory than is allowed")
        except Exception as error:
            yield place.not_inspected("file", f"it cannot be read ({type(error).__name__})")
        finally:
            self.depth -= 1

    def _look(self, place: Place, stream: IO[bytes]) -> Iterator[Trace]:
        head, stream = looked_ahead(stream, HEAD)
        wanted = self.wanted
        if not head:
            return
        if head.startswith(b"SQLite format 3\0"):
            yield from sqlite(place, stream, wanted)
        elif head.startswith(b"\x93NUMPY"):
            yield from npy(place, stream, wanted)
        elif head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
            yield from self._zip(place, rewindable(stream))
        elif head[:4] in (b"PAR1", b"FEA1") or head.startswith(b"ARROW1"):
            yield from columnar(place, rewindable(stream), head, wanted)
        elif head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
            yield from pickled(place, rewindable(stream), wanted)
        elif is_safetensors(head):
            yield from safetensors(place, stream, wanted)
        elif containers.is_tar(head):
            yield from containers.tar(place, stream, self.budget, self.safely)
        else:
            yield from self._packed_or_plain(place, stream, head)

    def _packed_or_plain(self, place: Place, stream: IO[bytes], head: bytes) -> Iterator[Trace]:
        packer = packer_of(head)
        if packer is not None:
            yield from containers.packed(place, stream, packer, self.budget, self.safely)
            return
        if _OLD_PICKLE.match(head) or place.suffix in PICKLES:
            yield from pickled(place, rewindable(stream), self.wanted)
            return
        kind = unread_kind(head, place.name)
        if kind is not None:
            yield place.not_inspected(kind, "files of this kind are not read")
            return
        json_form = None if is_prose(place) else json_kind(place, sample_of(head, self.wanted.spec.encoding))
        if json_form is not None:
            yield from json_file(place, stream, head, json_form, self.wanted)
        else:
            yield from text(place, stream, head, self.wanted)

    def _zip(self, place: Place, stream: IO[bytes]) -> Iterator[Trace]:
        archive = containers.open_zip(stream)
        kind = containers.kind_of_zip(archive)
        if kind == "torch":
            stream.seek(0)
            yield from pickled(place, stream, self.wanted)
        elif kind == "npz":
            yield from merged(place, list(containers.zip_file(place, archive, self.budget, self.safely)))
        elif kind == "office":
            yield place.not_inspected("office document", "save its sheets as csv, and look again")
        else:
            yield from containers.zip_file(place, archive, self.budget, self.safely)
