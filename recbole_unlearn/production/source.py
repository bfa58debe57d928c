"""A file object that never reads more, and never allocates more memory, than the file has."""

from __future__ import annotations

from typing import IO

from recbole_unlearn.production.trace import NotInspected

_LINE = 1 << 20


class Source:
    """A file that gives at most so many bytes, and never sets memory aside for more than it has.

    Args:
        file: The file, at the place where reading starts.
        most: How many bytes may be read; by default as many as are left in the file.
    """

    def __init__(self, file: IO[bytes], most: int | None = None) -> None:
        if most is None:
            here = file.tell()
            most = file.seek(0, 2) - here
            file.seek(here)
        self._file, self._take, self.left = file, file.read, most

    def read(self, size: int) -> bytes:
        """Return so many bytes."""
        self.left -= size
        if self.left < 0 or size < 0:
            raise NotInspected("it is cut off, or says that it is longer than it is")
        return self._take(size)

    def readline(self) -> bytes:
        """Return a line, or the beginning of one that is longer than any that is written."""
        line = self._file.readline(_LINE)
        self.left -= len(line)
        if self.left < 0:
            raise NotInspected("it is longer than what is looked at")
        return line
