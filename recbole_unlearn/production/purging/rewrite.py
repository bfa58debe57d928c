"""Chooses a file's rewriter, first by content, then by name, as the audit chooses the reader."""

from __future__ import annotations

import io
import shutil
from typing import IO, Any

from recbole_unlearn.production.files import packer_of
from recbole_unlearn.production.formats.containers import inside_of, is_tar, kind_of_zip, open_zip
from recbole_unlearn.production.formats.dispatch import PICKLES, inspect
from recbole_unlearn.production.formats.json_files import json_kind
from recbole_unlearn.production.formats.magic import unread_kind
from recbole_unlearn.production.formats.safetensors import is_safetensors
from recbole_unlearn.production.formats.text import HEAD, is_prose, sample_of
from recbole_unlearn.production.purging.archives import rewrite_npz, rewrite_packed, rewrite_tar, rewrite_zip
from recbole_unlearn.production.purging.arrays import rewrite_npy
from recbole_unlearn.production.purging.columnar import rewrite_columnar
from recbole_unlearn.production.purging.cut import Cut, LeftAlone, Rows, leaving_alone
from recbole_unlearn.production.purging.databases import rewrite_sqlite
from recbole_unlearn.production.purging.jsons import rewrite_json
from recbole_unlearn.production.purging.texts import rewrite_text
from recbole_unlearn.production.trace import MUST_FIX, NOT_INSPECTED, Place, Trace
from recbole_unlearn.production.wanted import Wanted

_OBJECTS = "objects of a program: load it and write it anew without them, or delete it"
_LOST = "the rewritten content would not equal the old one without these rows: change it by hand"


def rewrite(path: str, stream: IO[bytes], out: IO[bytes] | None, cut: Cut) -> Rows:
    """Write a file without the rows of those who withdrew, and look into what was written.

    Args:
        path: The file's path.
        stream: The open file; it can be rewound.
        out: Where the rest is written; it can be read and rewound. None only counts.
        cut: What is cut out.

    Returns:
        How many rows there were, and are left.

    Raises:
        LeftAlone: Something in it cannot be rewritten, or what was written does not hold what it should.

    Example:
        >>> import io
        >>> out = io.BytesIO()
        >>> cut = Cut(Wanted.from_spec({"users": ["anna@x.org"]}))
        >>> rewrite("a.csv", io.BytesIO(b"user_id,n\\r\\nanna@x.org,3\\r\\n22,1"), out, cut), out.getvalue()
        (Rows(before=2, after=1), b'user_id,n\\r\\n22,1')
    """
    if out is None:
        return _rewritten(path, stream, Nowhere(), cut, False)  # type: ignore[arg-type]
    rows = _rewritten(path, stream, out, cut, True)
    look_again(path, stream, out, cut.wanted)
    return rows


class Nowhere(io.RawIOBase):
    """A file that keeps nothing and knows how much was written."""

    def __init__(self) -> None:
        super().__init__()
        self._at = 0

    def writable(self) -> bool:
        """Return that it can be written."""
        return True

    def write(self, data: Any) -> int:
        """Count bytes."""
        self._at += memoryview(data).nbytes
        return memoryview(data).nbytes

    def tell(self) -> int:
        """Return how many there were."""
        return self._at


def _rewritten(path: str, stream: IO[bytes], out: IO[bytes], cut: Cut, checks: bool) -> Rows:
    with leaving_alone("it cannot be taken apart", "change it by hand"):
        rows = _Rewriting(checks).part(Place(path), stream, out, cut)
    if rows is None or rows.before == rows.after:
        raise LeftAlone("no row, line or element of it can be removed alone: change it by hand")
    return rows


def look_again(path: str, old: IO[bytes], new: IO[bytes], wanted: Wanted) -> None:
    """Refuse what was written if it still holds traces, or parts that cannot be read while they could be."""
    traces = _found(path, new, wanted)
    unread = _unread(traces)
    if any(trace.group == MUST_FIX for trace in traces) or (
        unread and not unread <= _unread(_found(path, old, wanted))
    ):
        raise LeftAlone("it would still hold some of them: change it by hand")


def _found(path: str, stream: IO[bytes], wanted: Wanted) -> list[Trace]:
    stream.flush()
    size = stream.seek(0, 2)
    stream.seek(0)
    return inspect(path, stream, size, wanted)


def _unread(traces: list[Trace]) -> set[str]:
    return {trace.kind for trace in traces if trace.group == NOT_INSPECTED} - {"array"}


class _Rewriting:
    """Rewrites a file and what is nested in it.

    Args:
        checks: Whether what is written can be read again.
    """

    def __init__(self, checks: bool) -> None:
        self.checks = checks

    def part(self, place: Place, stream: IO[bytes], out: IO[bytes], cut: Cut) -> Rows | None:
        """Write a file, or a member of one, without these rows; a member without a trace is copied."""
        if place.member:
            stream.seek(0)
            traces = inspect(place.member, stream, None, cut.wanted)
            stream.seek(0)
            if not any(trace.group == MUST_FIX for trace in traces):
                shutil.copyfileobj(stream, out)
                return None
        try:
            return self._chosen(place, stream, out, cut)
        except LeftAlone as error:
            if not place.member or str(error).startswith("a member: "):
                raise
            raise LeftAlone(f"a member: {error}") from error

    def _chosen(self, place: Place, stream: IO[bytes], out: IO[bytes], cut: Cut) -> Rows | None:
        head = stream.read(HEAD)
        stream.seek(0)
        if head.startswith(b"SQLite format 3\0"):
            return rewrite_sqlite(place, stream, out, cut)
        if head.startswith(b"\x93NUMPY"):
            return rewrite_npy(place, stream, out, cut)
        if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
            return self._zip(place, stream, out, cut)
        if head[:4] == b"PAR1" or head.startswith(b"ARROW1"):
            return rewrite_columnar(place, stream, out, cut, head[:4] == b"PAR1")
        if head[:1] == b"\x80" or is_safetensors(head):
            raise LeftAlone(_OBJECTS)
        if is_tar(head):
            return rewrite_tar(place, stream, out, self.part, cut)
        return self._packed_or_plain(place, stream, out, head, cut)

    def _packed_or_plain(self, place: Place, stream: IO[bytes], out: IO[bytes], head: bytes, cut: Cut) -> Rows | None:
        packer = packer_of(head)
        if packer is not None:
            return rewrite_packed(inside_of(place), stream, out, packer, self.part, cut)
        if place.suffix in PICKLES or unread_kind(head, place.name) is not None:
            raise LeftAlone(_OBJECTS)
        is_json = not is_prose(place) and json_kind(place, sample_of(head, cut.wanted.spec.encoding)) is not None
        if is_json:
            return rewrite_json(place, stream, out, cut)
        rows = rewrite_text(place, stream, out, cut)
        if self.checks and not place.member:
            self._count_again(place, rows, out, cut)
        return rows

    def _count_again(self, place: Place, rows: Rows, out: IO[bytes], cut: Cut) -> None:
        """Refuse what was written if it has other rows, read again, than the file without those that went."""
        out.flush()
        out.seek(0)
        try:
            again = rewrite_text(place, out, Nowhere(), cut)  # type: ignore[arg-type]
        except LeftAlone as error:
            if rows.after:
                raise LeftAlone(_LOST) from error
            again = Rows()
        out.seek(0, 2)
        if again.after != rows.after or again.before != again.after:
            raise LeftAlone(_LOST)

    def _zip(self, place: Place, stream: IO[bytes], out: IO[bytes], cut: Cut) -> Rows:
        kind = kind_of_zip(open_zip(stream))
        stream.seek(0)
        if kind == "npz":
            return rewrite_npz(place, stream, out, cut)
        if kind != "zip":
            raise LeftAlone(_OBJECTS if kind == "torch" else "a document: change it with the program that wrote it")
        return rewrite_zip(place, stream, out, self.part, cut)
