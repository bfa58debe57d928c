"""The commands of an operator: withdraw, what follows, audit, purge, verify, readmit, undo."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import IO, Any

from recbole_unlearn.settings.arguments import config_files
from recbole_unlearn.settings.yaml_files import read_yaml
from recbole_unlearn.terminal.layout import files_written


def withdraw(given: dict[str, str]) -> int:
    """Withdraw from a trained model, and do what its policy wants at once."""
    from recbole_unlearn.production.duties import is_due_at_once
    from recbole_unlearn.production.withdraw import withdraw_from_model

    values = _with_files(given)
    model_file = values.pop("model_file")
    result = withdraw_from_model(model_file, dict(values))
    if "plan" in result:
        from recbole_unlearn.compare.dry_run import render_plan

        sys.stdout.write(
            f"{model_file}: " + (render_plan(result["plan"]) if result["plan"] else "nothing to do") + "\n"
        )
        return 0
    sys.stdout.write("\n".join(_lines_of(result)) + "\n")
    if any(map(is_due_at_once, result["withdrawals"])):
        _follow_up(model_file, {key: value for key, value in values.items() if key != "withdraw"})
    return 0


def carry_out_due(given: dict[str, str]) -> int:
    """Do what the policy wants by now."""
    values = _with_files(given)
    return _follow_up(values.pop("carry_out_due"), values)


def _follow_up(model_file: str, values: dict[str, Any]) -> int:
    from recbole_unlearn.production.follow_up import carry_out_due

    result = carry_out_due(model_file, values)
    if result["withdrawn"] is not None:
        sys.stdout.write("\n".join(_lines_of(result["withdrawn"])) + "\n")
    done = result["done"]
    if done is not None:
        number = len({seq for served in done["carries_out"].values() for seq in served})
        sys.stdout.write(
            f"{done['follows_up']}ed with {done['method']} in {done['seconds']:.3f} s for {number} withdrawals\n"
        )
    else:
        sys.stdout.write(f"nothing is due; {model_file} is as it was\n")
    if result["waits"]:
        sys.stdout.write(f"{result['waits']} withdrawals wait for a later time\n")
    if done is not None:
        sys.stdout.write(files_written([model_file, _receipt(result["receipt"])]) + "\n")
    return 0


def due(given: dict[str, str]) -> int:
    """List what must still be done."""
    from recbole_unlearn.production.follow_up import run_due

    return _on_folder("due", run_due, given)


def _lines_of(result: dict[str, Any]) -> list[str]:
    lines = []
    for entry in result["withdrawals"]:
        lines.append(
            f"withdrawn with {entry['method']} in {entry['seconds']:.3f} s: {entry['users']} users, {entry['items']} items, "
            f"{entry['pairs']} interactions ({entry['rows']} training rows)"
        )
        if entry["approximate"]:
            lines.append("approximate: " + str(entry["report"].get("approximate")))
    for number, what in (
        (result["gone"], "had left already"),
        (result["owed"], "was accepted by an earlier run that did not finish, and was carried out now"),
        (result["missing"], "is not in the data set and was skipped"),
    ):
        if number:
            lines.append(f"{number} of what the request names {what}")
    if result["caught_up"] and not result["withdrawals"]:
        return [
            *lines,
            f"{result['model_file']} knows nothing of those who left since; it is saved and records that now",
        ]
    if not result["withdrawals"]:
        return [*lines, f"nothing to do; {result['model_file']} is as it was"]
    return [
        *lines,
        f"RECORDED in {result['ledger']}, for good: what was withdrawn stays out of this data set",
        files_written([result["model_file"], *map(_receipt, result["receipts"])]),
    ]


def _receipt(path: str) -> str:
    return path if os.path.exists(path) else f"{path} (not written yet; the next run does)"


def audit(given: dict[str, str]) -> int:
    """Search folders for those who withdrew."""
    from recbole_unlearn.production.audit import run_audit

    return _on_folder("audit", run_audit, given)


def purge(given: dict[str, str]) -> int:
    """Rewrite or delete what an audit finds."""
    from recbole_unlearn.production.purging.run import run_purge

    return _on_folder("purge", run_purge, given)


def verify(given: dict[str, str]) -> int:
    """Check ledgers, receipts and models."""
    from recbole_unlearn.production.verify import run_verify

    return _on_folder("verify", run_verify, given)


def _on_folder(command: str, run: Callable[[str, dict[str, Any], IO[str]], int], given: dict[str, str]) -> int:
    """Return the exit code of a command that takes a folder and writes what it finds."""
    values = _with_files(given)
    return run(values.pop(command), values, sys.stdout)


def readmit(given: dict[str, str]) -> int:
    """Let users come back by their consent."""
    from recbole_unlearn.production.consent import readmit

    values = _with_files(given)
    request = values.pop("readmit")
    result = readmit(request, values)
    sys.stdout.write(
        f"readmitted {result['users']} users by their consent\n"
        f"RECORDED in {result['ledger']}: rows that are delivered from now on are used, those that were withdrawn stay out\n"
        f"{files_written([str(result['receipt'])])}\n"
    )
    return 0


def undo(given: dict[str, str]) -> int:
    """Cancel a request that a crash left unfinished."""
    from recbole_unlearn.production.consent import undo

    values = _with_files(given)
    model_file = values.pop("undo")
    result = undo(model_file, values)
    taken_back = result["taken_back"]
    if result["finished"]:
        sys.stdout.write("an interrupted withdrawal was complete but for its record: it is RECORDED now, not undone\n")
    sys.stdout.write(
        f"took back {taken_back} users, items or interactions that {model_file} owed; they were not withdrawn\n"
        if taken_back
        else f"{model_file} owes nothing; what is carried out cannot be undone\n"
    )
    return 0


def _with_files(given: dict[str, str]) -> dict[str, Any]:
    """Return the keys that were given with those of ``config_files``, over which they win."""
    values: dict[str, Any] = {}
    for file in config_files(given):
        values.update(read_yaml(file))
    return {**values, **{key: value for key, value in given.items() if key != "config_files"}}
