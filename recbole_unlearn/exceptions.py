"""Named errors. Each message says what was given, what is allowed and what to do."""

import difflib
from collections.abc import Iterable


class UnlearnError(Exception):
    """Base of every error that this package raises on purpose."""


class InputError(UnlearnError, ValueError):
    """The user gave something that cannot be used; the entry point ends with exit code 2."""


class ConfigError(InputError):
    """A configuration key or value is wrong."""


class RequestError(InputError):
    """A withdrawal request cannot be read or does not fit the data set."""


class UnsupportedModelError(InputError):
    """The chosen method needs an adapter and the model has none."""


class ShardError(UnlearnError, RuntimeError):
    """Shards could not be trained: their workers died."""


class UntrustedFileError(InputError):
    """A file is a pickle, which runs code when it is loaded, and nobody said that it is trusted."""


class LedgerError(InputError):
    """The ledger, its key or a file that it vouches for is missing, broken, or disagrees with the rest."""


class StorageError(UnlearnError):
    """The disk refused a write; what was there before is still there."""


def suggest(given: str, allowed: Iterable[str]) -> str:
    """Return `` did you mean 'x'?`` when something allowed looks like what was given, else an empty string.

    >>> suggest("dampping", ["damping", "ridge"])
    " did you mean 'damping'?"
    >>> suggest("zzz", ["damping"])
    ''
    """
    by_lower = {str(name).lower(): str(name) for name in allowed}
    close = difflib.get_close_matches(given.lower(), by_lower, n=1, cutoff=0.6)
    return f" did you mean {by_lower[close[0]]!r}?" if close else ""


def reason(error: BaseException) -> str:
    """Return why something failed."""
    return repr(error)
