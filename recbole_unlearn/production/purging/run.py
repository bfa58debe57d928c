"""``--purge``: plans, and with ``--yes=True`` carries out, the removal of withdrawn rows from files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from recbole_unlearn.exceptions import ConfigError, LedgerError
from recbole_unlearn.lineage.commit import recover
from recbole_unlearn.lineage.ledger import Ledger
from recbole_unlearn.lineage.owed import models_that_owe
from recbole_unlearn.lineage.place import key_file_of
from recbole_unlearn.production.asked import KEYS, Asked, asked_of, named_in
from recbole_unlearn.production.audit import exit_code
from recbole_unlearn.production.files import display, files_below
from recbole_unlearn.production.purging.carry_out import Done, carry_out
from recbole_unlearn.production.purging.databases import MARK
from recbole_unlearn.production.purging.plan import DELETE, LEAVE, REWRITE, STRIP, Action, Purge, plan
from recbole_unlearn.production.purging.report import Report
from recbole_unlearn.production.purging.whole import Models
from recbole_unlearn.production.reports import place_of
from recbole_unlearn.production.search import SKIPPED, folders_of, is_below, search
from recbole_unlearn.production.trace import CHECK, MUST_FIX, NOT_INSPECTED, Trace, counted
from recbole_unlearn.production.wanted import Wanted
from recbole_unlearn.settings.arguments import flag, refuse_unknown

_KEYS = (*KEYS, "dry_run", "yes", "report")
_TORN = re.compile(rf"\.(.*\.)?[a-z0-9_]{{8}}{re.escape(MARK)}")
_WOULD = {
    REWRITE: "would be rewritten",
    DELETE: "would be deleted",
    STRIP: "would be rewritten",
    LEAVE: "is left alone",
}
_DID = {REWRITE: "rewritten", DELETE: "deleted", STRIP: "rewritten", LEAVE: "left alone"}


def run_purge(folder: str, values: Mapping[str, Any], out: IO[str]) -> int:
    """Run ``--purge``: show with ``dry_run`` what would become of each file, or do it with ``yes``.

    Only what the data set's ledger records as withdrawn is purged. A file is rewritten without these rows, deleted (an old
    model, a pickled data set), or left alone with the reason.

    Args:
        folder: Folders or files, with commas between them.
        values: ``dataset`` and what else says where its ledger is, as ``asked_of`` takes them; ``withdraw``, the request's
            own file, which is purged too; ``dry_run`` or ``yes``; ``report``: where a json says what was done.
        out: Gets the lines.

    Returns:
        0 if nothing is left, 1 if anything is left to be done by hand, 3 if only files are left that were not inspected.

    Raises:
        InputError: An argument cannot be used, or there is no readable ledger; nothing was touched.
    """
    refuse_unknown(values, _KEYS, "purge")
    if "dataset" not in values:
        raise ConfigError("--purge needs --dataset=NAME: only what its ledger records as withdrawn is purged")
    dry, yes = (flag(values, name) for name in ("dry_run", "yes"))
    if dry == yes:
        raise ConfigError("--purge changes files: see what it would do with --dry_run=True, do it with --yes=True")
    folders, report = folders_of(folder), place_of(values, "purge")
    search_for = {name: values[name] for name in KEYS if name in values and name != "withdraw"}
    asked = asked_of(search_for)
    request = _request(values)
    with closing(_open(asked, values)) as ledger:
        with ledger.exclusive():
            if recover(ledger):
                asked = asked_of(search_for)
        if yes:
            _sweep(folders)
        wanted = Wanted.from_spec(vars(asked.spec))
        _tell_pending(request, wanted, values, out)
        purge = Purge(
            Models(wanted, tuple(models_that_owe(ledger))), _own_folder(asked, values), _kept(asked, values), request
        )
        head = {"dataset": asked.spec.dataset, "ledger": dict(asked.ledger), "dry_run": dry}
        return _Run(folders, asked, purge, ledger, Report(report, folders, head), out).run(yes)


@dataclass
class _Run:
    folders: Sequence[Path]
    asked: Asked
    purge: Purge
    ledger: Ledger
    report: Report
    out: IO[str]
    done: list[Done] = field(default_factory=list)
    left: list[Trace] = field(default_factory=list)

    def run(self, yes: bool) -> int:
        """Plan for every file, and carry it out if that is wanted; return the exit code."""
        request = self.purge.request
        more = [] if request is None or is_below(str(request), map(os.path.realpath, self.folders)) else [request]
        searched = search([*self.folders, *more], self.asked.spec, progress=True)
        of_file: dict[Path, list[Trace]] = {}
        for trace in searched.traces:
            of_file.setdefault(Path(trace.path), []).append(trace)
        code = None
        try:
            for path, traces in of_file.items():
                self._one(path, traces, yes)
            code = exit_code(self.left)
        finally:
            self.report.write(self.done, self.left, code)
        self._sum_up(yes, searched.files)
        return code

    def _one(self, path: Path, traces: list[Trace], yes: bool) -> None:
        if self.purge.keeps(path):
            return
        if not any(trace.group == MUST_FIX for trace in traces):
            self.left += traces
            return
        action = plan(path, traces, self.purge, counts=not yes)
        done = self._do(action) if yes else Done(action, action.does, action.reason, action.rows)
        self.done.append(done)
        gone = {MUST_FIX} if yes and done.does != LEAVE else set()
        self.left += [trace for trace in traces if trace.group not in gone and (yes is False or done.does != DELETE)]
        counts = (
            f": {counted(done.rows.before - done.rows.after, 'row')} of {done.rows.before}" if done.rows.before else ""
        )
        self.out.write(f"{display(path)}: {(_DID if yes else _WOULD)[done.does]}{counts}; {done.reason}\n")
        self.report.write_now_and_then(self.done, self.left)

    def _do(self, action: Action) -> Done:
        """Carry an action out while no withdrawal is, and only if the ledger is still the one that was read."""
        if action.does == LEAVE:
            return Done(action, LEAVE, action.reason)
        with self.ledger.exclusive():
            if self.ledger.anchor["count"] != self.asked.ledger["count"]:
                raise LedgerError(
                    "a withdrawal was carried out meanwhile, which this purge does not know: run it again"
                )
            return carry_out(action, self.purge)

    def _sum_up(self, yes: bool, files: int) -> None:
        for group in (CHECK, NOT_INSPECTED):
            traces = [trace for trace in self.left if trace.group == group]
            if traces:
                self.out.write(f"{group} ({len(traces)}), left to you:\n")
                self.out.writelines(f"  {display(trace.line())}\n" for trace in traces)
        numbers = {does: sum(done.does == does for done in self.done) for does in (REWRITE, STRIP, DELETE, LEAVE)}
        prefix = "" if yes else "nothing was changed: "
        self.out.write(
            f"{prefix}{numbers[REWRITE] + numbers[STRIP]} rewritten, {numbers[DELETE]} deleted, {numbers[LEAVE]} left alone, "
            f"of {counted(files, 'file')}\n"
        )


def _open(asked: Asked, values: Mapping[str, Any]) -> Ledger:
    """Open the ledger that was read, to hold its locks."""
    path = Path(str(asked.ledger["path"]))
    ledger = Ledger.find(path.parent, path.stem, values.get("ledger_key"))
    if ledger is None:
        raise LedgerError(f"the ledger {str(path)!r} is gone")
    return ledger


def _request(values: Mapping[str, Any]) -> Path | None:
    if "withdraw" not in values:
        return None
    path = Path(os.path.realpath(str(values["withdraw"])))
    if not path.is_file():
        raise ConfigError("--withdraw: there is no such file; name the request, or leave it out")
    return path


def _tell_pending(request: Path | None, wanted: Wanted, values: Mapping[str, Any], out: IO[str]) -> None:
    """Say how many of those that a request names are not withdrawn: they are not purged."""
    if request is None:
        return
    named = named_in(values)
    tokens = [wanted.user(user) for user in named.user_tokens] + [wanted.item(item) for item in named.item_tokens]
    tokens += [wanted.names(*pair) is not None for pair in named.pair_tokens]
    pending = len(tokens) - sum(tokens)
    if pending:
        out.write(
            f"{pending} of {len(tokens)} that the request names are not withdrawn by the ledger: they are not purged\n"
        )


def _own_folder(asked: Asked, values: Mapping[str, Any]) -> Path | None:
    """Return the folder of the data set's files, if there is one."""
    name = str(values["dataset"])
    beside = Path(str(asked.ledger["path"])).parent.parent
    default = Path(str(values.get("data_path", "dataset")), name)
    given = default if default.is_dir() else beside if beside.name == name else None
    return None if given is None else Path(os.path.realpath(given))


def _kept(asked: Asked, values: Mapping[str, Any]) -> set[Path]:
    """Return what of the ledger nothing touches: its files, its key, its receipts."""
    path = Path(os.path.realpath(str(asked.ledger["path"])))
    key = key_file_of(path.parent, values.get("ledger_key"))
    return {path, Path(os.path.realpath(key)), path.parent / "receipts", *path.parent.glob(f"{path.stem}.*")}


def _torn(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        for path, reason in files_below(folder, SKIPPED) if folder.is_dir() else ():
            if reason is None and _TORN.fullmatch(path.name):
                yield path


def _sweep(folders: Sequence[Path]) -> None:
    """Delete what a purge that was killed left of files that it was writing."""
    for path in list(_torn(folders)):
        path.unlink(missing_ok=True)
