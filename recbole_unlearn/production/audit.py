"""``--audit``: searches folders for traces of withdrawn users, items and rows, and says what to do about each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from recbole_unlearn.production.asked import KEYS, Asked, asked_of
from recbole_unlearn.production.files import display
from recbole_unlearn.production.reports import place_of, shown, title, write_report
from recbole_unlearn.production.search import Searched, folders_of, search
from recbole_unlearn.production.trace import CHECK, MUST_FIX, NOT_INSPECTED, Trace, counted
from recbole_unlearn.settings.arguments import refuse_unknown
from recbole_unlearn.version import __version__

CLEAN, FOUND, NOT_ALL_INSPECTED = 0, 1, 3
_HEADINGS = {
    MUST_FIX: "withdrawn users, items or rows are in these files",
    CHECK: "these may be about withdrawn users, or not: inspect them",
    NOT_INSPECTED: "these files were not read",
}


def run_audit(folder: str, values: Mapping[str, Any], out: IO[str]) -> int:
    """Run ``--audit``: write what was found, by what must be done about it, and one line that sums it up.

    Args:
        folder: Folders or files, with commas between them.
        values: As ``asked_of`` takes them, and ``report``: where a json for an auditor is written.
        out: Gets the lines.

    Returns:
        0 if everything was inspected and nothing found, 1 if anything must be fixed or checked, 3 if nothing was found and
        something was not inspected.

    Raises:
        InputError: An argument cannot be used; nothing was looked at.
    """
    refuse_unknown(values, {*KEYS, "report"}, "audit")
    report = place_of(values, "audit")
    folders = folders_of(folder)
    asked = asked_of(values)
    began = datetime.now(UTC)
    searched = search(folders, asked.spec, asked.apart, progress=True)
    code = exit_code(searched.traces)
    encoding = getattr(out, "encoding", None) or "utf-8"
    out.write(rendered(searched, asked).encode(encoding, "backslashreplace").decode(encoding))
    if report is not None:
        write_report(report, _content(folders, asked, searched, began, code))
        out.write(f"report: {display(report)}\n")
    return code


def exit_code(traces: list[Trace]) -> int:
    """Return the exit code that says what was found."""
    groups = {trace.group for trace in traces}
    if groups & {MUST_FIX, CHECK}:
        return FOUND
    return NOT_ALL_INSPECTED if groups else CLEAN


def rendered(searched: Searched, asked: Asked) -> str:
    """Return what was found as text, every name on one line.

    Example:
        >>> from recbole_unlearn.production.spec import Spec
        >>> found = Searched([Trace("a.csv", "", MUST_FIX, "table", "1 row of withdrawn users", "rewrite it")], 2, 30)
        >>> print(rendered(found, Asked(Spec(users=["7"], dataset="shop"))), end="")
        MUST FIX (1): withdrawn users, items or rows are in these files
          a.csv: table: 1 row of withdrawn users; rewrite it
        1 MUST FIX, 0 CHECK, 0 NOT INSPECTED, in 2 files of 30 bytes
    """
    lines = []
    for group, heading in _HEADINGS.items():
        traces = [trace for trace in searched.traces if trace.group == group]
        if traces:
            lines.append(f"{group} ({len(traces)}): {heading}")
            lines += [f"  {display(trace.line())}" for trace in traces]
    if asked.request is not None:
        lines.append(f"the request itself: {display(asked.request)}; delete it when it is carried out")
    if searched.left_out:
        lines.append(f"not entered: {', '.join(map(display, searched.left_out))}")
    if asked.spec.dataset is None:
        lines.append("without --dataset=NAME there is no ledger to compare models with, so none counts as clean")
    numbers = Counter(trace.group for trace in searched.traces)
    counts = ", ".join(f"{numbers[group]} {group}" for group in _HEADINGS)
    lines.append(f"{counts}, in {counted(searched.files, 'file')} of {searched.bytes:,} bytes")
    return "\n".join(lines) + "\n"


def _content(folders: list[Path], asked: Asked, searched: Searched, began: datetime, code: int) -> dict[str, Any]:
    """Return the report as an auditor reads it; it contains no token."""
    spec = asked.spec
    numbers = Counter(trace.group for trace in searched.traces)
    return {
        "report": title("audit"),
        "schema": 1,
        "version": __version__,
        "began": began.isoformat(timespec="seconds"),
        "seconds": round((datetime.now(UTC) - began).total_seconds(), 1),
        "folders": [display(folder.absolute()) for folder in folders],
        "looked_for": {
            "dataset": spec.dataset,
            "by_hash": {"users": len(spec.user_hashes), "items": len(spec.item_hashes), "pairs": len(spec.pair_hashes)},
            "in_clear": {"users": len(spec.users), "items": len(spec.items), "pairs": len(spec.pairs)},
            "rows_that_left": len(spec.row_hashes),
            "models_vouched_for": len(spec.digests),
            "user_columns": list(spec.user_columns),
            "item_columns": list(spec.item_columns),
            "encoding": spec.encoding,
            "ledger": dict(asked.ledger) or None,
            "request": None if asked.request is None else display(asked.request),
        },
        "files": searched.files,
        "bytes": searched.bytes,
        "not_entered": [display(folder) for folder in searched.left_out],
        "found": {group: numbers[group] for group in _HEADINGS},
        "traces": shown(searched.traces),
        "exit_code": code,
    }
