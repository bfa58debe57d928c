"""Files appear whole or not at all."""

import hashlib
import os
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any


class Disk:
    """The steps through which state reaches the disk, one method each, so that a test can make any of them fail."""

    def write(self, file: IO[Any], write: Callable[[IO[Any]], object]) -> None:
        """Write the content and hand it to the operating system."""
        write(file)
        file.flush()

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


DISK = Disk()


def write_atomically(
    path: str | os.PathLike[str], write: Callable[[IO[Any]], object], mode: int | None = None, disk: Disk = DISK
) -> None:
    """Call ``write`` with a binary file that replaces ``path`` once it is complete and on disk.

    A crash at any moment leaves the old file or the new one, never a part. Missing folders are made.

    Args:
        path: Where the file appears.
        write: Writes the content.
        mode: Permissions; those of the file that is replaced, or 0600, by default.
        disk: Does the steps.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
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


def file_digest(path: str | os.PathLike[str]) -> str | None:
    """Return the SHA-256 of a file's bytes, or None if there is no such file."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None
