"""Keyed hashes of tokens: without the key nobody can find out from the ledger who withdrew."""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from recbole_unlearn.exceptions import LedgerError, StorageError
from recbole_unlearn.lineage.lock import exclusive
from recbole_unlearn.lineage.store import is_there, private_folder, read_regular, write_atomically

SIZE = 16  # bytes of a hash
KINDS = ("user", "item", "pair")  # what a request names
_NONCE = 12  # bytes
_HEADER = "# ledgers that were made with this key:"


class LedgerKey:
    """The secret with which tokens are hashed, in a file that only its owner can read.

    Outer blanks of a token are removed before it is hashed.

    Args:
        secret: 32 random bytes.

    Example:
        >>> key = LedgerKey(bytes(32))
        >>> key.user("196") == key.user(" 196 "), key.user("196") == key.item("196")
        (True, False)
        >>> key.unseal(key.seal(b"rows", b"place"), b"place")
        b'rows'
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._cipher = AESGCM(hashlib.blake2b(key=secret, digest_size=32, person=b"seal").digest())

    @classmethod
    def load(cls, path: Path, create: bool = False) -> LedgerKey:
        """Read a key file; with ``create`` a missing one, or one that an earlier version left empty, is made.

        Raises:
            LedgerError: The file is missing, unreadable, readable by others, or no key.
            StorageError: It cannot be made.
        """
        if create:
            private_folder(path.parent)
            with exclusive(_lock(path)):
                if not path.exists() or not path.stat().st_size:
                    _sweep(path)
                    content = f"{secrets.token_hex(32)}\n{_HEADER}\n".encode()
                    write_atomically(path, lambda file: file.write(content), mode=0o600)
        try:
            mode = path.stat().st_mode & 0o077
            secret = bytes.fromhex(_lines(path)[0])
        except FileNotFoundError as error:
            raise LedgerError(
                f"the ledger's key {str(path)!r} is missing; put it back or name it with ledger_key: without it "
                f"nobody can find out whose rows were withdrawn, and with a new key these rows would be used again"
            ) from error
        except (OSError, ValueError, IndexError) as error:
            why = (
                "it is not a text of hexadecimal digits"
                if isinstance(error, ValueError | IndexError)
                else error.strerror
            )
            raise LedgerError(f"the ledger's key {str(path)!r} cannot be read: {why}") from error
        if mode:
            raise LedgerError(f"the ledger's key {str(path)!r} can be read by others; run chmod 600 on it")
        if len(secret) != 32:
            raise LedgerError(f"{str(path)!r} holds no key of 32 bytes in hexadecimal digits")
        return cls(secret)

    @property
    def secret(self) -> bytes:
        """The secret; a worker of an audit needs it, no file may hold it."""
        return self._secret

    def user(self, token: object) -> bytes:
        """Return the hash of a user's token."""
        return self.hash("user", str(token).strip().encode())

    def item(self, token: object) -> bytes:
        """Return the hash of an item's token."""
        return self.hash("item", str(token).strip().encode())

    def pair(self, user: object, item: object) -> bytes:
        """Return the hash of a (user, item) pair."""
        return self.pair_of(self.user(user) + self.item(item))

    def pair_of(self, hashes: bytes) -> bytes:
        """Return the hash of a pair from the user's hash and the item's, one after the other."""
        return self.hash("pair", hashes)

    def hash(self, kind: str, content: bytes) -> bytes:
        """Return the hash of some bytes; the same bytes of another kind hash differently."""
        (digest,) = self.hashes(kind, content, [b""])
        return digest

    def hashes(self, kind: str, content: bytes, ends: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the hash of some bytes with each of several ends; the bytes before the end are hashed once."""
        begun = hashlib.blake2b(content, digest_size=SIZE, key=self._secret, person=kind.encode()[:16])
        for end in ends:
            digest = begun.copy()
            digest.update(end)
            yield digest.digest()

    def seal(self, content: bytes, place: bytes) -> bytes:
        """Encrypt bytes (AES-GCM); only this key opens them, and only at the same place."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, content, place)

    def unseal(self, sealed: bytes, place: bytes) -> bytes:
        """Decrypt what ``seal`` returned.

        Raises:
            LedgerError: It was changed, stood at another place, or was sealed with another key.
        """
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], place)
        except InvalidTag as error:
            raise LedgerError("a kept split of the ledger was changed, or sealed with another key") from error

    @property
    def fingerprint(self) -> str:
        """A hash that identifies the key and does not reveal it."""
        return self.hash("fingerprint", b"").hex()


def check_key(path: Path) -> None:
    """Refuse a key that is there and cannot be one, or that cannot be made, before anything is written.

    Raises:
        LedgerError: It is a folder, or no key, or stands below a file.
    """
    if is_there(path.parent) and not path.parent.is_dir():
        raise LedgerError(
            f"the ledger's key cannot be in {str(path.parent)!r}, which is no folder; name another ledger_key"
        )
    if is_there(path) and (path.is_dir() or path.stat().st_size):
        LedgerKey.load(path)


def knows_of_ledger(path: Path, ledger: Path) -> bool:
    """Return whether a key's file lists a ledger.

    Keys of earlier versions list none; such a key in a folder without a ledger means that one was lost.
    """
    try:
        lines = _lines(path)
    except (OSError, ValueError):
        return False
    old = bool(lines) and _HEADER not in lines and path.parent == ledger.parent
    return ledger in ledgers_of_key(path) or (old and not list(path.parent.glob("*.sqlite")))


def ledgers_of_key(path: Path) -> set[Path]:
    """Return the files of the ledgers that a key's file remembers; those beside it move with it."""
    try:
        return {path.parent / line for line in _lines(path)[1:] if line != _HEADER}
    except (OSError, ValueError):
        return set()


def remember_ledger(path: Path, ledger: Path) -> None:
    """Write into a key's file that it has a ledger, so that the loss of the ledger is noticed."""
    torn = any(path.parent.glob(f".{path.name}.*"))
    if ledger in ledgers_of_key(path) and not torn:
        return
    try:
        with exclusive(_lock(path)):
            _sweep(path)
            line = ledger.name if ledger.parent == path.parent else str(ledger)
            secret, *lines = _lines(path)
            text = "\n".join([secret, _HEADER, *sorted({*lines, line} - {_HEADER})]) + "\n"
            write_atomically(path, lambda file: file.write(text.encode()), mode=0o600)
    except StorageError as error:
        logging.getLogger(__name__).info(f"the file of the key cannot note the ledger {str(ledger)!r}: {error}")


def _lock(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def _sweep(path: Path) -> None:
    """Delete what a crash left of this file; call it under its lock."""
    for torn in path.parent.glob(f".{path.name}.*"):
        torn.unlink(missing_ok=True)


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in read_regular(path).decode().splitlines() if line.strip()]
