"""Named errors. Each message says what was given, what is allowed and what to do."""

import difflib
import re
from collections.abc import Iterable

_NAME = r"[A-Za-z_]\w{0,63}"
_COLUMN = rf"'{_NAME}:(?:token|float)(?:_seq)?'"
_QUOTED = re.compile(r"""(?<!\w)[bru]?['"`].*""")  # an apostrophe within a word opens no quotation


class UnlearnError(Exception):
    """Base of every error that this package raises on purpose."""


class InputError(UnlearnError, ValueError):
    """The user gave something that cannot be used; the entry point ends with exit code 2."""


class ConfigError(InputError):
    """A configuration key or value is wrong."""


class RequestError(InputError):
    """A withdrawal request cannot be read or does not fit the data set."""


class NobodyMatchesError(RequestError):
    """No user, or no item, meets the condition of a withdrawal request."""


class UnsupportedModelError(InputError):
    """The chosen method needs an adapter and the model has none."""


class ShardError(UnlearnError, RuntimeError):
    """Shards could not be trained: their workers died."""


class UntrustedFileError(InputError):
    """A file is a pickle, which runs code when it is loaded, and the caller does not trust it."""


class LedgerError(InputError):
    """The ledger, its key, or a model or receipt that it records is missing, damaged or inconsistent."""


class StorageError(UnlearnError):
    """The disk could not be written; the old files are unchanged."""


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
    """Return in one line why something failed, without content of files: it can name people, and errors are logged.

    Quoted values of another library's message are left out, from the first to the last; names of columns, line numbers
    and positions stay.

    >>> reason(ValueError("could not convert string to float: 'ann@shop.de'"))
    'ValueError: could not convert string to float: ...'
    >>> reason(KeyError("user_id")), reason(KeyError("ann@shop.de"))
    ("KeyError: 'user_id'", 'KeyError')
    """
    name = type(error).__name__
    if isinstance(error, UnicodeDecodeError):
        return f"{name}: no {error.encoding} at byte {error.start}; set `encoding` to that of the file"
    if isinstance(error, UnicodeEncodeError):
        return f"{name}: {error.encoding} has no letter for the one at position {error.start}"
    if isinstance(error, KeyError):
        key = error.args[0] if error.args else None
        return f"{name}: {key!r}" if isinstance(key, str) and re.fullmatch(_NAME, key, re.ASCII) else name
    message = (error.strerror or "") if isinstance(error, OSError) and error.errno is not None else str(error)
    message = _without_values(next(filter(None, map(str.strip, message.splitlines())), ""))
    return f"{name}: {message[:200]}" if message else name


def _without_values(message: str) -> str:
    """Return a message of another library without values that may come from a file."""
    message = re.sub(r"Type .* from field .* is not supported", "a column in line 1 has an unknown type", message)
    message = re.sub(r"^'.{1,2}' expected after '\"'", "text follows a closing quote", message)
    message = re.sub(r"\[.*\]", lambda match: match[0] if _is_harmless(match[0][1:-1]) else "...", message)
    match = _QUOTED.search(message)
    if match is None:
        return message
    end = max(map(match[0].rfind, "'\"`")) + 1
    quoted, rest = match[0][:end], match[0][end:]
    closed = len(quoted.lstrip("bru")) > 1 and not rest[:1].isalnum()
    return message[: match.start()] + (quoted if _is_harmless(quoted) else "...") + (rest if closed else "")


def _is_harmless(text: str) -> bool:
    """Return whether a text is a name such as ``user_id``, or names columns with their types."""
    return re.fullmatch(rf"{_NAME}|{_COLUMN}(?:, {_COLUMN})*", text, re.ASCII) is not None
