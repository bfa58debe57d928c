"""What ``--help`` shows: one screen, one command, or all keys."""

from __future__ import annotations

from itertools import groupby

from recbole_unlearn.commands.table import COMMANDS, Command
from recbole_unlearn.settings import presets
from recbole_unlearn.terminal.layout import width, wrapped

_OVERVIEW = """\
Remove people from a trained recommender, and measure how well it forgot them.

  {program} COMMAND [WORDS] [--key=value ...]

{commands}

Keys that many commands take (any key of RecBole is one, too)
  --model=NeuMF --dataset=ml-100k --data_path=dataset/
  --config_files=a.yaml,b.yaml     keys from files; the command line wins
  --output_dir=output              where reports are written
  --dry_run=True                   say what would happen, and write nothing

  COMMAND --help     more of one command     --help=keys   every key
  --version                                  no command    compares, on ml-100k

A command may also be a key: --model_file=MODEL.pth --withdraw=REQUEST is
withdraw MODEL.pth REQUEST; --audit=FOLDER is audit FOLDER.
Exit code: 0 done; 1 failed, or something was found; 2 what was given cannot be
used, and nothing was written; 3 something is due, or not all was inspected.
"""


def overview(program: str) -> str:
    """Return the help of one screen: at most 40 lines of 80 columns."""
    lines = []
    for group, commands in groupby(COMMANDS, lambda command: command.group):
        lines.append(group)
        lines += [f"  {command.usage:29}{command.does}" for command in commands]
    return _OVERVIEW.format(program=program, commands="\n".join(lines))


def help_of(command: Command, program: str) -> str:
    """Return the help of one command."""
    return f"{program} {command.usage} [--key=value ...]\n\n{command.does}\n\n{command.more}\n"


def help_of_keys() -> str:
    """Return every key of this plugin with its type, meaning and default, in lines that fit the terminal."""
    columns = width()
    sections = [("Keys", presets.keys("overall"))]
    sections += [(f"Keys of {name}", presets.keys("method", name)) for name in presets.names("method")]
    lines = []
    for title, keys in sections:
        if keys:
            lines += ["", f"{title}:"]
        for key in keys:
            default = "none" if key.default is None else key.default
            name = f"  --{key.name + '=' + key.type.upper():28} "
            lines.append(wrapped(f"{name}{key.meaning} [{default}]", columns, len(name)))
    return "\n".join(lines[1:]) + "\n"
