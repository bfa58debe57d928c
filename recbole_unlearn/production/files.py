"""Opens what nobody vouches for: regular files alone, unpacked through a cap, and named so that no name can forge a line."""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from recbole_unlearn.production.stand_ins import NotInspected

UNPACKED = 1 << 30  # bytes that are unpacked of one file, at most
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link, which is not followed",
}
_PACKED: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
    b"]\x00\x00": lzma.LZMAFile,
}
_DAMAGED = (zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError, OSError, ValueError, KeyError)
_MEMBERS = 100_000


def display(path: str | bytes | os.PathLike[Any]) -> str:
    r"""Return a path on one line; what a terminal would obey or could not show is escaped.

    >>> display("a\nb\x1b[2J.log")
    'a\\nb\\x1b[2J.log'
    >>> display(b"caf\xe9")
    'caf\\udce9'
    """
    name = os.fsdecode(path)
    return "".join(one if one.isprintable() and one != "\\" else ascii(one)[1:-1] for one in name)


def open_regular(path: str | os.PathLike[str]) -> io.BufferedReader:
    """Open a regular file; a link, pipe, socket or device is not opened, and nothing waits for one.

    Raises:
        NotInspected: It is none, or cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise NotInspected(_why_not(path, error)) from error
    kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
    if kind != stat.S_IFREG:
        os.close(descriptor)
        raise NotInspected(_KINDS.get(kind, "no regular file"))
    return os.fdopen(descriptor, "rb")


def _why_not(path: str | os.PathLike[str], error: Exception) -> str:
    try:
        kind = stat.S_IFMT(os.lstat(path).st_mode)
    except (OSError, ValueError):
        kind = stat.S_IFREG
    if kind in _KINDS:
        return _KINDS[kind]
    return f"it cannot be opened: {getattr(error, 'strerror', None) or 'its name is none'}"


def files_below(folder: Path, skip: frozenset[str] = frozenset()) -> Iterator[tuple[Path, str | None]]:
    """Yield the files below a folder in order, each with the reason why it is not opened, or None.

    Folders that cannot be listed, links, pipes, sockets and devices have a reason; nothing is followed, nothing raised.

    Args:
        folder: Where to begin.
        skip: Names of folders that are not entered.
    """
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here) as listed:
                entries = sorted(listed, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            yield here, f"a folder that cannot be listed: {error.strerror}"
            continue
        folders = []
        for entry in entries:
            try:
                kind = stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode)
            except OSError as error:
                yield Path(here, entry.name), f"it cannot be looked at: {error.strerror}"
                continue
            if kind == stat.S_IFDIR:
                folders += [Path(here, entry.name)] if entry.name not in skip else []
            else:
                yield Path(here, entry.name), _KINDS.get(kind)
        waiting.extend(reversed(folders))


class Capped(io.RawIOBase):
    """A stream of which at most so many bytes can be read; whatever is wrong with it is ``NotInspected``.

    Args:
        stream: What unpacks the file.
        most: How many bytes may come out of it.
    """

    def __init__(self, stream: Any, most: int) -> None:
        super().__init__()
        self._stream, self.left = stream, most

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer; more than the cap is refused, not cut off."""
        try:
            data = self._stream.read(min(len(buffer), self.left + 1))
        except NotInspected:
            raise
        except (*_DAMAGED, RuntimeError, NotImplementedError) as error:
            raise NotInspected(f"packed data that are damaged ({type(error).__name__})") from error
        self.left -= len(data)
        if self.left < 0:
            raise NotInspected("it unpacks to more than is looked at")
        buffer[: len(data)] = data
        return len(data)


def packer_of(file: IO[bytes]) -> Callable[[Any], Any] | None:
    """Return what unpacks a gz, bz2, xz, lzma or zlib file, or None if it is none."""
    head = file.read(6)
    file.seek(0)
    if head[:1] == b"x" and int.from_bytes(head[:2], "big") % 31 == 0:
        return _Zlib
    return next((packer for magic, packer in _PACKED.items() if head.startswith(magic)), None)


def unpacked(file: IO[bytes], most: int = UNPACKED) -> io.BufferedReader:
    """Return a stream of what a packed file holds, or of the file itself, through a cap."""
    packer = packer_of(file)
    return io.BufferedReader(Capped(file if packer is None else packer(file), most))


class _Zlib:
    """A stream of zlib, as joblib writes it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._packer = file, zlib.decompressobj()

    def read(self, size: int) -> bytes:
        while not self._packer.eof:
            waiting = self._packer.unconsumed_tail or self._file.read(1 << 16)
            data = self._packer.decompress(waiting, size)
            if data:
                return data
            if not waiting:
                raise EOFError
        return b""


def open_zip(file: IO[bytes], most: int = UNPACKED) -> zipfile.ZipFile:
    """Open a zip whose members have names of their own, no password, and together no more bytes than the cap.

    Raises:
        NotInspected: It is damaged, or one of these does not hold.
    """
    try:
        archive = zipfile.ZipFile(file)
    except (*_DAMAGED, NotImplementedError, UnicodeError) as error:
        raise NotInspected(f"a zip that is damaged ({type(error).__name__})") from error
    members = archive.infolist()
    names = [member.filename for member in members]
    if len(members) > _MEMBERS or len(set(names)) < len(names):
        raise NotInspected("a zip with too many members, or two of one name")
    if any(name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") for name in names):
        raise NotInspected("a zip with names that lead out of it")
    if any(member.flag_bits & 1 for member in members):
        raise NotInspected("a zip with a password")
    if sum(member.file_size for member in members) > most:
        raise NotInspected("it unpacks to more than is looked at")
    places = sorted((member.header_offset, member.header_offset + member.compress_size) for member in members)
    if any(end > start for (_, end), (start, _) in itertools.pairwise(places)):
        raise NotInspected("a zip whose members lie over each other")
    return archive


def member(archive: zipfile.ZipFile, name: str, most: int = UNPACKED) -> bytes:
    """Return the bytes of a member of a zip, through a cap."""
    with zip_stream(archive, name, most) as stream:
        return stream.read()


def zip_stream(archive: zipfile.ZipFile, name: str, most: int = UNPACKED) -> IO[bytes]:
    """Return a stream of a member of a zip, through a cap."""
    try:
        return io.BufferedReader(Capped(archive.open(name), most))
    except (*_DAMAGED, RuntimeError, NotImplementedError) as error:
        raise NotInspected(f"a member of a zip that is damaged ({type(error).__name__})") from error


def members(file: IO[bytes], most: int = UNPACKED) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the names and streams of the regular files in a zip or a tar, packed or not; read each before the next.

    Raises:
        NotInspected: It is neither, damaged, or unpacks to more than the cap.
    """
    head = file.read(4)
    file.seek(0)
    if head[:2] == b"PK":
        archive = open_zip(file, most)
        for inside in archive.infolist():
            if not inside.is_dir():
                yield inside.filename, zip_stream(archive, inside.filename, inside.file_size)
        return
    try:
        with tarfile.open(fileobj=unpacked(file, most), mode="r|") as tar:
            for number, info in enumerate(tar):
                if number > _MEMBERS:
                    raise NotInspected("a tar with too many members")
                stream = tar.extractfile(info) if info.isreg() else None
                if stream is not None:
                    yield info.name, io.BufferedReader(Capped(stream, most))
    except NotInspected:
        raise
    except (*_DAMAGED, RecursionError) as error:
        raise NotInspected(f"a tar that is damaged ({type(error).__name__})") from error
