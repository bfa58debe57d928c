"""Opens files of unknown origin: regular files only, unpacked up to a limit, with escaped names."""

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

from recbole_unlearn.production.trace import NotInspected

HEAD = 1 << 12  # bytes that say what packed a file
_PIECE = 1 << 20  # bytes that are unpacked at once
UNPACKED = 1 << 30  # bytes that are unpacked of one file, at most
LINK = "a link, which is not followed"
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: LINK,
}
_OF_THE_SYSTEM, _BELOW_THE_SYSTEM = ("/proc", "/sys", "/dev"), ("/proc/", "/sys/")
PACKED: tuple[tuple[bytes, str, Callable[[Any], Any]], ...] = (
    (b"\x1f\x8b", ".gz", lambda file: gzip.GzipFile(fileobj=file, mode="rb")),
    (b"BZh", ".bz2", bz2.BZ2File),
    (b"\xfd7zXZ\x00", ".xz", lzma.LZMAFile),
    (b"]\x00\x00", ".lzma", lzma.LZMAFile),
)
DAMAGED: tuple[type[Exception], ...] = (
    zipfile.BadZipFile,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
    OSError,
    ValueError,
    KeyError,
)
DAMAGED += (NotImplementedError, RuntimeError, UnicodeError, IndexError)
TOO_MUCH = "it unpacks to more than is allowed"
MEMBERS = 100_000


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
        NotInspected: It is not a regular file, or cannot be opened.
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
    return f"it cannot be opened: {getattr(error, 'strerror', None) or 'invalid file name'}"


def files_below(
    folder: Path, skip: frozenset[str] = frozenset(), left_out: list[Path] | None = None
) -> Iterator[tuple[Path, str | None]]:
    """Yield the files below a folder in order, each with the reason why it is not opened, or None.

    Folders that cannot be listed, links, pipes, sockets and devices have a reason; nothing is followed, nothing raised.

    Args:
        folder: Where to begin.
        skip: Names of folders that are not entered; nor are Python environments, of whatever name.
        left_out: Gets the folders that were not entered.
    """
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        if os.path.abspath(here).startswith(_BELOW_THE_SYSTEM) or os.path.abspath(here) in _OF_THE_SYSTEM:
            yield here, "a folder of the operating system, such as /proc"
            continue
        try:
            with os.scandir(here) as listed:
                entries = sorted(listed, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            yield here, f"a folder that cannot be listed: {error.strerror}"
            continue
        if here != folder and skip and any(entry.name == "pyvenv.cfg" for entry in entries):
            _append(left_out, here)
            continue
        folders = []
        for entry in entries:
            try:
                kind = stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode)
            except OSError as error:
                yield Path(here, entry.name), f"it cannot be looked at: {error.strerror}"
                continue
            if kind == stat.S_IFDIR and entry.name in skip:
                _append(left_out, Path(here, entry.name))
            elif kind == stat.S_IFDIR:
                folders.append(Path(here, entry.name))
            else:
                yield Path(here, entry.name), _KINDS.get(kind)
        waiting.extend(reversed(folders))


def _append(left_out: list[Path] | None, folder: Path) -> None:
    if left_out is not None:
        left_out.append(folder)


class Budget:
    """How many bytes may still be unpacked.

    Args:
        left: That many.
    """

    def __init__(self, left: int = UNPACKED) -> None:
        self.left = left


class Metered(io.RawIOBase):
    """A stream whose bytes are taken from a budget; whatever is wrong with it is ``NotInspected``.

    Args:
        stream: What unpacks.
        budget: What its bytes are taken from.
    """

    def __init__(self, stream: Any, budget: Budget) -> None:
        super().__init__()
        self._stream, self._budget = stream, budget

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer."""
        try:
            data = self._stream.read(min(len(buffer), _PIECE, max(0, self._budget.left) + 1))
        except NotInspected:
            raise
        except DAMAGED as error:
            raise NotInspected(f"packed data that are damaged ({type(error).__name__})") from error
        self._budget.left -= len(data)
        if self._budget.left < 0:
            raise NotInspected(TOO_MUCH)
        buffer[: len(data)] = data
        return len(data)


def packer_of(head: bytes) -> Callable[[Any], Any] | None:
    """Return what unpacks a file that holds one other file, from its first bytes, or None if it is not one."""
    for magic, _, packer in PACKED:
        if head.startswith(magic) and (magic != b"]\x00\x00" or len(head) > 13):
            return packer
    if head[:1] == b"x" and len(head) > 2 and int.from_bytes(head[:2], "big") % 31 == 0 and _is_zlib(head):
        return _Zlib
    return None


def _is_zlib(head: bytes) -> bool:
    try:
        return bool(zlib.decompressobj().decompress(head, 1))
    except zlib.error:
        return False


def unpacked(file: IO[bytes], most: int = UNPACKED) -> io.BufferedReader:
    """Return a stream of what a packed file holds, or of the file itself, through a cap."""
    head = file.read(HEAD)
    file.seek(0)
    packer = packer_of(head)
    return io.BufferedReader(Metered(file if packer is None else packer(file), Budget(most)))


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
    except DAMAGED as error:
        raise NotInspected(f"a zip that is damaged ({type(error).__name__})") from error
    members = archive.infolist()
    names = [member.filename for member in members]
    if len(members) > MEMBERS or len(set(names)) < len(names):
        raise NotInspected("a zip with too many members, or two of one name")
    if any(name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") for name in names):
        raise NotInspected("a zip with names that lead out of it")
    if any(member.flag_bits & 1 for member in members):
        raise NotInspected("a zip with a password")
    if sum(member.file_size for member in members) > most:
        raise NotInspected(TOO_MUCH)
    places = sorted((member.header_offset, member.header_offset + member.compress_size) for member in members)
    if any(end > start for (_, end), (start, _) in itertools.pairwise(places)):
        raise NotInspected("a zip whose members overlap")
    return archive


def member(archive: zipfile.ZipFile, name: str, most: int = UNPACKED) -> bytes:
    """Return the bytes of a member of a zip, through a cap."""
    with zip_stream(archive, name, most) as stream:
        return stream.read(archive.getinfo(name).file_size + 1)  # without a size, memory would be set aside twice


def zip_stream(archive: zipfile.ZipFile, name: str, most: int = UNPACKED) -> IO[bytes]:
    """Return a stream of a member of a zip, through a cap."""
    try:
        return io.BufferedReader(Metered(archive.open(name), Budget(most)))
    except DAMAGED as error:
        raise NotInspected(f"a member of a zip that is damaged ({type(error).__name__})") from error
