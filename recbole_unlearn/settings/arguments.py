"""Reads command-line arguments, for the entry point and for ``Config``; no other module does."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from recbole_unlearn.exceptions import ConfigError, suggest


def read_arguments(
    argv: Sequence[str], short: Mapping[str, str] | None = None, words: Iterable[str] = ()
) -> dict[str, str]:
    """Read ``--key=value`` and ``--key value``; anything else is refused, since RecBole would silently ignore it.

    Args:
        argv: The arguments, without the program's name.
        short: Short forms of keys.
        words: Keys that a bare word may have meant, for the error.

    Returns:
        The values by key, as they were written.

    Raises:
        ConfigError: An argument has another form, or a key is given twice with different values.

    Example:
        >>> read_arguments(["--explain", "SCIF", "--alpha=5"], short={"alpha": "withdraw_alpha"})
        {'explain': 'SCIF', 'withdraw_alpha': '5'}
    """
    given: dict[str, str] = {}
    for argument in joined(argv):
        key, equals, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or not equals or not key:
            hint = f" did you mean --{key}=...?" if argument.startswith("--") else suggest(argument, list(words))
            raise ConfigError(f"argument {argument!r} is not of the form --key=value;{hint} see --help")
        key = (short or {}).get(key, key)
        if given.get(key, value) != value:
            raise ConfigError(f"--{key} is given twice, as {given[key]!r} and as {value!r}; give it once")
        given[key] = value
    return given


def joined(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with ``--key value`` written as ``--key=value``.

    >>> joined(["--explain", "SCIF", "--alpha=5"])
    ['--explain=SCIF', '--alpha=5']
    """
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1].startswith("--") and "=" not in joined[-1] and not argument.startswith("--"):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def config_files(given: Mapping[str, str]) -> list[str]:
    """Return the paths that ``--config_files`` names, between commas or blanks.

    >>> config_files({"config_files": "a.yaml,b.yaml"}), config_files({})
    (['a.yaml', 'b.yaml'], [])
    """
    return given.get("config_files", "").replace(",", " ").split()


def refuse_unknown(values: Iterable[str], allowed: Collection[str], command: str) -> None:
    """Refuse keys that a command does not take.

    Args:
        values: The keys that were given.
        allowed: The keys that it takes.
        command: Its name, such as ``audit``.

    Raises:
        ConfigError: There is another key.

    Example:
        >>> refuse_unknown({"ledger_key": "k"}, ["ledger_key"], "verify")
    """
    unknown = sorted(set(values) - set(allowed))
    if unknown:
        raise ConfigError(f"--{command} takes no --{unknown[0]}; allowed: {', '.join(sorted(allowed))}")


def flag(values: Mapping[str, object], name: str) -> bool:
    """Return a key that is True or False, as a value of Python or as text; False if it is not there.

    Raises:
        ConfigError: It is something else.

    Example:
        >>> flag({"yes": "true"}, "yes"), flag({"yes": False}, "yes"), flag({}, "yes")
        (True, False, False)
    """
    given = str(values.get(name)).lower()
    if given not in ("true", "false", "none"):
        raise ConfigError(f"--{name} is True or False, not {values[name]!r}")
    return given == "true"
