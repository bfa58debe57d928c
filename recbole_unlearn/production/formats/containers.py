"""Reads compressed files and archives: each member under its own name; writes nothing to disk."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from typing import IO, Any

from recbole_unlearn.production.files import DAMAGED, MEMBERS, PACKED, TOO_MUCH, Budget, Metered
from recbole_unlearn.production.formats.streams import rewindable
from recbole_unlearn.production.trace import NotInspected, Place, Trace

Look = Callable[[Place, IO[bytes]], Iterator[Trace]]
_OFFICE = ("xl/workbook.xml", "word/document.xml", "ppt/presentation.xml", "mimetype")
_TYPES = {".tgz": ".tar", ".tbz": ".tar", ".tbz2": ".tar", ".txz": ".tar"}


def packed(
    place: Place, stream: IO[bytes], packer: Callable[[Any], Any], budget: Budget, look: Look
) -> Iterator[Trace]:
    """Yield what the one file in a packed one holds."""
    yield from look(inside_of(place), io.BufferedReader(Metered(packer(stream), budget)))


def inside_of(place: Place) -> Place:
    """Return the place of the one file in a packed one.

    >>> inside_of(Place("x/a.csv.gz")).member, inside_of(Place("a.tgz")).member
    ('a.csv', 'a.tar')
    """
    end = place.suffix
    stem = (
        place.name.removesuffix(end)
        if end in _TYPES or any(end == one for _, one, _ in PACKED) or end == ".z"
        else place.name
    )
    return place.inside(stem + _TYPES.get(end, ""))


def is_tar(head: bytes) -> bool:
    """Return whether these are the first bytes of a tar, by the checksum of its first header."""
    if len(head) < 512 or not head[0]:
        return False
    try:
        checksum = int(head[148:156].strip(b"\0 ") or b"0", 8)
    except ValueError:
        return False
    return checksum == sum(head[:148]) + 8 * 32 + sum(head[156:512])


def tar(place: Place, stream: IO[bytes], budget: Budget, look: Look) -> Iterator[Trace]:
    """Yield what the regular files in a tar hold."""
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for number, info in enumerate(archive):
                if number >= MEMBERS:
                    raise NotInspected("a tar with more members than are looked at")
                inside = archive.extractfile(info) if info.isreg() else None
                if inside is not None:
                    yield from look(place.inside(info.name), io.BufferedReader(Metered(inside, budget)))
                if budget.left < 0:
                    return
    except DAMAGED as error:
        raise _damaged(error, "a tar that is damaged") from error


def _damaged(error: BaseException, what: str) -> NotInspected:
    return error if isinstance(error, NotInspected) else NotInspected(f"{what} ({type(error).__name__})")


def open_zip(stream: IO[bytes]) -> zipfile.ZipFile:
    """Open a zip."""
    try:
        archive = zipfile.ZipFile(rewindable(stream))
        if len(archive.infolist()) > MEMBERS:
            raise NotInspected("a zip with more members than are looked at")
    except DAMAGED as error:
        raise _damaged(error, "a zip that is damaged") from error
    return archive


def kind_of_zip(archive: zipfile.ZipFile) -> str:
    """Return what a zip is: ``"torch"``, ``"npz"``, ``"office"`` or ``"zip"``."""
    names = [one.filename for one in archive.infolist() if not one.is_dir()]
    if any(name == "data.pkl" or name.endswith("/data.pkl") for name in names):
        return "torch"
    if names and all(name.endswith(".npy") for name in names):
        return "npz"
    return "office" if any(name in _OFFICE for name in names) else "zip"


def members(archive: zipfile.ZipFile, place: Place, budget: Budget) -> Iterator[tuple[Place, IO[bytes] | str]]:
    """Yield the place and the stream of each member of a zip, or why it cannot be read; read each before the next."""
    for info in archive.infolist():
        inside = place.inside(info.filename)
        if info.is_dir():
            continue
        if info.flag_bits & 1:
            yield inside, "it is encrypted"
            continue
        try:
            stream: Any = archive.open(info)
        except DAMAGED as error:
            yield inside, f"it is damaged ({type(error).__name__})"
            continue
        with stream:
            yield inside, io.BufferedReader(Metered(stream, budget))
        if budget.left < 0:
            return


def zip_file(place: Place, archive: zipfile.ZipFile, budget: Budget, look: Look) -> Iterator[Trace]:
    """Yield what the members of a zip hold."""
    for inside, stream in members(archive, place, budget):
        if isinstance(stream, str):
            yield inside.not_inspected("member of a zip", stream)
        else:
            yield from look(inside, stream)
    if budget.left < 0:
        yield place.not_inspected("zip", TOO_MUCH)
