"""Keyed hashes of tokens: without the key nobody can tell from the ledger who left."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from recbole_unlearn.exceptions import LedgerError

SIZE = 16  # bytes of a hash


class LedgerKey:
    """The secret under which tokens are hashed; it lives in a file of its own, readable by its owner only.

    Args:
        secret: 32 random bytes.

    Example:
        >>> key = LedgerKey(bytes(32))
        >>> key.user("196") == key.user("196"), key.user("196") == key.item("196")
        (True, False)
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    @classmethod
    def load(cls, path: Path, create: bool = False) -> LedgerKey:
        """Read a key file; with ``create`` a missing one is made.

        Raises:
            LedgerError: The file is missing, unreadable, readable by others, or no key.
        """
        if create and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                return cls.load(path)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(32) + "\n")
                file.flush()
                os.fsync(file.fileno())
        try:
            mode = path.stat().st_mode & 0o077
            secret = bytes.fromhex(path.read_text("ascii").strip())
        except FileNotFoundError as error:
            raise LedgerError(
                f"the ledger's key {str(path)!r} is missing; put it back or name it with ledger_key: without it nobody "
                f"can tell whose rows were withdrawn, and a new key would let them return"
            ) from error
        except (OSError, ValueError) as error:
            raise LedgerError(f"the ledger's key {str(path)!r} cannot be read: {error}") from error
        if mode:
            raise LedgerError(f"the ledger's key {str(path)!r} can be read by others; run chmod 600 on it")
        if len(secret) != 32:
            raise LedgerError(f"{str(path)!r} holds no key of 32 bytes in hexadecimal digits")
        return cls(secret)

    def user(self, token: object) -> bytes:
        """Return the hash of a user's token."""
        return self.hash("user", str(token).encode())

    def item(self, token: object) -> bytes:
        """Return the hash of an item's token."""
        return self.hash("item", str(token).encode())

    def pair(self, user: object, item: object) -> bytes:
        """Return the hash of a (user, item) pair."""
        return self.hash("pair", self.user(user) + self.item(item))

    def hash(self, kind: str, content: bytes) -> bytes:
        """Return the hash of some bytes; the same bytes of another kind hash differently."""
        digest = hashlib.blake2b(content, digest_size=SIZE, key=self._secret, person=kind.encode()[:16])
        return digest.digest()

    def hashes(self, kind: str, tokens: Iterable[object]) -> np.ndarray:
        """Return the hashes of many tokens, dtype ``S16``-like void, shape [tokens]."""
        joined = b"".join(self.hash(kind, str(token).encode()) for token in tokens)
        return np.frombuffer(joined, dtype=f"V{SIZE}")

    @property
    def fingerprint(self) -> str:
        """Tells keys apart and nothing else."""
        return self.hash("fingerprint", b"").hex()
