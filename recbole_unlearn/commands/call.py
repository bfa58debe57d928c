"""Reads the command line, once: which command is called, on what, with which keys."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from recbole_unlearn.commands.help import help_of, help_of_keys, overview
from recbole_unlearn.commands.table import COMMANDS, FLAGS, Command, named
from recbole_unlearn.exceptions import ConfigError, suggest
from recbole_unlearn.settings.arguments import joined, read_arguments
from recbole_unlearn.version import __version__

LAUNCH = ("model", "dataset", "config_files", *FLAGS)
_SHORT = {"alpha": "withdraw_alpha"}  # a model's own key in a config


@dataclass(frozen=True)
class Call:
    """What the command line asks for.

    Args:
        command: The command.
        given: The keys and values by which it runs, the words after its name among them, as written.
        shown: A text that is asked for instead, such as help; then nothing runs.
    """

    command: Command
    given: dict[str, str] = field(default_factory=dict)
    shown: str = ""


def read_call(argv: Sequence[str], program: str = "run_unlearn.py") -> Call:
    """Read ``COMMAND WORDS --key=value`` or the flat form, in which a key names the command.

    Args:
        argv: The arguments, without the program's name.
        program: How the program is called, for help.

    Returns:
        The call; both forms give the same one.

    Raises:
        ConfigError: A command is not known, or what is given does not fit together.

    Example:
        >>> flat = read_call(["--model_file=NeuMF.pth", "--withdraw=r.csv"])
        >>> words = read_call(["withdraw", "NeuMF.pth", "r.csv"])
        >>> words.command.name, words.given == flat.given
        ('withdraw', True)
        >>> words.given
        {'model_file': 'NeuMF.pth', 'withdraw': 'r.csv'}
    """
    arguments = joined(argv)
    keys = [argument for argument in arguments if argument.startswith("--") and not _is_of_parser(argument)]
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("-h", "--help", nargs="?", const="")
    parser.add_argument("--version", action="store_true")
    told, words = parser.parse_known_args([argument for argument in arguments if argument not in keys])
    if told.version:
        return Call(named("compare"), shown=f"recbole_unlearn {__version__}\n")
    if told.help is not None:
        return Call(named("compare"), shown=_help(told.help or " ".join(words[:1]), program))
    given = read_arguments(keys, _SHORT, LAUNCH)
    if not words:
        return Call(_flat(given), given)
    command = _command(words[0])
    for key, value in _values(command, words[1:]).items():
        if given.get(key, value) != value:
            raise ConfigError(f"{key} is given twice, as {value!r} and as --{key}={given[key]}; give it once")
        given[key] = value
    if _flat(given) is not command:
        raise ConfigError(f"{command.name} takes no --{_flat(given).flag}, which is a command of its own; name one")
    return Call(command, given)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are ours: one line, and the caller says the exit code."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{self.prog}: {message}; see {self.prog} --help")


def _is_of_parser(argument: str) -> bool:
    return argument.partition("=")[0] in ("--help", "--version")


def _help(topic: str, program: str) -> str:
    if not topic:
        return overview(program)
    return help_of_keys() if topic == "keys" else help_of(_command(topic), program)


def _flat(given: dict[str, str]) -> Command:
    """Return the command that a key names."""
    jobs = [flag for flag in FLAGS if flag in given]
    if len(jobs) > 1:
        raise ConfigError(f"{' and '.join('--' + name for name in jobs)} are jobs of their own; name one")
    return next((command for command in COMMANDS if jobs and command.flag == jobs[0]), named("compare"))


def _command(word: str) -> Command:
    names = [command.name for command in COMMANDS]
    name = word.replace("_", "-")
    if name not in names:
        raise ConfigError(
            f"{word!r} is no command, and not of the form --key=value;{suggest(word, [*names, *LAUNCH])} see --help"
        )
    return named(name)


def _values(command: Command, words: Sequence[str]) -> dict[str, str]:
    """Return the words after a command's name by the key that each of them is in the flat form."""
    parser = _Parser(prog=command.name, add_help=False, allow_abbrev=False)
    for word in command.words:
        parser.add_argument(word.key, metavar=word.shown, nargs=word.number)
    read: dict[str, Any] = {key: value for key, value in vars(parser.parse_args(words)).items() if value is not None}
    return {key: value if isinstance(value, str) else ",".join(value) for key, value in read.items()}
