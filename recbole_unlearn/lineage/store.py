"""Writes files completely or not at all, and distinguishes missing files from unreadable ones."""

from __future__ import annotations

import errno
import hashlib
import os
import sqlite3
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NamedTuple

from recbole_unlearn.exceptions import ConfigError, StorageError


class Disk:
    """The steps that write to the disk, one method each, so that a test can make any of them fail."""

    def write(self, file: IO[Any], write: Callable[[IO[Any]], object]) -> None:
        """Write the content and hand it to the operating system."""
        watched = _Watched(file)
        try:
            write(watched)  # type: ignore[arg-type]
            file.flush()
        except Exception:
            if watched.refused is not None:  # torch hides what the disk said behind an error of its own
                raise watched.refused from None
            raise

    def fsync(self, file: IO[Any]) -> None:
        """Wait until the content of a file is on disk."""
        os.fsync(file.fileno())

    def rename(self, old: Path, new: Path) -> None:
        """Put one file in the place of another, in one step."""
        os.replace(old, new)

    def fsync_folder(self, folder: Path) -> None:
        """Wait until the names in a folder are on disk."""
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def commit(self, connection: sqlite3.Connection) -> None:
        """Commit a transaction; it is on disk afterwards."""
        connection.execute("COMMIT")


class _Watched:
    """A file that remembers the error with which the disk refused to write."""

    def __init__(self, file: IO[Any]) -> None:
        self._file = file
        self.refused: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, data: Any) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.refused = error
            raise


DISK = Disk()


def write_atomically(
    path: str | os.PathLike[str],
    write: Callable[[IO[Any]], object],
    mode: int | None = None,
    disk: Disk = DISK,
    mark: str = "",
) -> None:
    """Call ``write`` with a binary file that replaces ``path`` once it is complete and on disk.

    A crash at any moment leaves the old file or the new one, never a part. Missing folders are made. A link stays: what it
    points to is replaced.

    Args:
        path: Where the file appears.
        write: Writes the content.
        mode: Permissions; those of the file that is replaced, or 0600, by default.
        disk: Does the steps.
        mark: Ends the name of the file while it is written: by it is found what a crash left.

    Raises:
        StorageError: The disk cannot be written; what was there is still there.
    """
    target = real_path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _replace(target, write, mode, disk, mark)
    except OSError as error:
        raise refusal(path, error) from error


def real_path(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a file, or of what it links to.

    Raises:
        ConfigError: No file can have this name.
    """
    try:
        return Path(os.path.realpath(path))
    except ValueError as error:
        raise ConfigError("a path holds a zero byte, which no name of a file has; give the path of a file") from error


def nearest_folder(folder: Path) -> Path:
    """Return a folder, or the nearest one above it that is there."""
    folder = folder.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def refusal(path: str | os.PathLike[str], error: OSError) -> StorageError:
    """Return the error that says that a file cannot be written, and why."""
    return StorageError(f"{str(path)!r} cannot be written ({error.strerror or error}); nothing was changed")


def _replace(target: Path, write: Callable[[IO[Any]], object], mode: int | None, disk: Disk, mark: str) -> None:
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=mark)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            disk.write(file, write)
            disk.fsync(file)
        if mode is None and target.exists():
            mode = target.stat().st_mode & 0o777
        if mode is not None:
            temporary.chmod(mode)
        disk.rename(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    disk.fsync_folder(target.parent)


def private_folder(folder: Path) -> None:
    """Make a folder that only its owner can enter, whatever the umask; one that is there stays as it is.

    Raises:
        StorageError: It cannot be made.
    """
    if folder.is_dir():
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise refusal(folder, error) from error


def file_digest(path: str | os.PathLike[str]) -> str | None:
    """Return the SHA-256 of a file's bytes, or None if there is no such file.

    Raises:
        ConfigError: It is a folder, may not be read, or has an invalid name.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "invalid file name"
        raise ConfigError(f"{str(path)[:200]!r} cannot be read ({why}); give the path of a file") from error


def read_regular(path: str | os.PathLike[str], most: int = 1 << 26) -> bytes:
    """Return the content of a small file; a pipe is not waited for, and a device is not read without end.

    Raises:
        OSError: It cannot be read, is no regular file, or is larger than ``most`` bytes.
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "no regular file")
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"larger than {most} bytes")
    return content


def is_there(path: Path) -> bool:
    """Return whether there is such a file or folder.

    Raises:
        StorageError: No permission. Treating the path as missing would bring withdrawn rows back.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return False
        raise StorageError(f"{str(path)!r} cannot be accessed ({error.strerror}); run this as its owner") from error
    return True


class SeenFile(NamedTuple):
    """A file as it was when it was read or written, to find out later whether it is still the same.

    Args:
        named: Its path, absolute; it may be a link.
        real: What the path pointed to.
        digest: SHA-256 of its bytes; None: it was not there.
        stamp: Device, inode, size and times of the file, which tell a change without reading it.
    """

    named: Path
    real: Path
    digest: str | None
    stamp: tuple[int, ...] | None

    @classmethod
    def of(cls, path: str | os.PathLike[str], digest: str | None = None) -> SeenFile:
        """Return a file as it is now; it is hashed unless its digest is known."""
        stamp = stamp_of(path)  # before the bytes: what is written in between changes the stamp of later
        return cls(Path(path).absolute(), real_path(path), digest or file_digest(path), stamp)

    @property
    def is_unchanged(self) -> bool:
        """Whether the file is as it was: by its stamp, and where that differs by its bytes."""
        return stamp_of(self.named) == self.stamp or file_digest(self.named) == self.digest


def stamp_of(path: str | os.PathLike[str]) -> tuple[int, ...] | None:
    """Return device, inode, size and times (modified, changed; ns) of a file, None if it is not there."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # the name cannot be that of a file
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
