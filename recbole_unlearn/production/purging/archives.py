"""Rewrites compressed files and archives (zip, npz, tar); members without a trace are copied unchanged."""

from __future__ import annotations

import bz2
import copy
import gzip
import io
import lzma
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from recbole_unlearn.production.files import DAMAGED, Budget, Metered, open_zip
from recbole_unlearn.production.formats.streams import IN_MEMORY
from recbole_unlearn.production.purging.arrays import TOO_LARGE, rows_of_archive, write_npy
from recbole_unlearn.production.purging.cut import Cut, LeftAlone, Rows
from recbole_unlearn.production.trace import NotInspected, Place

Rewrite = Callable[[Place, IO[bytes], IO[bytes], Cut], Rows | None]  # None: it had no trace and was copied
UNPACKED = 1 << 36  # bytes that may be written of one packed file: a copy of it needs that much room
_IN_MEMORY = 1 << 24


def spool(folder: Path | None) -> IO[bytes]:
    """Return a file without a name, in memory while it is small; nothing is left of it, whatever happens."""
    return tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=None if folder is None else str(folder))


def _unnamed(folder: Path | None) -> IO[bytes]:
    return tempfile.TemporaryFile(dir=folder)


def spooled(stream: IO[bytes], folder: Path | None) -> IO[bytes]:
    """Return the content of a stream, from its beginning, in memory or in a file without a name."""
    try:
        data = stream.read(_IN_MEMORY)
        if len(data) < _IN_MEMORY:
            return io.BytesIO(data)
        held = _unnamed(folder)
        held.write(data)
        shutil.copyfileobj(stream, held)
    except NotInspected as error:
        raise LeftAlone(f"{error}: inspect it by hand, or delete it") from error
    held.seek(0)
    return held


def packer_for(head: bytes, out: IO[bytes]) -> Any:
    """Return what packs into a file as one with these first bytes is packed."""
    if head.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(filename="", mode="wb", fileobj=out, mtime=int.from_bytes(head[4:8], "little"))
    if head.startswith(b"BZh"):
        return bz2.BZ2File(out, "wb")
    if head.startswith(b"\xfd7zXZ\x00"):
        return lzma.LZMAFile(out, "wb", format=lzma.FORMAT_XZ)
    if head.startswith(b"]\x00\x00"):
        return lzma.LZMAFile(out, "wb", format=lzma.FORMAT_ALONE)
    return _Zlib(out)


class _Zlib(io.RawIOBase):
    def __init__(self, out: IO[bytes]) -> None:
        super().__init__()
        self._out, self._packer = out, zlib.compressobj()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._out.write(self._packer.compress(bytes(data)))
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._out.write(self._packer.flush())
        super().close()


def rewrite_packed(
    place: Place, stream: IO[bytes], out: IO[bytes], packer: Callable[[Any], Any], rewrite: Rewrite, cut: Cut
) -> Rows | None:
    """Write what is packed alone, packed in the same way."""
    head = stream.read(16)
    stream.seek(0)
    unpacked = io.BufferedReader(Metered(packer(stream), Budget(UNPACKED)))
    with spooled(unpacked, cut.folder) as held, packer_for(head, out) as packed:
        return rewrite(place, held, packed, cut)


def rewrite_zip(place: Place, stream: IO[bytes], out: IO[bytes], rewrite: Rewrite, cut: Cut) -> Rows:
    """Write a zip, each member of it as it is or without the rows that name a withdrawn user or item.

    Raises:
        LeftAlone: A member cannot be rewritten, or the zip cannot be written as it was.
    """
    archive = _opened(stream)
    rows = Rows()
    with zipfile.ZipFile(out, "w") as new:
        new.comment = archive.comment
        for info in archive.infolist():
            target = _like(info)
            if info.is_dir():
                new.writestr(target, b"")
                continue
            with _member(archive, info) as inside, spooled(inside, cut.folder) as held, new.open(target, "w") as packed:
                rows += rewrite(place.inside(info.filename), held, packed, cut) or Rows()
    return rows


def _opened(stream: IO[bytes]) -> zipfile.ZipFile:
    try:
        archive = open_zip(stream, UNPACKED)
    except NotInspected as error:
        raise LeftAlone(f"{error}: take the member out by hand") from error
    infos = archive.infolist()
    known = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    if any(info.compress_type not in known for info in infos) or min((info.header_offset for info in infos), default=0):
        raise LeftAlone("a zip that cannot be written as it was: take the member out by hand")
    return archive


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> IO[bytes]:
    return io.BufferedReader(Metered(archive.open(info), Budget(UNPACKED)))


def _like(info: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """Return what a member of a new zip is described by: name, time, rights and packing of the old one."""
    made = zipfile.ZipInfo(info.filename, info.date_time)
    made.file_size = info.file_size  # tells whether it needs the fields of a large member
    for name in ("compress_type", "comment", "create_system", "external_attr", "internal_attr"):
        setattr(made, name, getattr(info, name))
    return made


def rewrite_npz(place: Place, stream: IO[bytes], out: IO[bytes], cut: Cut) -> Rows:
    """Write the arrays of an npz without the rows that name a withdrawn user or item."""
    archive, rows = _opened(stream), Rows()
    arrays: dict[str, np.ndarray] = {}
    for info in archive.infolist():
        if info.file_size > IN_MEMORY:
            raise LeftAlone(TOO_LARGE)
        with _member(archive, info) as inside:
            try:
                arrays[info.filename] = np.lib.format.read_array(inside, allow_pickle=False)
            except DAMAGED as error:
                raise LeftAlone("arrays that cannot be read: write it anew without them, or delete it") from error
    gone = rows_of_archive(arrays, place, cut)
    with zipfile.ZipFile(out, "w") as new:
        for info in archive.infolist():
            array = arrays[info.filename]
            goes = gone.get(info.filename)
            with _member(archive, info) as inside, new.open(_like(info), "w") as packed:
                if goes is None:
                    shutil.copyfileobj(inside, packed)
                else:
                    write_npy(array[~goes], packed, np.isfortran(array))
                    rows += Rows(len(array), int((~goes).sum()))
    return rows


def rewrite_tar(place: Place, stream: IO[bytes], out: IO[bytes], rewrite: Rewrite, cut: Cut) -> Rows:
    """Write a tar, each member of it as it is or without the rows that name a withdrawn user or item.

    Raises:
        LeftAlone: A member cannot be rewritten, or the tar cannot be read to its end.
    """
    rows = Rows()
    try:
        with tarfile.open(fileobj=stream, mode="r:") as archive, _like_tar(archive, stream, out) as new:
            for info in archive:
                inside = archive.extractfile(info) if info.isreg() else None
                if info.issparse():
                    raise LeftAlone("a tar with sparse members: take the member out by hand")
                if inside is None:
                    new.addfile(info)
                    continue
                with spooled(inside, cut.folder) as held, spool(cut.folder) as made:
                    rows += rewrite(place.inside(info.name), held, made, cut) or Rows()
                    target = copy.copy(info)
                    target.size = made.tell()
                    made.seek(0)
                    new.addfile(target, made)
    except (tarfile.TarError, EOFError) as error:
        raise LeftAlone("a tar that is damaged: inspect it by hand, or delete it") from error
    return rows


def _like_tar(archive: tarfile.TarFile, stream: IO[bytes], out: IO[bytes]) -> tarfile.TarFile:
    """Open a tar to be written in the format of another one."""
    here = stream.tell()
    stream.seek(257)
    magic = stream.read(8)
    stream.seek(here)
    kind = tarfile.GNU_FORMAT if magic == b"ustar  \0" else tarfile.PAX_FORMAT
    return tarfile.open(fileobj=out, mode="w", format=kind, encoding=archive.encoding, errors="surrogateescape")
