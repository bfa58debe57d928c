"""The commands: one table, from which reading, help and tests take them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from recbole_unlearn.commands import jobs
from recbole_unlearn.commands.comparison import benchmark, compare, explain, submit


class Word(NamedTuple):
    """A word after a command's name.

    Args:
        key: The key that it is in the flat form.
        shown: How help writes it.
        number: As ``nargs`` of argparse: one, none or one (``?``), one or more with commas between them in the flat form.
    """

    key: str
    shown: str
    number: Literal["?", "+"] | None = None


class Command(NamedTuple):
    """A command of the entry point.

    Args:
        name: Its name.
        group: The heading under which help lists it.
        words: What stands after its name; the key of the first one names the command in the flat form, but for ``compare``.
        does: What it does, in one line.
        run: Runs it with the keys that were given, and returns the exit code.
        more: What its own help adds: keys, exit codes.
    """

    name: str
    group: str
    words: tuple[Word, ...]
    does: str
    run: Callable[[dict[str, str]], int]
    more: str

    @property
    def flag(self) -> str:
        """The key that names the command in the flat form; empty for ``compare``."""
        return "" if self.name == "compare" else self.words[0].key

    @property
    def usage(self) -> str:
        """The command with its words.

        >>> named("withdraw").usage
        'withdraw MODEL.pth [REQUEST]'
        """
        forms = {None: "{}", "?": "[{}]", "+": "{} ..."}
        return " ".join([self.name, *(forms[word.number].format(word.shown) for word in self.words)])


_TRY, _REMOVE, _AFTER = "Try it out (records nothing)", "Remove for good", "Afterwards"
_REQUEST = Word("withdraw", "REQUEST", "?")
_MODEL = "MODEL.pth"

COMMANDS = (
    Command(
        "compare",
        _TRY,
        (_REQUEST,),
        "unlearn by several methods, and measure each",
        compare,
        """\
The command without a name. Without any argument: NeuMF on ml-100k (which is
inside the recbole package), half of each user's rows for training, all rows of
5 % of the users withdrawn.
  --model=NeuMF --dataset=ml-100k --data_path=dataset/   what is trained on what
  --methods=Retrain,SCIF     the methods, in the order of the tables
  --alpha=5                  withdraws 5 % of the users, without a REQUEST
  --report_html=True         writes a page with charts too
  --dry_run=True             says what would go, and writes nothing
  --withdraw_scope=all       records the withdrawal in the ledger, for good
Nothing is recorded but with --withdraw_scope=all.""",
    ),
    Command(
        "explain",
        _TRY,
        (Word("explain", "METHOD"),),
        "what a method does, costs and takes",
        explain,
        "It stands alone and takes no key.",
    ),
    Command(
        "benchmark",
        _TRY,
        (Word("benchmark", "GRID.yaml"),),
        "a grid of comparisons",
        benchmark,
        """\
  --benchmark_jobs=1                        cells side by side
  --benchmark_only=NeuMF,rand@5,seed=1      these cells alone""",
    ),
    Command(
        "submit",
        _TRY,
        (Word("submit", "REPORT.json", "+"),),
        "add reports of comparisons to a leaderboard",
        submit,
        """\
Adds a line for each method of a report, yours included, to
output/leaderboard.jsonl, and writes output/leaderboard.html.
  --output_dir=output        where they lie""",
    ),
    Command(
        "withdraw",
        _REMOVE,
        (Word("model_file", _MODEL), _REQUEST),
        "remove users, items or rows from a model",
        jobs.withdraw,
        """\
The file is replaced by the model without them, and the ledger records it. A
REQUEST is a csv file with a column user_id, item_id or both, or json. Without
one, what the model owes is carried out.
  --trust_checkpoint=True    for files of stock RecBole, which are pickles
  --methods=SCIF             the method
  --policy=..., in yaml      what must follow, and by when: see due
  --dry_run=True             says what would go, and writes nothing""",
    ),
    Command(
        "undo",
        _REMOVE,
        (Word("undo", _MODEL),),
        "cancel a request that a crash left unfinished",
        jobs.undo,
        "What was carried out cannot be undone.",
    ),
    Command(
        "readmit",
        _REMOVE,
        (Word("readmit", "REQUEST"),),
        "users come back by consent, with new rows only",
        jobs.readmit,
        "  --dataset=NAME [--data_path=dataset]",
    ),
    Command(
        "due",
        _AFTER,
        (Word("due", "LEDGER_DIR"),),
        "what must still be done, by the policy",
        jobs.due,
        """\
  --within=24h               what is due within that time is DUE
  --json=True                as json
Exit code 0: nothing is due, 3: something is.""",
    ),
    Command(
        "carry-out-due",
        _AFTER,
        (Word("carry_out_due", _MODEL),),
        "do it: train anew from a good start, or as before",
        jobs.carry_out_due,
        """\
What is due within a day is done by RetrainSVD (a good start) or by Retrain.
  --within=24h               what is due within that time""",
    ),
    Command(
        "audit",
        _AFTER,
        (Word("audit", "FOLDER", "+"),),
        "find what is left of them on disk",
        jobs.audit,
        """\
Of all who withdrew from a data set, by the hashes of its ledger, or of whom a
request names.
  --dataset=NAME             the data set with its ledger
  --withdraw=REQUEST         whom to look for
  --report=audit.json        the report for an auditor
  --audit_columns=uid,item:sku --encoding=latin-1
Exit code 0: nothing, and everything was inspected; 1: something to fix or to
check; 3: nothing found, not all inspected.""",
    ),
    Command(
        "purge",
        _AFTER,
        (Word("purge", "FOLDER", "+"),),
        "rewrite or delete what audit finds",
        jobs.purge,
        """\
What can go by itself goes; what is left to do by hand is said. It is done for
those alone whom the ledger records. Keys and exit codes are the audit's, and:
  --dry_run=True             shows what would be done
  --yes=True                 does it""",
    ),
    Command(
        "verify",
        _AFTER,
        (Word("verify", "LEDGER_DIR"),),
        "check ledger, receipts and models",
        jobs.verify,
        "Exit code 1 if they disagree.",
    ),
)
FLAGS = tuple(command.flag for command in COMMANDS if command.flag)


def named(name: str) -> Command:
    """Return the command of this name."""
    return next(command for command in COMMANDS if command.name == name)
